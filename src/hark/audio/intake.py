"""Wire bytes -> 16 kHz mono float32: a decoder and a resampler, swapped together when the format changes.

Chunks may cut anywhere, in the middle of a sample too (contract E). People send whole .wav files: a RIFF header at the
very start of a session's audio is no sound and is skipped. What it says about the format is compared, not obeyed: the
session's settings are the client's word, and `notice` tells the log where the two disagree, or where the audio itself
does not sound like what they say (mistakes.py).

Rule: no sample is lost and none doubled, and `position` says at any moment how many there are. What comes out is always
finite, since every wire code stands for a number. Refuses: any say in what the samples mean.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hark.audio.formats import SAMPLE_BYTES, Encoding, decode, encode
from hark.audio.mistakes import Listener
from hark.audio.resample import Resampler

RATE: Final = 16_000

# Editors put titles and cue sheets before the sound. A header larger than this is taken for sound after all.
_MAX_HEADER_BYTES: Final = 1 << 16
_RIFF_BYTES: Final = 12
_CHUNK_BYTES: Final = 8
# Format tags (RIFF, "fmt " chunk) by encoding, with the bits a sample; EXTENSIBLE keeps the true tag at offset 24.
_WAV_FORMATS: Final[dict[tuple[int, int], Encoding]] = {(1, 16): "pcm16", (6, 8): "g711_alaw", (7, 8): "g711_ulaw"}
_WAV_EXTENSIBLE: Final = 0xFFFE


class Intake:
    """The audio of one session. `wire_samples` counts the samples taken in, headers left out."""

    def __init__(self, encoding: Encoding, rate: int) -> None:
        """Raises CallerError if `rate` is not one from 8000 to 48000."""
        self.notice: str | None = None
        self.wire_samples = 0
        self._header: bytes | None = b""  # what may become a header; None once sound has begun
        self._before = 0  # 16 kHz samples that former chains stand for
        self._start(encoding, rate)

    def _start(self, encoding: Encoding, rate: int) -> None:
        self._resampler = Resampler(rate, RATE)
        self._encoding = encoding
        self._rate = rate
        self._chain_samples = 0
        self._odd = b""  # the part of a sample that has come
        self._listener = Listener(encoding)

    @property
    def position(self) -> int:
        """16 kHz samples that all audio so far stands for: all that push and switch returned, and `tail` now."""
        return self._before + self._chain_samples * RATE // self._rate

    def push(self, data: bytes) -> NDArray[np.float32]:
        """Take the next bytes and return the 16 kHz samples that are complete: float32 [n], finite, n perhaps 0."""
        if self._header is not None:
            data = self._skip_header(self._header + data)
        if finding := self._listener.look(data):
            self.notice = f"{self.notice} {finding}" if self.notice else finding
        data = self._odd + data
        whole = len(data) - len(data) % SAMPLE_BYTES[self._encoding]
        self._odd = data[whole:]
        samples = decode(data[:whole], self._encoding)
        self.wire_samples += len(samples)
        self._chain_samples += len(samples)
        return self._resampler.push(samples)

    def reads(self, encoding: Encoding, rate: int) -> bool:
        """Whether this is the format that bytes are read in now."""
        return encoding == self._encoding and rate == self._rate

    def tail(self) -> NDArray[np.float32]:
        """The samples up to `position` that push still holds back; the next push gives their place anew."""
        return self._resampler.tail()

    def realign(self) -> None:
        """What comes next begins with a whole sample: the rest of one whose end was lost is dropped."""
        self._odd = b""

    def switch(self, encoding: Encoding, rate: int) -> NDArray[np.float32]:
        """Go on in another format; returns what the old chain still held. The same format again changes nothing.

        Half a sample of the old format is dropped. Raises CallerError for a rate as the constructor does, and then
        nothing has changed.
        """
        if self.reads(encoding, rate):
            return np.zeros(0, np.float32)
        tail, position = self.tail(), self.position
        self._start(encoding, rate)
        self._before = position
        return tail

    def _skip_header(self, head: bytes) -> bytes:
        """The sound in `head`, all that has come of the session: nothing as long as it may still be a header."""
        if not _may_be_wav(head) or len(head) > _MAX_HEADER_BYTES:
            self._header = None
            return head
        self._header = head
        at, format_chunk = _RIFF_BYTES, b""
        while len(head) >= at + _CHUNK_BYTES:
            name, size = struct.unpack_from("<4sI", head, at)
            at += _CHUNK_BYTES
            if name == b"data":
                self._header = None
                self.notice = _disagreement(format_chunk, self._encoding, self._rate)
                return head[at:]
            if name == b"fmt ":
                format_chunk = head[at : at + size]
            at += size + size % 2  # chunks are padded to even lengths
        return b""


def wire_bytes(audio: NDArray[np.float32], encoding: Encoding, rate: int) -> bytes:
    """The way back: 16 kHz samples as a client in this format would have sent them."""
    resampler = Resampler(RATE, rate)
    return b"".join(encode(part, encoding) for part in (resampler.push(audio), resampler.tail()))


def _may_be_wav(head: bytes) -> bool:
    return b"RIFF".startswith(head[:4]) and b"WAVE".startswith(head[8:_RIFF_BYTES])


def _disagreement(format_chunk: bytes, encoding: Encoding, rate: int) -> str | None:
    """What the log should say of a WAV header, or None where header and session agree."""
    if len(format_chunk) < 16:
        return "The audio began with a WAV header without a complete format chunk; it was skipped."
    tag, channels, wav_rate, _, _, bits = struct.unpack_from("<HHIIHH", format_chunk)
    if tag == _WAV_EXTENSIBLE and len(format_chunk) >= 26:
        (tag,) = struct.unpack_from("<H", format_chunk, 24)
    wav_encoding = _WAV_FORMATS.get((tag, bits))
    if (wav_encoding, channels, wav_rate) == (encoding, 1, rate):
        return None
    said = f"{wav_encoding or f'format {tag} with {bits} bits a sample'}, channels: {channels}, rate: {wav_rate}"
    return (
        f"The audio began with a WAV header ({said}); the session says {encoding}, channels: 1, rate: {rate}. "
        "The audio is read as the session says: set the session's format to that of the file, or convert the file."
    )
