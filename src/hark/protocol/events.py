"""Events -> frames, where both dialects say the same; and the parts of frames that both need.

Rule: every frame has an event_id of its own; `usage` is always there and whole; nothing in a frame is null that a real
client is known to stumble over (contract D.2: `code` and `param` of a failed transcription).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Final, TypeAlias, assert_never

import msgspec
import pybase64

from hark.core import messages as m
from hark.core.settings import VOICE_ACTIVITY, Json, SettingsError
from hark.core.work import WINDOW_SAMPLES, Token, to_ms
from hark.errors import HarkError
from hark.protocol.answers import DurationUsage, LogProb, TokenDetails, TokenUsage, Usage, told

NewId: TypeAlias = Callable[[str], str]
# One text frame. Only the encoder of a session's last event has nothing to say.
Frame: TypeAlias = str
# Clients' receive limits begin at 1 MiB (contract B.4), and base64 adds a third.
MAX_ITEM_AUDIO_BYTES: Final = 700_000

SharedEvent: TypeAlias = (
    m.SpeechStarted
    | m.SpeechStopped
    | m.SilenceTimedOut
    | m.VoiceActivity
    | m.AudioCommitted
    | m.AudioCleared
    | m.ItemRetrieved
    | m.ItemDeleted
    | m.TranscriptDelta
    | m.SpeakerSegment
    | m.TranscriptCompleted
    | m.TranscriptFailed
    | m.ResponseRefused
    | m.SessionEnded
)
_encoder: Final = msgspec.json.Encoder()
_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"


def frame(event_type: str, new_id: NewId, /, **body: Json) -> Frame:
    """One frame: `type`, a new `event_id`, and the body."""
    return _encoder.encode({"type": event_type, "event_id": new_id("event"), **body}).decode()


def error(fault: HarkError, event_id: str | None, new_id: NewId, param: Callable[[str], str] = str) -> Frame:
    """An `error` event; `param` spells a setting's path in the dialect of the session."""
    where = param(fault.field) if isinstance(fault, SettingsError) else fault.param
    body: Json = {
        "type": fault.type,
        "code": fault.code,
        "message": fault.message,
        "param": where,
        "event_id": event_id,
    }
    return frame("error", new_id, error=body)


def resumed(event: m.SessionResumed) -> dict[str, Json]:
    """Where a client that has come back stands: an extra of the event that opens every connection."""
    return {"audio_end_ms": event.audio_end_ms, "events_missed": event.missed}


def item(value: m.Item, audio: bytes | None = None) -> dict[str, Json]:
    """An item; its content part is always there, with its `transcript` key (agents-js throws without either)."""
    head: dict[str, Json] = {"id": value.id, "object": "realtime.item"}
    if value.raw is not None:
        return {"type": "message", "status": "completed", "content": [], **value.raw, **head}
    part: dict[str, Json] = {"type": "input_audio", "transcript": value.transcript}
    if audio is not None and len(audio) <= MAX_ITEM_AUDIO_BYTES:
        part["audio"] = pybase64.b64encode_as_string(audio)
    return {**head, "type": "message", "status": "completed", "role": "user", "content": [part]}


def logprobs(tokens: Sequence[Token]) -> list[LogProb]:
    """Of the tokens of which the engine knows it."""
    return [LogProb(t.text, t.logprob, list(t.text.encode())) for t in tokens if t.logprob is not None]


def usage(value: m.Usage) -> Usage:
    """Token usage or whole seconds, rounded up, by model family (contract fact 11)."""
    if value.kind == "duration":
        return DurationUsage(ceil(value.seconds))
    return token_usage(value)


def token_usage(value: m.Usage) -> TokenUsage:
    heard = value.input_text_tokens + value.input_audio_tokens
    details = TokenDetails(value.input_text_tokens, value.input_audio_tokens)
    return TokenUsage(heard + value.output_tokens, heard, details, value.output_tokens)


