"""The two shapes of a session object, nested (GA) and flat (beta): read into a Patch, written from settings.

Rule: what Hark acts on is typed; what belongs to a realtime session with a voice of its own (instructions, tools,
output audio …) is kept as it came and echoed (contract C.3). Fields that published clients are known to send beside the
schema are accepted (contract C.2, G); anything else is an unknown parameter.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from msgspec import UNSET, Raw, Struct, UnsetType, json, structs

from hark.audio.formats import Encoding
from hark.core.settings import (
    AudioFormat,
    Delay,
    Eagerness,
    Json,
    NoiseReduction,
    Patch,
    SessionSettings,
    Transcription,
    TranscriptionPatch,
    TurnDetection,
    TurnDetectionPatch,
)

FormatName = Literal["audio/pcm", "audio/pcmu", "audio/pcma", "pcm16", "g711_ulaw", "g711_alaw"]
NoiseType = Literal["near_field", "far_field"]
TurnType = Literal["server_vad", "semantic_vad", "none"]

# Both dialects' spellings are read in both places.
_ENCODINGS: Final[dict[FormatName, Encoding]] = {
    "audio/pcm": "pcm16", "audio/pcmu": "g711_ulaw", "audio/pcma": "g711_alaw",
    "pcm16": "pcm16", "g711_ulaw": "g711_ulaw", "g711_alaw": "g711_alaw",
}  # fmt: skip
_GA_NAMES: Final[dict[Encoding, str]] = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
_NATIVE_RATE: Final[dict[Encoding, int]] = {"pcm16": 24_000, "g711_ulaw": 8_000, "g711_alaw": 8_000}
_ENUMS: Final[dict[str, object]] = {
    "format.type": FormatName, "format": FormatName, "input_audio_format.type": FormatName,
    "input_audio_format": FormatName, "eagerness": Eagerness, "delay": Delay,
    "turn_detection.type": TurnType, "noise_reduction.type": NoiseType, "input_audio_noise_reduction.type": NoiseType,
    "anchor": Literal["created_at"], "session.type": Literal["transcription", "realtime"],
}  # fmt: skip


# Names of models that answer with a voice: Hark runs the input side of such a session …
REALTIME_PREFIXES: Final = ("gpt-realtime", "gpt-4o-realtime", "gpt-4o-mini-realtime")
# … but for these, which transcribe.
_TRANSCRIBERS: Final = ("gpt-realtime-whisper",)


def answers_with_voice(model: str) -> bool:
    """Whether this is the name of a session's model, and not of one that transcribes."""
    name = model.lower()
    return name.startswith(REALTIME_PREFIXES) and not name.startswith(_TRANSCRIBERS)


def enum_values(path: str) -> tuple[str, ...]:
    """The values that the field at this dotted path may take, if they can be listed."""
    return next((get_args(values) for name, values in _ENUMS.items() if f".{path}".endswith(f".{name}")), ())


class Format(Struct, frozen=True, forbid_unknown_fields=True):
    type: FormatName = "audio/pcm"
    rate: int | None = None

    def to_core(self) -> AudioFormat:
        encoding = _ENCODINGS[self.type]
        return AudioFormat(encoding, _NATIVE_RATE[encoding] if self.rate is None else self.rate)


class TranscriptionIn(Struct, frozen=True, forbid_unknown_fields=True):
    model: str | UnsetType | None = UNSET
    language: str | UnsetType | None = UNSET
    languages: list[str] | UnsetType | None = UNSET
    keywords: list[str] | UnsetType | None = UNSET
    prompt: str | UnsetType | None = UNSET
    delay: Delay | UnsetType | None = UNSET

    def to_patch(self) -> TranscriptionPatch:
        return TranscriptionPatch(
            model=self.model or UNSET,
            language=self.language,
            languages=_tupled(self.languages),
            keywords=_tupled(self.keywords),
            prompt=self.prompt,
            delay=self.delay,
        )


class NoiseReductionIn(Struct, frozen=True, forbid_unknown_fields=True):
    type: NoiseType | None = None
    strength: float = 1.0

    def to_core(self) -> NoiseReduction | None:
        return NoiseReduction(self.type, self.strength) if self.type else None


