"""The bodies of HTTP answers as types: what handlers write, and what /openapi.json says of them, from one source.

Rule: a struct has exactly the keys that may be on the wire; a key that is not always there is UNSET where it is not.
Session objects are written by the dialects key by key; here they are only described, and a test reads real ones back
by these types.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from hark.core.settings import Delay, Eagerness, Json
from hark.protocol.sessions import NoiseType


class _Body(Struct, frozen=True, forbid_unknown_fields=True):
    pass


def told(body: Struct) -> dict[str, Json]:
    """The body as JSON values, without what is UNSET."""
    values: dict[str, Json] = msgspec.to_builtins(body)
    return values


# ---- errors --------------------------------------------------------------------------------------------------------


class Fault(_Body, frozen=True):
    """What was wrong. All four keys are always there."""

    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None
    code: str | None


class Refusal(_Body, frozen=True):
    """The error envelope: the body of every answer that is not 2xx or 3xx."""

    error: Fault


# ---- usage ---------------------------------------------------------------------------------------------------------


class DurationUsage(_Body, frozen=True, tag_field="type", tag="duration"):
    """In seconds, rounded up."""

    seconds: int


class TokenDetails(_Body, frozen=True):
    text_tokens: int
    audio_tokens: int


class TokenUsage(_Body, frozen=True, tag_field="type", tag="tokens"):
    """In tokens: 10 for each second of audio, and one for each 4 characters of the prompt."""

    total_tokens: int
    input_tokens: int
    input_token_details: TokenDetails
    output_tokens: int


Usage: TypeAlias = DurationUsage | TokenUsage


class UploadRefusal(_Body, frozen=True):
    """The error envelope as uploads get it, with the usage beside it."""

    error: Fault
    usage: DurationUsage | UnsetType = UNSET


# ---- transcripts of files ------------------------------------------------------------------------------------------


class LogProb(_Body, frozen=True):
    token: str
    logprob: float
    bytes: list[int]


class Language(_Body, frozen=True):
    """ISO 639-1."""

    code: str


class Transcript(_Body, frozen=True):
    """`response_format=json`. `logprobs` and `languages`: if asked for, and for the models that tell them."""

    text: str
    usage: Usage
    logprobs: list[LogProb] | UnsetType = UNSET
    languages: list[Language] | UnsetType = UNSET


class Segment(_Body, frozen=True):
    """A turn, in Whisper's terms. Times are in seconds; `tokens` is always empty, `no_speech_prob` always 0."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class Word(_Body, frozen=True):
    """A word and an estimate of when it was said, in seconds."""

    word: str
    start: float
    end: float


class VerboseTranscript(_Body, frozen=True, kw_only=True):
    """`response_format=verbose_json`. `language` is an English name, or "unknown"."""

    task: Literal["transcribe"]
    language: str
    duration: float
    text: str
    segments: list[Segment] | UnsetType = UNSET
    words: list[Word] | UnsetType = UNSET
    usage: DurationUsage


class SpeakerSegment(_Body, frozen=True, tag_field="type", tag="transcript.text.segment"):
    """A piece of speech and who spoke it: A, B, C…, or a known speaker's name. Times are in seconds."""

    id: str
    start: float
    end: float
    text: str
    speaker: str


class DiarizedTranscript(_Body, frozen=True):
    """`response_format=diarized_json`."""

    text: str
    task: Literal["transcribe"]
    duration: float
    segments: list[SpeakerSegment]
    usage: Usage


class PlainTranscript(_Body, frozen=True):
    """The text alone."""

    text: str


class TextDelta(_Body, frozen=True, tag_field="type", tag="transcript.text.delta"):
    """A frame of a stream: more text that will not change."""

    delta: str
    logprobs: list[LogProb] | UnsetType = UNSET


class TextDone(_Body, frozen=True, tag_field="type", tag="transcript.text.done"):
    """The last frame of a stream but `[DONE]`."""

    text: str
    usage: TokenUsage
    logprobs: list[LogProb] | UnsetType = UNSET
    languages: list[Language] | UnsetType = UNSET


StreamFrame: TypeAlias = TextDelta | SpeakerSegment | TextDone


# ---- what was heard in a session -----------------------------------------------------------------------------------


class ItemFault(_Body, frozen=True):
    """Why an item has no transcript."""

    type: str
    message: str
    code: str | None


class HeardItem(_Body, frozen=True):
    """An item of a session, in order. Times are milliseconds on its audio clock. While it is in progress its transcript
    is what has been said of it so far."""

    id: str
    status: Literal["in_progress", "completed", "failed"]
    transcript: str
    start_ms: int | None
    end_ms: int | None
    error: ItemFault | UnsetType = UNSET


class Readiness(_Body, frozen=True):
    """Whether new sessions are welcome."""

    status: Literal["ready", "draining"]


