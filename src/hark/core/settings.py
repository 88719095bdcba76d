"""What a session is set to, free of any dialect: the records, their defaults, merge and validation.

Rule: a `Patch` names only what the client sent; `merge` applies all of it or nothing. A field that was not sent is
UNSET, a field sent as null is None and switches its object off (contract C.4). A fault names its field by a dotted path
("turn_detection.threshold"), which a dialect turns into its own spelling for `param`.
Refuses: values outside the ranges of contract C.2, whatever dialect they came in.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, TypeVar

from msgspec import UNSET, Struct, UnsetType, structs

from hark.audio.denoise import Kind as NoiseKind
from hark.audio.formats import Encoding
from hark.audio.resample import MAX_RATE, MIN_RATE
from hark.errors import CallerError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Kind = Literal["transcription", "realtime"]
Eagerness = Literal["low", "medium", "high", "auto"]
Delay = Literal["minimal", "low", "medium", "high", "xhigh"]
LOGPROBS: Final = "item.input_audio_transcription.logprobs"
VOICE_ACTIVITY: Final = "hark.voice_activity"
INCLUDES: Final = (LOGPROBS, VOICE_ACTIVITY)

# Upper limits that no client has been seen to near; they keep a typing slip from buffering for hours.
MAX_PREFIX_MS: Final = 10_000
MAX_SILENCE_MS: Final = 60_000
MIN_IDLE_MS: Final = 5_000
MAX_IDLE_MS: Final = 30_000


class AudioFormat(Struct, frozen=True):
    """Encoding of the audio that a client appends: mono, little-endian pcm16 or G.711, `rate` in samples a second."""

    encoding: Encoding = "pcm16"
    rate: int = 24_000


class TurnDetection(Struct, frozen=True):
    """How turns are found. Defaults as seen on OpenAI's wire (contract fact 10: 200 ms, where its docs say 500)."""

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 200
    idle_timeout_ms: int | None = None
    eagerness: Eagerness = "auto"
    create_response: bool = True
    interrupt_response: bool = True


class Transcription(Struct, frozen=True):
    """Which model transcribes, and its hints. `model` is the name that the client used, alias or not."""

    model: str
    language: str | None = None
    languages: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    prompt: str | None = None
    delay: Delay | None = None


class NoiseReduction(Struct, frozen=True):
    """How much noise is to be taken out (docs/noise.md); `strength` 0 is none, like no NoiseReduction at all."""

    type: NoiseKind
    strength: float = 1.0


class SessionSettings(Struct, frozen=True):
    """All that a client can set. `turn_detection` None: the client commits. `transcription` None: nobody asked for a
    model by name, and the server's default transcribes, so that transcripts always come (contract H.12).
    `extras` holds, by wire name, the fields of a realtime session that Hark stores and echoes without acting on them.
    """

    kind: Kind = "transcription"
    model: str | None = None
    format: AudioFormat = AudioFormat()
    transcription: Transcription | None = None
    noise_reduction: NoiseReduction | None = None
    turn_detection: TurnDetection | None = TurnDetection()
    include: tuple[str, ...] = ()
    extras: dict[str, Json] = {}


class TurnDetectionPatch(Struct, frozen=True):
    """The keys of turn_detection that were sent."""

    type: Literal["server_vad", "semantic_vad"] | UnsetType = UNSET
    threshold: float | UnsetType = UNSET
    prefix_padding_ms: int | UnsetType = UNSET
    silence_duration_ms: int | UnsetType = UNSET
    idle_timeout_ms: int | UnsetType | None = UNSET
    eagerness: Eagerness | UnsetType = UNSET
    create_response: bool | UnsetType = UNSET
    interrupt_response: bool | UnsetType = UNSET


class TranscriptionPatch(Struct, frozen=True):
    """The keys of transcription that were sent."""

    model: str | UnsetType = UNSET
    language: str | UnsetType | None = UNSET
    languages: tuple[str, ...] | UnsetType = UNSET
    keywords: tuple[str, ...] | UnsetType = UNSET
    prompt: str | UnsetType | None = UNSET
    delay: Delay | UnsetType | None = UNSET


class Patch(Struct, frozen=True):
    """One update of the settings: what the client sent, and nothing else."""

    kind: Kind | UnsetType = UNSET
    model: str | UnsetType = UNSET
    format: AudioFormat | UnsetType = UNSET
    transcription: TranscriptionPatch | UnsetType | None = UNSET
    noise_reduction: NoiseReduction | UnsetType | None = UNSET
    turn_detection: TurnDetectionPatch | UnsetType | None = UNSET
    include: tuple[str, ...] | UnsetType = UNSET
    extras: dict[str, Json] = {}