class TurnDetectionIn(Struct, frozen=True, forbid_unknown_fields=True):
    """`model_version` is what agents-js sends, type "none" what people on the forum do (contract C.2)."""

    type: TurnType | UnsetType = UNSET
    threshold: float | UnsetType | None = UNSET
    prefix_padding_ms: int | UnsetType | None = UNSET
    silence_duration_ms: int | UnsetType | None = UNSET
    idle_timeout_ms: int | UnsetType | None = UNSET
    eagerness: Eagerness | UnsetType | None = UNSET
    create_response: bool | UnsetType | None = UNSET
    interrupt_response: bool | UnsetType | None = UNSET
    model_version: str | UnsetType | None = UNSET

    def to_patch(self) -> TurnDetectionPatch | None:
        if self.type == "none":
            return None
        sent = {name: getattr(self, name) for name in self.__struct_fields__ if name != "model_version"}
        idle = sent.pop("idle_timeout_ms")
        return TurnDetectionPatch(idle_timeout_ms=idle, **{k: v for k, v in sent.items() if v not in (UNSET, None)})


def parse(raw: Raw) -> Json:
    """Any JSON value, as it came."""
    value: Json = json.decode(raw)
    return value


def _tupled(values: list[str] | UnsetType | None) -> tuple[str, ...] | UnsetType:
    return values if isinstance(values, UnsetType) else tuple(values or ())


def _transcription(value: TranscriptionIn | UnsetType | None) -> TranscriptionPatch | UnsetType | None:
    return value.to_patch() if isinstance(value, TranscriptionIn) else value


def _turns(value: TurnDetectionIn | UnsetType | None) -> TurnDetectionPatch | UnsetType | None:
    return value.to_patch() if isinstance(value, TurnDetectionIn) else value


def _noise(value: NoiseReductionIn | UnsetType | None) -> NoiseReduction | UnsetType | None:
    return value.to_core() if isinstance(value, NoiseReductionIn) else value


def _format(value: Format | FormatName | UnsetType | None) -> AudioFormat | UnsetType:
    if isinstance(value, Format):
        return value.to_core()
    return UNSET if isinstance(value, UnsetType) or value is None else Format(value).to_core()


# Fields of a realtime session that are stored and echoed; each dialect has its own.
GA_EXTRAS: Final[dict[str, Json]] = {
    "output_modalities": ["audio"], "instructions": "", "tools": [], "tool_choice": "auto", "max_output_tokens": "inf",
    "tracing": None, "truncation": "auto", "prompt": None,
}  # fmt: skip
GA_OUTPUT: Final[dict[str, Json]] = {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "alloy", "speed": 1.0}
# Each key of audio.output is kept under a name of its own, so that an update changes only the keys it names.
_OUTPUT: Final = "audio.output."
BETA_EXTRAS: Final[dict[str, Json]] = {
    "modalities": ["audio", "text"], "instructions": "", "voice": "alloy", "output_audio_format": "pcm16", "tools": [],
    "tool_choice": "auto", "temperature": 0.8, "max_response_output_tokens": "inf", "speed": 1.0, "tracing": None,
}  # fmt: skip
BETA_FIELDS: Final = frozenset(BETA_EXTRAS.keys() - GA_EXTRAS.keys()) | {
    "input_audio_format", "input_audio_transcription", "input_audio_noise_reduction", "turn_detection",
}  # fmt: skip


class GaInput(Struct, frozen=True, forbid_unknown_fields=True):
    format: Format | UnsetType | None = UNSET
    transcription: TranscriptionIn | UnsetType | None = UNSET
    noise_reduction: NoiseReductionIn | UnsetType | None = UNSET
    turn_detection: TurnDetectionIn | UnsetType | None = UNSET


class GaOutput(Struct, frozen=True, forbid_unknown_fields=True):
    """What a voice would sound like: kept and echoed."""

    format: Raw | UnsetType = UNSET
    voice: Raw | UnsetType = UNSET
    speed: Raw | UnsetType = UNSET


class GaAudio(Struct, frozen=True, forbid_unknown_fields=True):
    input: GaInput = GaInput()
    output: GaOutput = GaOutput()


