"""Notices audio that is not what the session says it is: swapped bytes, 8-bit samples, floats, two channels, a file.

The first sound is read in every way in which people are known to send it. Read wrongly, it is far too loud, or noise:
neighbouring samples are not alike (the lag-1 autocorrelation, Box and Jenkins, "Time Series Analysis", 2.1). Something
is said only where the declared reading has one of these faults and another reading has neither, so real noise, which
is noise in every reading, and loud sound pass.

Rule: this is for the log. Nothing is converted, refused or told to the client: the session's settings are its word.
Refuses: to judge silence, or more than the first sound of a session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hark.audio.formats import FULL_SCALE, Encoding, decode

# A look: 0.7 s of pcm16 at 24 kHz, 2 s of G.711. The first ones may fall on silence, which wrongly read is loud.
LOOK_BYTES: Final[dict[Encoding, int]] = {"pcm16": 1 << 15, "g711_ulaw": 1 << 14, "g711_alaw": 1 << 14}
LOOKS: Final = 12
BLOCK_BYTES: Final = 4_096
# Mean magnitudes as shares of full scale. Below the first a block is silence. Of 424 right streams made from the clips
# of docs/accuracy.md none lies above 0.34, and 98 of 100 lie below 0.16; G.711 read as pcm16 lies above 0.41.
SILENCE: Final = 0.003
LOUD: Final[dict[Encoding, float]] = {"pcm16": 0.38, "g711_ulaw": 0.2, "g711_alaw": 0.2}
PLAUSIBLE: Final = 0.3
# How alike neighbours are: below the first in noise; a reading above the second is sound beyond doubt.
NOISE: Final = 0.5
SOUND: Final = 0.8
# A reading is better than another one by so much at least. Of readings that are equals the first in _READINGS counts:
# quiet pcm16 is smooth with its bytes swapped too.
BETTER: Final = 0.05
# Steps inside pairs of samples, as a share of those between pairs: 1 for one channel, 0 for the same one twice.
TWO_CHANNELS: Final = 0.25
# Where the wave stands still between more than half of its pairs, it was computed and not recorded.
AT_REST: Final = 0.5
# Smaller steps between pairs (of full scale, root mean square) are a rumble, and their pattern is rounding.
SMALL_STEP: Final = 8 / FULL_SCALE

Samples = NDArray[np.float32]

_FILES: Final = (
    (b"OggS", 0, "an Ogg file (Opus or Vorbis)"),
    (b"\x1aE\xdf\xa3", 0, "a WebM file, as a browser's MediaRecorder makes it"),
    (b"fLaC", 0, "a FLAC file"),
    (b"ID3", 0, "an MP3 file"),
    (b"ftyp", 4, "an MP4 or M4A file"),
)


class Listener:
    """Looks at the first sound of a session in one format. `encoding` is what the session says."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._head = bytearray()
        self._sound = bytearray()
        self._first = True
        self._looks = 0

    @property
    def done(self) -> bool:
        return self._looks >= LOOKS

    def look(self, data: bytes) -> str | None:
        """Take the next wire bytes; what the log should say, once, if anything."""
        if self.done:
            return None
        self._head += data
        if self._first and len(self._head) >= 8:
            self._first = False
            for magic, at, name in _FILES:
                if self._head.startswith(magic, at):
                    self._looks = LOOKS
                    return _file(name, self._encoding)
        if len(self._head) + len(self._sound) < LOOK_BYTES[self._encoding]:
            return None  # were it all sound, it would not be enough yet
        whole = len(self._head) // BLOCK_BYTES * BLOCK_BYTES
        data = bytes(self._head[:whole])
        del self._head[:whole]
        levels = np.abs(decode(data, self._encoding).reshape(whole // BLOCK_BYTES, -1)).mean(axis=1)
        for block in np.flatnonzero(levels > SILENCE).tolist():
            self._sound += data[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]
        if len(self._sound) < LOOK_BYTES[self._encoding]:
            return None
        finding = judge(bytes(self._sound), self._encoding)
        self._sound.clear()
        self._looks = LOOKS if finding else self._looks + 1
        return finding


def judge(sound: bytes, encoding: Encoding) -> str | None:
    """What `sound`, in whole blocks, seems to be, if it is not what `encoding` says; None if nothing is amiss."""
    declared = decode(sound, encoding)
    centred = _centred(declared)
    alike = _likeness(centred)
    loud = _mean(np.abs(centred)) > LOUD[encoding]
    if not loud and alike >= NOISE:
        return _channels(declared, encoding)
    if alike + BETTER > 1:
        return None  # no reading can be so much better
    least = max(NOISE if loud else SOUND, alike + BETTER)
    likely = {}
    for name, read in _READINGS.items():
        centred = np.zeros(0, np.float32) if name == encoding else _centred(read(sound))
        if len(centred) and (found := _likeness(centred)) >= least and _is_plausible(centred):
            likely[name] = found
    needed = max(likely.values(), default=0.0) - BETTER
    best = next((name for name, found in likely.items() if found >= needed), None)
    if best is None:
        return None
    mend = f", or set the session's format to {best}" if best in SETTABLE else ""
    return (
        f"Read as {encoding} the audio is noise, and read as {_NAMES[best]} it is sound. "
        f"Expected {_EXPECTED[encoding]}: convert the audio before sending it{mend}."
    )


def _likeness(centred: Samples) -> float:
    """How alike neighbouring samples are: lag-1 autocorrelation, -1 to 1, and 0 if all are the same."""
    power = float(np.dot(centred, centred))
    return float(np.dot(centred[1:], centred[:-1])) / power if power > 0 else 0.0


def _is_plausible(centred: Samples) -> bool:
    return SILENCE / 10 < _mean(np.abs(centred)) < PLAUSIBLE


def _centred(samples: Samples) -> Samples:
    return samples - np.float32(_mean(samples)) if len(samples) else samples


def _mean(samples: Samples) -> float:
    return float(np.add.reduce(samples)) / len(samples)


def _channels(samples: Samples, encoding: Encoding) -> str | None:
    even = len(samples) // 2 * 2
    inside, between = samples[1:even:2] - samples[0:even:2], samples[2:even:2] - samples[1 : even - 1 : 2]
    within, across = float(np.dot(inside, inside)) / len(inside), float(np.dot(between, between)) / len(between)
    if within >= TWO_CHANNELS * across or across < SMALL_STEP**2 or (between == 0).mean() > AT_REST:
        return None
    return (
        "The audio seems to hold two channels, sample by sample in turn. Expected one channel "
        f"({_EXPECTED[encoding]}): mix them, or send one of them."
    )


def _file(name: str, encoding: Encoding) -> str:
    return (
        f"The audio begins like {name}. Expected {_EXPECTED[encoding]}: decode it before sending it, or upload the "
        "file to POST /v1/audio/transcriptions."
    )


def _swapped(sound: bytes) -> Samples:
    return np.frombuffer(sound, ">i2") * np.float32(1 / FULL_SCALE)


def _bytes(sound: bytes) -> Samples:
    return np.frombuffer(sound, np.uint8) * np.float32(1 / 128) - 1


def _floats(sound: bytes) -> Samples:
    samples = np.frombuffer(sound, "<f4")
    sane = np.isfinite(samples).all() and np.abs(samples).max(initial=0.0) <= 4.0
    return samples if sane else np.zeros(0, np.float32)


_READINGS: Final[dict[str, Callable[[bytes], Samples]]] = {
    "pcm16": lambda sound: decode(sound, "pcm16"),
    "g711_ulaw": lambda sound: decode(sound, "g711_ulaw"),
    "g711_alaw": lambda sound: decode(sound, "g711_alaw"),
    "swapped": _swapped,
    "bytes": _bytes,
    "floats": _floats,
}
SETTABLE: Final = ("pcm16", "g711_ulaw", "g711_alaw")
_NAMES: Final = {
    "pcm16": "pcm16",
    "g711_ulaw": "g711_ulaw",
    "g711_alaw": "g711_alaw",
    "swapped": "16-bit samples with the high byte first (big-endian)",
    "bytes": "unsigned 8-bit samples",
    "floats": "32-bit floats",
}
_EXPECTED: Final[dict[Encoding, str]] = {
    "pcm16": "16-bit samples with the low byte first, one channel",
    "g711_ulaw": "G.711 mu-law, a byte a sample, one channel",
    "g711_alaw": "G.711 A-law, a byte a sample, one channel",
}
