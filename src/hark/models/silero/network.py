"""The network of Silero VAD 6.2 as matrix products over many windows: [n, 576] samples -> n probabilities.

    spectrum    four frames of 256 samples, 128 apart, the end mirrored by 64: how strong each frequency is in them
    encoder     four convolutions over the frames, three wide, with ReLU; the second and third take every other frame,
                so that one column is left
    decoder     an LSTM of 128, ReLU, one output, sigmoid

The file stores the transform as a matrix; where that is a windowed Fourier transform indeed, a fast one gives the same
numbers for an eighth of the work. A convolution is one matrix product over the frames laid out three by three.
The gates of the LSTM that are sigmoids are computed by tanh, as sigmoid(x) = (1 + tanh(x / 2)) / 2: the halves are
multiplied into the weights, and all four gates are one call.

Rule: rows do not see each other, and nothing is kept between calls. Products run on one thread (hark/__init__.py).
Refuses: other weights than those.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hark.errors import OperatorError
from hark.models.onnx.weights import read_weights

CONTEXT_SAMPLES: Final = 64
INPUT_SAMPLES: Final = CONTEXT_SAMPLES + 512
STATE_SIZE: Final = 128
_FRAME: Final = 256
_HOP: Final = 128
_FRAMES: Final = 4
_BINS: Final = _FRAME // 2 + 1
_MIRRORED: Final = 64
ROW_SAMPLES: Final = INPUT_SAMPLES + _MIRRORED
# How many windows pass through the encoder at a time: what lies between its layers stays in the cache.
_BLOCK: Final = 32
# Below so many rows each is multiplied by itself.
_FEW: Final = 4
# By how much the file's transform may differ from the one that is computed: the file's was rounded to float32.
_SAME: Final = 1e-6

_CHANNELS: Final = (_BINS, 128, 64, 64, 128)
_SHAPES: Final[dict[str, tuple[int, ...]]] = {
    "model.stft.forward_basis_buffer": (2 * _BINS, 1, _FRAME),
    **{
        f"model.encoder.{layer}.reparam_conv.weight": (after, before, 3)
        for layer, (before, after) in enumerate(pairwise(_CHANNELS))
    },
    **{f"model.encoder.{layer}.reparam_conv.bias": (after,) for layer, after in enumerate(_CHANNELS[1:])},
    "model.decoder.rnn.weight_ih": (4 * STATE_SIZE, STATE_SIZE),
    "model.decoder.rnn.weight_hh": (4 * STATE_SIZE, STATE_SIZE),
    "model.decoder.rnn.bias_ih": (4 * STATE_SIZE,),
    "model.decoder.rnn.bias_hh": (4 * STATE_SIZE,),
    "model.decoder.decoder.2.weight": (1, STATE_SIZE, 1),
    "model.decoder.decoder.2.bias": (1,),
}

Matrix = NDArray[np.float32]


class SileroNetwork:
    """The network with the weights of the ONNX file `path`. Raises OperatorError if they are not there."""

    def __init__(self, path: Path) -> None:
        weights = {name.removeprefix("model."): values for name, values in read_weights(path, _SHAPES).items()}
        self._taper = _taper(weights["stft.forward_basis_buffer"][:, 0], path)
        layers = [f"encoder.{layer}.reparam_conv" for layer in range(len(_CHANNELS) - 1)]
        # [out, in, 3] -> [3 * in, out]: the rows of the frame before, of the frame, of the one after.
        kernels = [weights[f"{layer}.weight"].transpose(2, 1, 0) for layer in layers]
        # The third layer has no frame before, and the last one none before and none after: those rows meet nothing.
        used = (kernels[0], kernels[1], kernels[2][1:], kernels[3][1:2])
        self._kernels = [np.ascontiguousarray(kernel.reshape(-1, kernel.shape[-1])) for kernel in used]
        self._biases = [weights[f"{layer}.bias"] for layer in layers]
        # Input, forget, candidate, output: the candidate alone is a tanh to begin with.
        halves = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), STATE_SIZE)
        self._from_input = np.ascontiguousarray(weights["decoder.rnn.weight_ih"].T * halves)
        self._from_hidden = np.ascontiguousarray(weights["decoder.rnn.weight_hh"].T * halves)
        self._gate_bias = (weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"]) * halves
        self._out = weights["decoder.decoder.2.weight"].reshape(STATE_SIZE)
        self._out_bias = weights["decoder.decoder.2.bias"]

    def run(self, rows: Matrix, live: list[int], recurrent: Matrix) -> Matrix:
        """Probabilities [steps, sessions] of `rows` ([sum(live), ROW_SAMPLES], the end of each left for this to fill):
        step by step, those of the first live[step] sessions, which become fewer. `recurrent` [2, sessions, 128] is gone
        on from and written to."""
        rows[:, INPUT_SAMPLES:] = rows[:, INPUT_SAMPLES - 2 : INPUT_SAMPLES - 2 - _MIRRORED : -1]
        hidden = np.empty((len(rows), STATE_SIZE), np.float32)
        blocks = [self._encode(rows[start : start + _BLOCK]) for start in range(0, len(rows), _BLOCK)]
        gates = blocks[0] if len(blocks) == 1 else np.concatenate(blocks or [hidden])
        first = 0
        for sessions in live:
            state = recurrent[:, :sessions]
            self._step(gates[first : first + sessions], state)
            hidden[first : first + sessions] = state[0]
            first += sessions
        odds = np.maximum(hidden, 0, out=hidden) @ self._out
        odds += self._out_bias
        scores: Matrix = np.reciprocal(np.float32(1) + np.exp(-odds))
        if len(live) == 1:
            return scores[None]
        probabilities = np.zeros((len(live), recurrent.shape[1]), np.float32)
        first = 0
        for step, sessions in enumerate(live):
            probabilities[step, :sessions] = scores[first : first + sessions]
            first += sessions
        return probabilities

    def _encode(self, rows: Matrix) -> Matrix:
        """What the input adds to the gates [n, 512] of the LSTM."""
        n = len(rows)
        # A frame of zeros stands before the first one and after the last.
        framed = np.zeros((n, _FRAMES + 2, _BINS), np.float32)
        self._spectrum(rows, framed[:, 1:-1])
        wide = np.zeros((n, _FRAMES + 1, _CHANNELS[1]), np.float32)
        wide[:, 1:] = self._layer(0, _threes(framed, 1)).reshape(n, _FRAMES, -1)
        two = self._layer(1, _threes(wide, 2))
        one = self._layer(3, self._layer(2, two.reshape(n, -1)))
        gates = _product(one, self._from_input)
        gates += self._gate_bias
        return gates

    def _spectrum(self, rows: Matrix, out: Matrix) -> None:
        strides = (rows.strides[0], _HOP * rows.itemsize, rows.itemsize)
        frames = np.ndarray((len(rows), _FRAMES, _FRAME), np.float32, rows, 0, strides)
        np.abs(np.fft.rfft(frames * self._taper), out=out)

    def _layer(self, layer: int, rows: Matrix) -> Matrix:
        result = _product(rows, self._kernels[layer])
        result += self._biases[layer]
        return np.maximum(result, 0, out=result)

    def _step(self, gates: Matrix, state: Matrix) -> None:
        """One step of the LSTM: `state` [2, n, 128] (hidden, cell) becomes the next one; `gates` is used up."""
        gates += _product(state[0], self._from_hidden)
        np.tanh(gates, out=gates)
        enter, forget, candidate, leave = gates.reshape(-1, 4, STATE_SIZE).swapaxes(0, 1)
        # cell = sigmoid(f) * cell + sigmoid(i) * candidate, where each sigmoid is (1 + its tanh) / 2.
        forget += 1
        forget *= state[1]
        enter += 1
        enter *= candidate
        forget += enter
        np.multiply(forget, 0.5, out=state[1])
        leave += 1
        leave *= 0.5
        np.multiply(leave, np.tanh(state[1]), out=state[0])


def _product(rows: Matrix, weights: Matrix) -> Matrix:
    """rows @ weights. A product of matrices begins by laying out all of the weights anew; few rows are sooner done one
    by one."""
    result: Matrix = rows @ weights if len(rows) >= _FEW else np.matmul(rows[:, None], weights)[:, 0]
    return result


def _threes(frames: Matrix, step: int) -> Matrix:
    """Every `step`-th three neighbours among `frames` [n, m, channels], side by side: [n * ..., 3 * channels]."""
    n, count, channels = frames.shape
    shape = (n, (count - 3) // step + 1, 3 * channels)
    strides = (frames.strides[0], step * frames.strides[1], frames.itemsize)
    return np.ndarray(shape, np.float32, frames, 0, strides).reshape(-1, 3 * channels)


def _taper(transform: Matrix, path: Path) -> Matrix:
    """The window of the Fourier transform [real and imaginary parts, samples] that the file stores as a matrix."""
    taper = transform[0]  # of frequency 0, where every cosine is 1
    angles = 2 * np.pi / _FRAME * np.outer(np.arange(_BINS), np.arange(_FRAME))
    computed = np.concatenate((np.cos(angles), -np.sin(angles))) * taper
    if np.abs(computed - transform).max() > _SAME:
        raise OperatorError(
            f"A model file is not what was expected: {path}; its first layer is no windowed Fourier transform. "
            "Remove the file and run `hark pull` to fetch it again."
        )
    return np.ascontiguousarray(taper)