class _Extras(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Realtime fields of either dialect, and what clients echo back from session.created."""

    id: str | UnsetType = UNSET
    object: str | UnsetType = UNSET
    expires_at: int | UnsetType | None = UNSET
    client_secret: Raw | UnsetType = UNSET
    model: str | UnsetType | None = UNSET
    include: list[str] | UnsetType | None = UNSET
    instructions: Raw | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET
    tool_choice: Raw | UnsetType = UNSET
    tracing: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET
    truncation: Raw | UnsetType = UNSET
    output_modalities: Raw | UnsetType = UNSET
    max_output_tokens: Raw | UnsetType = UNSET
    parallel_tool_calls: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    modalities: Raw | UnsetType = UNSET
    voice: Raw | UnsetType = UNSET
    output_audio_format: Raw | UnsetType = UNSET
    temperature: Raw | UnsetType = UNSET
    max_response_output_tokens: Raw | UnsetType = UNSET
    speed: Raw | UnsetType = UNSET

    def extras(self) -> dict[str, Json]:
        names = _Extras.__struct_fields__[_Extras.__struct_fields__.index("instructions") :]
        return {name: parse(value) for name in names if (value := getattr(self, name)) is not UNSET}


class GaSession(_Extras, frozen=True, kw_only=True):
    type: Literal["transcription", "realtime"] | UnsetType = UNSET
    audio: GaAudio = GaAudio()

    def to_patch(self) -> Patch:
        extras = self.extras()
        spoken = ((name, getattr(self.audio.output, name)) for name in GaOutput.__struct_fields__)
        extras |= {_OUTPUT + name: parse(value) for name, value in spoken if value is not UNSET}
        given = self.audio.input
        return Patch(
            kind=self.type,
            model=self.model or UNSET,
            format=_format(given.format),
            transcription=_transcription(given.transcription),
            noise_reduction=_noise(given.noise_reduction),
            turn_detection=_turns(given.turn_detection),
            include=_tupled(self.include),
            extras=extras,
        )


class BetaSession(_Extras, frozen=True, kw_only=True):
    """`input_audio_format` may also be GA's object, which is the one way to say another rate than 24 kHz."""

    input_audio_format: Format | FormatName | UnsetType | None = UNSET
    input_audio_transcription: TranscriptionIn | UnsetType | None = UNSET
    input_audio_noise_reduction: NoiseReductionIn | UnsetType | None = UNSET
    turn_detection: TurnDetectionIn | UnsetType | None = UNSET

    def to_patch(self) -> Patch:
        return Patch(
            model=self.model or UNSET,
            format=_format(self.input_audio_format),
            transcription=_transcription(self.input_audio_transcription),
            noise_reduction=_noise(self.input_audio_noise_reduction),
            turn_detection=_turns(self.turn_detection),
            include=_tupled(self.include),
            extras=self.extras(),
        )


# ---- writing -------------------------------------------------------------------------------------------------------


def write_output(settings: SessionSettings) -> Json:
    sent = {name.removeprefix(_OUTPUT): value for name, value in settings.extras.items() if name.startswith(_OUTPUT)}
    return GA_OUTPUT | sent


def write_transcription(value: Transcription | None) -> Json:
    if value is None:
        return None
    written: dict[str, Json] = {"model": value.model, "language": value.language, "prompt": value.prompt}
    for name in ("languages", "keywords"):
        if getattr(value, name):
            written[name] = list(getattr(value, name))
    if value.delay is not None:
        written["delay"] = value.delay
    return written


def write_noise(value: NoiseReduction | None) -> Json:
    if value is None:
        return None
    return {"type": value.type} | ({} if value.strength == 1.0 else {"strength": value.strength})


def write_turns(value: TurnDetection | None, *, realtime: bool) -> Json:
    """A realtime session echoes three keys more than a transcription session does (contract A.3, C.2)."""
    if value is None:
        return None
    written: dict[str, Json] = {"type": value.type}
    if value.type == "server_vad":
        written |= {name: getattr(value, name) for name in structs.asdict(value) if name in _SERVER_VAD}
        if realtime or value.idle_timeout_ms is not None:
            written["idle_timeout_ms"] = value.idle_timeout_ms
    else:
        written["eagerness"] = value.eagerness
    if realtime:
        written |= {"create_response": value.create_response, "interrupt_response": value.interrupt_response}
    return written


_SERVER_VAD: Final = ("threshold", "prefix_padding_ms", "silence_duration_ms")


def write_ga_format(value: AudioFormat) -> Json:
    if value.rate == _NATIVE_RATE[value.encoding] and value.encoding != "pcm16":
        return {"type": _GA_NAMES[value.encoding]}
    return {"type": _GA_NAMES[value.encoding], "rate": value.rate}


def write_beta_format(value: AudioFormat) -> Json:
    return (
        value.encoding if value.rate == _NATIVE_RATE[value.encoding] else {"type": value.encoding, "rate": value.rate}
    )


def write_include(settings: SessionSettings) -> Json:
    return list(settings.include) or None
