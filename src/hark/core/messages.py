"""Command: what a client asks. Event: what happened. Both free of any dialect and any transport.

Rule: sample counts are internal and end in `_samples`; what leaves as milliseconds ends in `_ms` and is on the audio
clock, the milliseconds since the first sample that the client ever appended in the session (contract D.4).
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from hark.core.settings import AudioFormat, Json, Patch, SessionSettings
from hark.core.work import Token
from hark.errors import HarkError

# ---- commands ------------------------------------------------------------------------------------------------------


class Command(Struct, frozen=True, kw_only=True):
    """`event_id` is the client's own, echoed only in an error that this command causes."""

    event_id: str | None = None


class AppendAudio(Command, frozen=True):
    """Wire bytes in `format`, or else in the session's input format; a chunk may split a sample."""

    audio: bytes
    format: AudioFormat | None = None


class CommitAudio(Command, frozen=True):
    """End the turn here."""


class ClearAudio(Command, frozen=True):
    """Forget what was appended and not committed."""


class UpdateSettings(Command, frozen=True):
    """Apply `patch`, whole or not at all. `shows`: the dialect that the client speaks by it, handed back on success."""

    patch: Patch
    shows: Literal["ga", "beta"] | None = None


class RetrieveItem(Command, frozen=True):
    item_id: str


class DeleteItem(Command, frozen=True):
    item_id: str


class TruncateItem(Command, frozen=True):
    item_id: str


class CreateItem(Command, frozen=True):
    """Put the client's own item into the conversation, after `previous_item_id` ("root": first; None: last)."""

    item: dict[str, Json]
    previous_item_id: str | None = None


class CreateResponse(Command, frozen=True):
    """Ask a language model to answer; Hark has none and says so."""


class Ignored(Command, frozen=True):
    """An event that the API allows here and that asks nothing of a transcription server."""


class FinishSession(Command, frozen=True):
    """Finish the open turn, end every item, then end the session with this code and reason, after this error if there
    is one. `patient`: the turn in hand goes on, and the session ends when nobody is in the middle of one."""

    patient: bool = False
    code: int = 1000
    reason: str = ""
    error: HarkError | None = None


class AbandonSession(Command, frozen=True):
    """End now, whatever the models still work on: every item that was begun fails, if it has not ended."""


class ClientAway(Command, frozen=True):
    """The connection was lost, and the client may come back: the open turn waits for its audio."""


class ClientBack(Command, frozen=True):
    """It is here again, and told where it stands."""


class Refuse(Command, frozen=True):
    """A frame that could not be decoded: it takes its place in the order, so that its error does too."""

    error: HarkError


ItemCommand: TypeAlias = RetrieveItem | DeleteItem | TruncateItem | CreateItem
AnyCommand: TypeAlias = (
    AppendAudio
    | CommitAudio
    | ClearAudio
    | UpdateSettings
    | ItemCommand
    | CreateResponse
    | Ignored
    | FinishSession
    | AbandonSession
    | ClientAway
    | ClientBack
    | Refuse
)

# ---- events --------------------------------------------------------------------------------------------------------


DEFAULT_SESSION_MODEL: Final = "gpt-realtime"


class SessionView(Struct, frozen=True):
    """What is said of a session when it is created or updated. `expires_at` is in Unix seconds; `default_model` is
    shown for a realtime session whose client named no model."""

    id: str
    expires_at: int
    settings: SessionSettings
    default_model: str = DEFAULT_SESSION_MODEL

    @property
    def model(self) -> str:
        return self.settings.model or self.default_model


class Item(Struct, frozen=True):
    """A conversation item. `transcript` is None until it is known; `raw` is set for items that the client created."""

    id: str
    transcript: str | None = None
    raw: dict[str, Json] | None = None


class Usage(Struct, frozen=True):
    """What a transcript cost. `kind` picks the shape on the wire; all numbers are always there."""

    kind: Literal["tokens", "duration"]
    seconds: float
    input_text_tokens: int
    input_audio_tokens: int
    output_tokens: int


