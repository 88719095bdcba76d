"""Opus packets -> pcm16 at 16 kHz, mono, with libopus' own concealment of what was lost.

PyAV decodes Opus too, but at 48 kHz, in stereo, and cannot be told that a packet was lost. The libopus in its wheel
can: it decodes to 16 kHz mono at once, carries speech on over a hole (PLC), and takes a lost frame out of the packet
after it where the sender put it there (in-band FEC). So the library is called directly.

Rule: one decoder hears one stream, in order. Refuses: a machine without libopus, with the mend; and packets that are
no Opus, as None.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import weakref
from functools import lru_cache
from pathlib import Path
from typing import Final

import av

from hark.errors import OperatorError

RATE: Final = 16_000
MAX_FRAME_SAMPLES: Final = RATE * 120 // 1000  # the longest packet that there is
_SAMPLE_BYTES: Final = 2


class Opus:
    """The decoder of one stream."""

    rate = RATE

    def __init__(self) -> None:
        self._library = load()
        fault = ctypes.c_int(0)
        self._decoder = self._library.opus_decoder_create(RATE, 1, ctypes.byref(fault))
        if not self._decoder:
            raise OperatorError(f"libopus could not make a decoder (error {fault.value}).")
        weakref.finalize(self, self._library.opus_decoder_destroy, self._decoder)
        self._room = ctypes.create_string_buffer(MAX_FRAME_SAMPLES * _SAMPLE_BYTES)

    def decode(self, packet: bytes) -> bytes | None:
        """What the packet holds; None if it is no Opus."""
        return self._run(packet, MAX_FRAME_SAMPLES, fec=False) if packet else None

    def conceal(self, samples: int) -> bytes:
        """Speech carried on over a hole of so many samples, a multiple of 2.5 ms."""
        return self._run(None, samples, fec=False) or b""

    def recover(self, following: bytes, samples: int) -> bytes:
        """The frame that was lost before the packet `following`, if that one carries it; else as `conceal`."""
        return self._run(following, samples, fec=True) or b""

    def _run(self, packet: bytes | None, samples: int, *, fec: bool) -> bytes | None:
        size = 0 if packet is None else len(packet)
        got = self._library.opus_decode(self._decoder, packet, size, self._room, samples, int(fec))
        return None if got < 0 else self._room.raw[: got * _SAMPLE_BYTES]


@lru_cache(maxsize=1)
def load() -> ctypes.CDLL:
    """libopus: PyAV's, else the system's. Raises OperatorError if there is none."""
    package = Path(av.__file__).parent
    beside = [*package.parent.glob("av.libs/*opus*"), *package.glob(".dylibs/*opus*")]
    found = str(beside[0]) if beside else ctypes.util.find_library("opus")
    try:
        library = ctypes.CDLL(found) if found else None
    except OSError:
        library = None
    if library is None:
        raise OperatorError("WebRTC needs libopus, and there is none. Install it (Debian: apt install libopus0).")
    library.opus_decoder_create.restype = ctypes.c_void_p
    library.opus_decoder_create.argtypes = [ctypes.c_int32, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
    library.opus_decoder_destroy.restype = None
    library.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
    library.opus_decode.restype = ctypes.c_int
    library.opus_decode.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_char_p, ctypes.c_int, ctypes.c_int
    ]  # fmt: skip
    return library
