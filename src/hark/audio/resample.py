"""A streaming resampler that knows, at any moment, exactly which samples it has given out.

Output sample k is the signal at time k / rate_out: no delay, and integer arithmetic throughout, so nothing drifts. The
filter is a windowed sinc (Kaiser, 65 dB) cut at half the lower rate. With 16 samples of the lower rate on either side
it is flat to within 0.01 dB up to 7/8 of that half, and 65 dB down from 9/8 of it: for 24 to 16 kHz, 7 and 9 kHz. Those
16 samples are all that is held back: 1 ms, or 2 ms from 8 kHz. soxr holds back up to 37 ms, in bursts, which delays
the end of a turn, and cannot say "up to here" at a commit without being restarted.

Rule: the output depends on the input alone, to the bit, and never on how it was cut into chunks. Refuses: state beyond
the filter's own length. It does not look for samples that are not finite: decoded audio has none.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hark.errors import CallerError

MIN_RATE: Final = 8_000
MAX_RATE: Final = 48_000

# Kaiser's formulas (Oppenheim & Schafer, "Discrete-Time Signal Processing", 7.6): 65 dB over a transition of a quarter
# of half the lower rate asks for 2 * 16 of its samples; beta = 0.1102 * (65 - 8.7).
_HALF_WIDTH: Final = 16
_BETA: Final = 6.2
# Rates that share no large factor (8001 to 16000) would need a filter for each of thousands of phases. Between this
# many, coefficients are interpolated instead: an error of -110 dB, and no client can make a large table.
_MAX_PHASES: Final = 640
# Up to this many phases, outputs are computed by the block; beyond, windows are gathered.
_FEW_PHASES: Final = 4
# Outputs in a block: a multiple of every few phases, so that all blocks are alike.
_BLOCK: Final = 24
# How many outputs are gathered at a time: small enough for the caches.
_GATHERED: Final = 320


class Resampler:
    """One stream of mono float32, from `rate_in` to `rate_out`, integers from 8000 to 48000. Raises CallerError."""

    def __init__(self, rate_in: int, rate_out: int = 16_000) -> None:
        for rate in (rate_in, rate_out):
            if not MIN_RATE <= rate <= MAX_RATE:
                raise CallerError(f"Expected a sample rate from {MIN_RATE} to {MAX_RATE}; got {rate}.")
        common = gcd(rate_in, rate_out)
        self._up = rate_out // common
        self._down = rate_in // common
        self._half = ceil(_HALF_WIDTH * max(rate_in / rate_out, 1))
        self._phases = min(self._up, _MAX_PHASES)
        self._filters = _filters(self._half, self._phases, min(rate_out / rate_in, 1.0))
        self._block = _block(self._half, self._up, self._down) if self._up <= _FEW_PHASES else None
        self._taken = 0  # samples pushed
        self._given = 0  # samples returned by push
        # The inputs that the next output needs, from number `_first` on. Before the start was silence.
        self._first = 1 - self._half
        self._held = np.zeros(self._half - 1, np.float32)

    def push(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take float32 [n] and return the outputs that can be computed now. At equal rates that is `audio` itself."""
        self._taken += len(audio)
        if self._up == self._down:
            self._given = self._taken
            return audio
        held = np.concatenate((self._held, audio), dtype=np.float32)
        # Output k needs the inputs up to floor(k * down / up) + half.
        ready = -(-(self._taken - self._half) * self._up // self._down)
        result = self._compute(held, max(ready, self._given))
        self._given += len(result)
        next_output = self._given if self._block is None else self._given // _BLOCK * _BLOCK
        start = next_output * self._down // self._up - self._half + 1
        self._held = held[start - self._first :].copy()  # a copy, so that a large chunk is not kept alive by its end
        self._first = start
        return result

    def tail(self) -> NDArray[np.float32]:
        """The outputs that are still held back, as if silence followed; the state stays as it is.

        What push has returned and this are floor(n_in * rate_out / rate_in) samples together. The next push gives these
        instants again, computed from what really followed.
        """
        padded = np.concatenate((self._held, np.zeros(self._half, np.float32)))
        return self._compute(padded, self._taken * self._up // self._down)

    def _compute(self, held: NDArray[np.float32], stop: int) -> NDArray[np.float32]:
        """Outputs from `_given` to `stop`, from inputs numbered from `_first` on."""
        if stop <= self._given:
            return np.empty(0, np.float32)
        if self._block is not None:
            return self._by_the_block(held, stop, self._block)
        result = np.empty(stop - self._given, np.float32)
        for offset in range(0, len(result), _GATHERED):
            base, remainder = divmod((self._given + offset) * self._down, self._up)
            inputs = held[base - self._half + 1 - self._first :]
            self._gathered(inputs, remainder, result[offset : offset + _GATHERED])
        return result

    # The last bits of a product depend on the order of its sums, and BLAS picks that by the shape and place. So blocks
    # begin at multiples of _BLOCK and are whole, each a product of its own: a block that inputs are still wanting for
    # is computed with zeros in their place, which change no sum, and again when they have come. Gathered windows are
    # one dot product a row (np.vecdot).

    def _by_the_block(self, held: NDArray[np.float32], stop: int, block: NDArray[np.float32]) -> NDArray[np.float32]:
        first = self._given // _BLOCK
        count = -(-stop // _BLOCK) - first
        step, width = _BLOCK * self._down // self._up, len(block)
        wanting = (count - 1) * step + width - len(held)
        if wanting > 0:
            held = np.concatenate((held, np.zeros(wanting, np.float32)))
        inputs = np.ndarray((count, 1, width), np.float32, held, 0, (step * held.itemsize, 0, held.itemsize))
        whole: NDArray[np.float32] = np.matmul(inputs, block).reshape(-1)
        return whole[self._given - first * _BLOCK : stop - first * _BLOCK]

    def _gathered(self, inputs: NDArray[np.float32], remainder: int, out: NDArray[np.float32]) -> None:
        """Successive outputs, each with its own window and filter."""
        starts, remainders = np.divmod(np.arange(len(out)) * self._down + remainder, self._up)
        windows = np.ndarray((int(starts[-1]) + 1, 2 * self._half), np.float32, inputs, 0, (4, 4))[starts]
        phases, between = np.divmod(remainders * self._phases, self._up)
        filters = self._filters[phases]
        if self._phases < self._up:
            weight = (between / self._up).astype(np.float32)[:, None]
            filters += weight * (self._filters[phases + 1] - filters)
        np.vecdot(windows, filters, out=out)


@lru_cache(maxsize=16)
def _block(half: int, up: int, down: int) -> NDArray[np.float32]:
    """[inputs, _BLOCK]: each column is the filter of one output of a block, at the inputs that it weighs."""
    filters = _filters(half, up, min(up / down, 1.0))
    places = [divmod(output * down, up) for output in range(_BLOCK)]
    block = np.zeros((places[-1][0] + 2 * half, _BLOCK), np.float32)
    for output, (base, remainder) in enumerate(places):
        block[base : base + 2 * half, output] = filters[remainder]
    block.flags.writeable = False
    return block


@lru_cache(maxsize=16)
def _filters(half: int, phases: int, cutoff: float) -> NDArray[np.float32]:
    """Coefficients [phases + 1, 2 * half]: row p weighs the inputs around an output p / phases after one of them.

    `cutoff` is in units of half the input rate. A table has 250 kB at the most (48 kHz and an odd rate).
    """
    distance = np.arange(1 - half, half + 1) - np.arange(phases + 1)[:, None] / phases
    window = np.i0(_BETA * np.sqrt(np.maximum(1 - (distance / half) ** 2, 0))) * (np.abs(distance) < half)
    rows = np.sinc(cutoff * distance) * window
    rows /= rows.sum(axis=1, keepdims=True)  # silence and hum come through at exactly their level
    table: NDArray[np.float32] = rows.astype(np.float32)
    table.flags.writeable = False
    return table
