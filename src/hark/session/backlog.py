"""How far the models are behind a session: what the edge must not let grow without bound."""

from __future__ import annotations

from typing import Final

from hark.audio.formats import SAMPLE_BYTES
from hark.core.settings import AudioFormat
from hark.core.work import SAMPLE_RATE

# Past this much audio that waits for a model, or this many commands that wait for audio, no more should be read.
MAX_BACKLOG_S: Final = 60.0
MAX_WAITING: Final = 1_000


def seconds(waiting_samples: int, inbox_bytes: int, wire: AudioFormat) -> float:
    """Of audio: samples at 16 kHz that wait for a model, and bytes in `wire` that wait for their turn before them."""
    return waiting_samples / SAMPLE_RATE + inbox_bytes / (wire.rate * SAMPLE_BYTES[wire.encoding])