class SessionTranscript(_Body, frozen=True):
    """`status`: `open`, `away` while its client is cut off and may come back, or `ended`. `complete`: whether all of
    its items are here; the oldest fall out."""

    id: str
    status: Literal["open", "away", "ended"]
    text: str
    items: list[HeardItem]
    complete: bool
    object: Literal["realtime.session.transcript"] = "realtime.session.transcript"


# ---- models, and where things are ----------------------------------------------------------------------------------


class Model(_Body, frozen=True):
    """A name that clients may use. `created` is in Unix seconds."""

    id: str
    created: int
    owned_by: str
    object: Literal["model"] = "model"


class ModelList(_Body, frozen=True):
    data: list[Model]
    object: Literal["list"] = "list"


class Health(_Body, frozen=True):
    status: Literal["ok"] = "ok"


class Index(_Body, frozen=True):
    """Where things are, as whole URLs, and whether a key or client secret is needed there."""

    name: str
    version: str
    realtime: str
    transcriptions: str
    models: str
    health: str
    openapi: str
    docs: str
    credential_required: bool


# ---- sessions, as minting answers them ----------------------------------------------------------------------------


class GaFormat(_Body, frozen=True):
    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
    rate: int | UnsetType = UNSET


class BetaFormat(_Body, frozen=True):
    type: Literal["pcm16", "g711_ulaw", "g711_alaw"]
    rate: int


class Transcription(_Body, frozen=True):
    model: str
    language: str | None
    prompt: str | None
    languages: list[str] | UnsetType = UNSET
    keywords: list[str] | UnsetType = UNSET
    delay: Delay | UnsetType = UNSET


class NoiseReduction(_Body, frozen=True):
    type: NoiseType
    strength: float | UnsetType = UNSET


class ServerVad(_Body, frozen=True, tag_field="type", tag="server_vad"):
    threshold: float
    prefix_padding_ms: int
    silence_duration_ms: int
    idle_timeout_ms: int | UnsetType | None = UNSET
    create_response: bool | UnsetType = UNSET
    interrupt_response: bool | UnsetType = UNSET


class SemanticVad(_Body, frozen=True, tag_field="type", tag="semantic_vad"):
    eagerness: Eagerness
    create_response: bool | UnsetType = UNSET
    interrupt_response: bool | UnsetType = UNSET


TurnDetection: TypeAlias = ServerVad | SemanticVad | None


class GaInputSet(_Body, frozen=True):
    format: GaFormat
    transcription: Transcription | None
    noise_reduction: NoiseReduction | None
    turn_detection: TurnDetection


class GaOutputSet(_Body, frozen=True):
    """Kept as it was sent."""

    format: Raw
    voice: Raw
    speed: Raw


class GaAudioSet(_Body, frozen=True):
    input: GaInputSet
    output: GaOutputSet | UnsetType = UNSET


class GaTranscriptionSession(_Body, frozen=True, tag_field="type", tag="transcription"):
    object: Literal["realtime.transcription_session"]
    id: str
    expires_at: int
    audio: GaAudioSet
    include: list[str] | None


class GaRealtimeSession(_Body, frozen=True, tag_field="type", tag="realtime"):
    """The fields of any JSON value are kept as they were sent."""

    object: Literal["realtime.session"]
    id: str
    model: str
    output_modalities: Raw
    instructions: Raw
    tools: Raw
    tool_choice: Raw
    max_output_tokens: Raw
    tracing: Raw
    truncation: Raw
    prompt: Raw
    expires_at: int
    audio: GaAudioSet
    include: list[str] | None


class ClientSecret(_Body, frozen=True):
    """GA: the secret, until when it opens sessions (Unix seconds), and what these start from."""

    value: str
    expires_at: int
    session: GaTranscriptionSession | GaRealtimeSession


class BetaSecret(_Body, frozen=True):
    value: str
    expires_at: int


class _BetaMinted(_Body, frozen=True):
    id: str
    expires_at: int
    modalities: Raw
    turn_detection: TurnDetection
    input_audio_format: Literal["pcm16", "g711_ulaw", "g711_alaw"] | BetaFormat
    input_audio_transcription: Transcription | None
    input_audio_noise_reduction: NoiseReduction | None
    include: list[str] | None
    client_secret: BetaSecret


class BetaTranscriptionMinted(_BetaMinted, frozen=True):
    """The beta dialect: the session, with the secret in it."""

    object: Literal["realtime.transcription_session"]


class BetaRealtimeMinted(_BetaMinted, frozen=True):
    """The beta dialect: the session, with the secret in it."""

    object: Literal["realtime.session"]
    model: str
    instructions: Raw
    voice: Raw
    output_audio_format: Raw
    tools: Raw
    tool_choice: Raw
    temperature: Raw
    max_response_output_tokens: Raw
    speed: Raw
    tracing: Raw
