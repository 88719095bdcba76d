"""The server's events, as far as the client uses them (contract D.2).

Rule: an event or a field that is not named here is skipped, so a server may say more than this client knows.
"""

from __future__ import annotations

from typing import Final, TypeAlias, get_args

import msgspec
from msgspec import Struct


class SessionCreated(Struct, frozen=True, tag="session.created"):
    pass


class SessionUpdated(Struct, frozen=True, tag="session.updated"):
    pass


class SpeechStarted(Struct, frozen=True, tag="input_audio_buffer.speech_started"):
    item_id: str
    audio_start_ms: int


class SpeechStopped(Struct, frozen=True, tag="input_audio_buffer.speech_stopped"):
    item_id: str
    audio_end_ms: int


class AudioCommitted(Struct, frozen=True, tag="input_audio_buffer.committed"):
    item_id: str


class AudioCleared(Struct, frozen=True, tag="input_audio_buffer.cleared"):
    pass


class TranscriptDelta(Struct, frozen=True, tag="conversation.item.input_audio_transcription.delta"):
    item_id: str
    delta: str


class TranscriptCompleted(Struct, frozen=True, tag="conversation.item.input_audio_transcription.completed"):
    """The times are Hark's addition: where the turn's speech lies on the audio clock."""

    item_id: str
    transcript: str
    start_ms: int | None = None
    end_ms: int | None = None


class Fault(Struct, frozen=True):
    message: str = "no reason given"
    code: str | None = None
    param: str | None = None
    event_id: str | None = None


class TranscriptFailed(Struct, frozen=True, tag="conversation.item.input_audio_transcription.failed"):
    item_id: str
    error: Fault


class ErrorEvent(Struct, frozen=True, tag="error"):
    error: Fault


Event: TypeAlias = (
    SessionCreated
    | SessionUpdated
    | SpeechStarted
    | SpeechStopped
    | AudioCommitted
    | AudioCleared
    | TranscriptDelta
    | TranscriptCompleted
    | TranscriptFailed
)


class _Head(Struct):
    type: str


_head = msgspec.json.Decoder(_Head)
_event = msgspec.json.Decoder(Event | ErrorEvent)
_known: Final = {kind.__struct_config__.tag for kind in get_args(Event | ErrorEvent)}


def decode(frame: str | bytes) -> Event | ErrorEvent | None:
    """The event in a frame, or None for a type that the client has no use for. Raises msgspec.DecodeError."""
    return _event.decode(frame) if _head.decode(frame).type in _known else None