class SessionCreated(Struct, frozen=True):
    session: SessionView


class SessionResumed(Struct, frozen=True):
    """The client has come back. `audio_end_ms`: how much of its audio has been taken in, on the audio clock. `missed`:
    whether events were told meanwhile that nobody keeps any more."""

    session: SessionView
    audio_end_ms: int
    missed: bool = False


class SessionUpdated(Struct, frozen=True):
    session: SessionView
    shows: Literal["ga", "beta"] | None = None


class SpeechStarted(Struct, frozen=True):
    item_id: str
    audio_start_ms: int


class SpeechStopped(Struct, frozen=True):
    item_id: str
    audio_end_ms: int


class SilenceTimedOut(Struct, frozen=True):
    """Nobody spoke for idle_timeout_ms; the silence becomes an item of its own."""

    item_id: str
    audio_start_ms: int
    audio_end_ms: int


class VoiceActivity(Struct, frozen=True):
    """How surely each window of the audio holds a voice, one after another from `audio_start_ms` on. Only who asked
    for it by `include` is told."""

    audio_start_ms: int
    probabilities: tuple[float, ...]


class AudioCommitted(Struct, frozen=True):
    item_id: str
    previous_item_id: str | None


class AudioCleared(Struct, frozen=True):
    pass


class ItemAdded(Struct, frozen=True):
    item: Item
    previous_item_id: str | None


class ItemRetrieved(Struct, frozen=True):
    """`audio` is in the session's input format, None where it is gone."""

    item: Item
    audio: bytes | None


class ItemDeleted(Struct, frozen=True):
    item_id: str


class TranscriptDelta(Struct, frozen=True):
    """Text that will not change any more. The deltas of an item concatenate to its transcript exactly."""

    item_id: str
    text: str
    tokens: tuple[Token, ...] | None = None


class Word(Struct, frozen=True):
    """A word as it is written, and when it was said on the audio clock."""

    text: str
    start_ms: int
    end_ms: int


class SpeakerSegment(Struct, frozen=True):
    """A finished piece of an item's speech, and who spoke it: A, B, C…, or a name that came with the request."""

    item_id: str
    id: str
    speaker: str
    start_ms: int
    end_ms: int
    text: str


class TranscriptCompleted(Struct, frozen=True):
    """The one end of an item that went well. Times are those of the audio that was transcribed. `words` is None where
    the engine does not say when they were spoken. `no_speech`: how likely the engine thinks it that nobody spoke, None
    where it does not say."""

    item_id: str
    transcript: str
    usage: Usage
    audio_start_ms: int
    audio_end_ms: int
    tokens: tuple[Token, ...] | None = None
    words: tuple[Word, ...] | None = None
    languages: tuple[str, ...] | None = None
    no_speech: float | None = None


class TranscriptFailed(Struct, frozen=True):
    """The one end of an item that did not."""

    item_id: str
    error: HarkError


class ResponseRefused(Struct, frozen=True):
    """Answer to CreateResponse: there is no language model. Never an error, at which half of all clients stop."""

    response_id: str


class Refused(Struct, frozen=True):
    """An `error` event: a fault of one request; the session lives on. `shows` as in UpdateSettings."""

    error: HarkError
    event_id: str | None
    shows: Literal["ga", "beta"] | None = None


class SessionEnded(Struct, frozen=True):
    """The last event. `code` is a WebSocket close code; `error`, if any, goes out before it."""

    code: int
    reason: str
    error: HarkError | None = None


Event: TypeAlias = (
    SessionCreated
    | SessionResumed
    | SessionUpdated
    | SpeechStarted
    | SpeechStopped
    | SilenceTimedOut
    | VoiceActivity
    | AudioCommitted
    | AudioCleared
    | ItemAdded
    | ItemRetrieved
    | ItemDeleted
    | TranscriptDelta
    | SpeakerSegment
    | TranscriptCompleted
    | TranscriptFailed
    | ResponseRefused
    | Refused
    | SessionEnded
)