def encode(event: SharedEvent, new_id: NewId) -> list[Frame]:
    match event:
        case m.SpeechStarted():
            at = {"audio_start_ms": event.audio_start_ms}
            return [frame("input_audio_buffer.speech_started", new_id, **at, item_id=event.item_id)]
        case m.SpeechStopped():
            at = {"audio_end_ms": event.audio_end_ms}
            return [frame("input_audio_buffer.speech_stopped", new_id, **at, item_id=event.item_id)]
        case m.SilenceTimedOut():
            at = {"audio_start_ms": event.audio_start_ms, "audio_end_ms": event.audio_end_ms}
            return [frame("input_audio_buffer.timeout_triggered", new_id, **at, item_id=event.item_id)]
        case m.VoiceActivity():
            heard: list[Json] = [round(probability, 3) for probability in event.probabilities]
            window = {"audio_start_ms": event.audio_start_ms, "window_ms": to_ms(WINDOW_SAMPLES)}
            return [frame(VOICE_ACTIVITY, new_id, **window, probabilities=heard)]
        case m.AudioCommitted():
            before = event.previous_item_id
            return [frame("input_audio_buffer.committed", new_id, previous_item_id=before, item_id=event.item_id)]
        case m.AudioCleared():
            return [frame("input_audio_buffer.cleared", new_id)]
        case m.ItemRetrieved():
            return [frame("conversation.item.retrieved", new_id, item=item(event.item, event.audio))]
        case m.ItemDeleted():
            return [frame("conversation.item.deleted", new_id, item_id=event.item_id)]
        case m.TranscriptDelta() | m.TranscriptCompleted() | m.TranscriptFailed():
            return [_transcription(event, new_id)]
        case m.SpeakerSegment():
            # On the session's clock: what OpenAI counts from is not documented (contract D.4).
            span: dict[str, Json] = {"start": event.start_ms / 1000, "end": event.end_ms / 1000}
            who: dict[str, Json] = {"id": event.id, "text": f" {event.text}", "speaker": event.speaker}
            return [frame(f"{_TRANSCRIPTION}.segment", new_id, item_id=event.item_id, content_index=0, **who, **span)]
        case m.ResponseRefused():
            return _response(event.response_id, new_id)
        case m.SessionEnded():
            return [] if event.error is None else [error(event.error, None, new_id)]
        case _:
            assert_never(event)


def _transcription(event: m.TranscriptDelta | m.TranscriptCompleted | m.TranscriptFailed, new_id: NewId) -> Frame:
    body: dict[str, Json] = {"item_id": event.item_id, "content_index": 0}
    match event:
        case m.TranscriptDelta():
            body["delta"] = event.text
            if event.tokens is not None:
                body["logprobs"] = [told(token) for token in logprobs(event.tokens)]
            return frame(f"{_TRANSCRIPTION}.delta", new_id, **body)
        case m.TranscriptCompleted():
            body |= {"transcript": event.transcript, "usage": told(usage(event.usage))}
            # Not OpenAI's: every client checked tolerates more keys here, and people ask for times (contract H.24).
            body |= {"start_ms": event.audio_start_ms, "end_ms": event.audio_end_ms}
            if event.words is not None:
                body["words"] = [{"word": w.text, "start_ms": w.start_ms, "end_ms": w.end_ms} for w in event.words]
            if event.tokens is not None:
                body["logprobs"] = [told(token) for token in logprobs(event.tokens)]
            if event.languages is not None:
                body["languages"] = [{"code": code} for code in event.languages]
            return frame(f"{_TRANSCRIPTION}.completed", new_id, **body)
        case m.TranscriptFailed():
            fault = event.error
            named: dict[str, Json] = {"code": fault.code, "param": fault.param}
            said = {name: value for name, value in named.items() if value is not None}
            return frame(
                f"{_TRANSCRIPTION}.failed", new_id, **body, error={"type": fault.type, "message": fault.message, **said}
            )


def _response(response_id: str, new_id: NewId) -> list[Frame]:
    """A response that ends at once: Hark transcribes and has no language model."""
    why: Json = {
        "type": "invalid_request_error",
        "code": "no_language_model",
        "message": "This server transcribes; it has no language model to answer with. Transcripts come without "
        "response.create.",
    }
    base: dict[str, Json] = {"id": response_id, "object": "realtime.response", "output": [], "usage": None}
    open_: Json = {**base, "status": "in_progress", "status_details": None}
    done: Json = {**base, "status": "failed", "status_details": {"type": "failed", "error": why}}
    return [frame("response.created", new_id, response=open_), frame("response.done", new_id, response=done)]
