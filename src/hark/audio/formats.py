"""Wire samples <-> float32 samples: 16-bit PCM and the two laws of G.711.

Rule: pure functions of whole samples, one table look-up or one product a sample. Full scale is 32768, so every wire
sample has one float and comes back as itself. Refuses: to guess; a split sample is the intake's business.

G.711 is computed from ITU-T Recommendation G.711 (11/88), tables 1a to 2b, in 16-bit units. Both laws cut each half of
the scale into 8 segments of 16 equal steps, the step doubling from segment to segment, and decode to the middle of a
step. mu-law sends the step's bits inverted, A-law every other bit; the first bit is the sign, 1 for positive.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Encoding = Literal["pcm16", "g711_ulaw", "g711_alaw"]

FULL_SCALE: Final = 32_768.0
SAMPLE_BYTES: Final[dict[Encoding, int]] = {"pcm16": 2, "g711_ulaw": 1, "g711_alaw": 1}

# A code's last seven bits, before they are inverted, number the steps upwards from silence.
_STEP: Final = np.arange(128)
_SEGMENT: Final = _STEP >> 4
# mu-law's segment n begins at 2^(n+7) - 132 with steps of 2^(n+3): the 132 makes silence itself the middle of a step.
_ULAW_HALF_STEP: Final = 4 << _SEGMENT
_ULAW_LEVELS: Final = (((_STEP & 15) << 3) + 132 << _SEGMENT) - 132
# A-law's first two segments share one step size and join; silence is the edge of a step.
_ALAW_HALF_STEP: Final = 8 << np.maximum(_SEGMENT - 1, 0)
_ALAW_LEVELS: Final = ((_STEP & 15) * 16 + 8 + 256 * (_SEGMENT > 0)) << np.maximum(_SEGMENT - 1, 0)


def _decoder(levels: NDArray[np.int64], inverted: int) -> NDArray[np.float32]:
    """The sample of each of the 256 codes; mu-law's two zeros stay apart as 0.0 and -0.0."""
    codes = np.arange(256)
    signs = np.where(codes & 0x80, 1 / FULL_SCALE, -1 / FULL_SCALE)
    samples: NDArray[np.float32] = (signs * levels[(codes ^ inverted) & 0x7F]).astype(np.float32)
    return samples


_DECODERS: Final[dict[Encoding, NDArray[np.float32]]] = {
    "g711_ulaw": _decoder(_ULAW_LEVELS, 0x7F),
    "g711_alaw": _decoder(_ALAW_LEVELS, 0x55),
}
# Where each step begins, by magnitude.
_EDGES: Final[dict[Encoding, NDArray[np.int64]]] = {
    "g711_ulaw": _ULAW_LEVELS - _ULAW_HALF_STEP,
    "g711_alaw": _ALAW_LEVELS - _ALAW_HALF_STEP,
}


def decode(data: bytes, encoding: Encoding) -> NDArray[np.float32]:
    """Float32 [n] in [-1, 1] of `data`, which holds whole samples. Every code stands for a finite value."""
    if encoding == "pcm16":
        return np.frombuffer(data, "<i2") * np.float32(1 / FULL_SCALE)
    return _DECODERS[encoding][np.frombuffer(data, np.uint8)]


def encode(audio: NDArray[np.float32], encoding: Encoding) -> bytes:
    """The bytes of `audio` (finite, any shape [n]); what lies outside [-1, 1] is clipped."""
    scaled = audio * np.float32(FULL_SCALE)
    if encoding == "pcm16":
        return bytes(np.clip(np.rint(scaled), -FULL_SCALE, FULL_SCALE - 1).astype("<i2"))
    # The last step has no end among the edges: that clips.
    steps = np.searchsorted(_EDGES[encoding], np.abs(scaled), side="right") - 1
    codes = np.where(np.signbit(scaled), steps, steps | 0x80) ^ (0x7F if encoding == "g711_ulaw" else 0x55)
    return bytes(codes.astype(np.uint8))