class ModelCard(Struct, frozen=True):
    """What a session has to know of a transcription model name.

    `usage` is the shape of usage in `completed`, which depends on the model family (contract fact 11); `live` marks the
    names whose clients commit by themselves, so that turn detection starts switched off for them (contract C.4);
    `diarizes` those of which clients expect to be told who spoke. `streams`: its engine does.
    `languages`: whether `completed` tells those that were heard; `knows`: those that the engine can be asked for, empty
    where it does not say. `partials`: whether its engine may be asked about a
    turn before that ends.
    """

    name: str
    engine: str
    usage: Literal["tokens", "duration"] = "duration"
    live: bool = False
    languages: bool = False
    knows: tuple[str, ...] = ()
    partials: bool = True
    diarizes: bool = False
    streams: bool = False

    @property
    def turn_detection(self) -> TurnDetection | None:
        """Where the client has not chosen."""
        return None if self.live else TurnDetection()


class SettingsError(CallerError):
    """A setting is refused. `field` is its dotted path, which the dialect spells its own way for `param`."""

    def __init__(self, field: str, message: str, *, code: str = "invalid_value") -> None:
        super().__init__(message, code=code)
        self.field = field


P = TypeVar("P", bound=Struct)


def merge(current: SessionSettings, patch: Patch, default_model: str) -> SessionSettings:
    """`current` with what `patch` names put over it, checked. Raises SettingsError, and then nothing has changed.

    `default_model` names the transcription when the client sets other keys of it but no model.
    """
    changed: dict[str, object] = {"extras": {**current.extras, **patch.extras}}
    for name in ("kind", "format", "noise_reduction", "include"):
        value = getattr(patch, name)
        if value is not UNSET:
            changed[name] = value
    if patch.model is not UNSET and current.model is None:
        changed["model"] = patch.model  # a session's model is set once; later values are ignored, as at OpenAI (C.4)
    if patch.transcription is None:
        changed["transcription"] = None
    elif patch.transcription is not UNSET:
        base = current.transcription or Transcription(model=default_model)
        changed["transcription"] = _merge_transcription(base, patch.transcription)
    if patch.turn_detection is None:
        changed["turn_detection"] = None
    elif patch.turn_detection is not UNSET:
        changed["turn_detection"] = _merge_turn_detection(current.turn_detection, patch.turn_detection)
    merged = structs.replace(current, **changed)
    _validate(merged)
    return merged


def _merge_transcription(base: Transcription, patch: TranscriptionPatch) -> Transcription:
    if patch.language not in (UNSET, None, "") and patch.languages not in (UNSET, ()):
        raise SettingsError("transcription.languages", "Send either 'language' or 'languages', not both.")
    merged = _over(base, patch)
    if patch.languages not in (UNSET, ()):
        merged = structs.replace(merged, language=None)
    elif patch.language not in (UNSET, None, ""):
        merged = structs.replace(merged, languages=())
    # Clients send "" for "not set" (contract C.4).
    return structs.replace(merged, language=merged.language or None, prompt=merged.prompt or None)


def _merge_turn_detection(base: TurnDetection | None, patch: TurnDetectionPatch) -> TurnDetection:
    if base is None or patch.type not in (UNSET, base.type):
        base = TurnDetection()
    return _over(base, patch)


def _over(base: P, patch: Struct) -> P:
    sent = {name: value for name in patch.__struct_fields__ if (value := getattr(patch, name)) is not UNSET}
    return structs.replace(base, **sent)


def _validate(settings: SessionSettings) -> None:
    _between("format.rate", settings.format.rate, MIN_RATE, MAX_RATE)
    for name in settings.include:
        if name not in INCLUDES:
            listed = ", ".join(f"'{include}'" for include in INCLUDES)
            raise SettingsError("include", f"Invalid value: '{name}'. Supported values are: {listed}.")
    noise = settings.noise_reduction
    if noise is not None:
        _between("noise_reduction.strength", noise.strength, 0.0, 1.0)
    turn = settings.turn_detection
    if turn is not None:
        _between("turn_detection.threshold", turn.threshold, 0.0, 1.0)
        _between("turn_detection.prefix_padding_ms", turn.prefix_padding_ms, 0, MAX_PREFIX_MS)
        _between("turn_detection.silence_duration_ms", turn.silence_duration_ms, 0, MAX_SILENCE_MS)
        if turn.idle_timeout_ms is not None:
            _between("turn_detection.idle_timeout_ms", turn.idle_timeout_ms, MIN_IDLE_MS, MAX_IDLE_MS)


def _between(field: str, value: float, low: float, high: float) -> None:
    if low <= value <= high:
        return
    side = "below_min_value" if value < low else "above_max_value"
    message = f"Invalid {field}: {value}. Expected a value >= {low:g} and <= {high:g}."
    raise SettingsError(field, message, code=f"{'integer' if isinstance(low, int) else 'decimal'}_{side}")
