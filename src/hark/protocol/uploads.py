"""The fields of an upload's form -> what is to be transcribed, how, and how to answer (contract A.8).

Rule: a list is read as `x`, `x[]` and `x[0]`, an object as `x[key]` or as one JSON text; "" means "not set", and a
field that no schema has is ignored, since clients of other servers send theirs. What OpenAI grants to one of its models
alone, Hark grants to any, but for the forms of answer, which clients choose by the model's name.
Refuses: values outside the table of the contract, in its words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal, get_args

import msgspec
import pybase64
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from hark.core.languages import LANGUAGES
from hark.core.settings import (
    LOGPROBS,
    ModelCard,
    Patch,
    SessionSettings,
    SettingsError,
    TranscriptionPatch,
    TurnDetection,
    TurnDetectionPatch,
    merge,
)
from hark.errors import CallerError, NotFoundError

Format = Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]
Granularity = Literal["word", "segment"]
FORMATS: Final = get_args(Format)
GRANULARITIES: Final = get_args(Granularity)
# OpenAI takes a whole file for one turn; Hark cuts it at pauses, and at 200 ms it would cut sentences (docs/turns.md).
FILE_SILENCE_MS: Final = 500
MAX_SPEAKERS: Final = 4
_GRANULARITIES: Final = "timestamp_granularities"
_NO_STREAM: Final = "whisper-1"
_TRUE: Final = ("true", "1")
_FALSE: Final = ("false", "0")


class Chunking(Struct, frozen=True, forbid_unknown_fields=True):
    """`chunking_strategy` where it is an object; its defaults are those of turn detection."""

    type: Literal["server_vad"]
    threshold: float | UnsetType = UNSET
    prefix_padding_ms: int | UnsetType = UNSET
    silence_duration_ms: int | UnsetType = UNSET


class PlainForm(Struct, frozen=True, kw_only=True):
    """The one part that has to be there. Forms are only described by types: `Fields` reads their many spellings."""

    file: Annotated[bytes, Meta(description="an audio or video file, with a filename")]


class UploadForm(PlainForm, frozen=True, kw_only=True):
    """The parts of an upload, by their names."""

    model: str | UnsetType = UNSET
    response_format: Format | UnsetType = UNSET
    stream: bool | UnsetType = UNSET
    language: Annotated[str, Meta(description="ISO 639-1")] | UnsetType = UNSET
    languages: Annotated[list[str], Meta(description="ISO 639-1; not with language")] | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    keywords: Annotated[list[str], Meta(description="words, without <, > and line breaks")] | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    include: list[Literal["logprobs"]] | UnsetType = UNSET
    timestamp_granularities: list[Granularity] | UnsetType = UNSET
    chunking_strategy: Literal["auto"] | Chunking | UnsetType = UNSET
    known_speaker_names: Annotated[list[str], Meta(max_length=MAX_SPEAKERS)] | UnsetType = UNSET
    known_speaker_references: Annotated[list[str], Meta(max_length=MAX_SPEAKERS)] | UnsetType = UNSET


class KnownSpeaker(Struct, frozen=True):
    """A name, and a file of any container in which its bearer speaks."""

    name: str
    file: bytes


class Upload(Struct, frozen=True):
    """A request that can be carried out."""

    card: ModelCard
    settings: SessionSettings
    response_format: str = "json"
    stream: bool = False
    logprobs: bool = False
    granularities: tuple[str, ...] = ("segment",)
    temperature: float = 0.0
    known_speakers: tuple[KnownSpeaker, ...] = ()

    @property
    def diarizes(self) -> bool:
        """Whether it is to be told who spoke."""
        return self.card.diarizes or self.response_format == "diarized_json"


class Fields:
    """What was sent, by base name."""

    def __init__(self, sent: Sequence[tuple[str, str]]) -> None:
        self._lists: dict[str, list[str]] = {}
        self._objects: dict[str, dict[str, str]] = {}
        for name, value in sent:
            base, _, key = name.partition("[")
            key = key.removesuffix("]")
            if key and not key.isdecimal():
                self._objects.setdefault(base, {})[key] = value
            else:
                self._lists.setdefault(base, []).append(value)

    def one(self, name: str) -> str | None:
        """The last value sent, None if it is empty or was not sent."""
        return self._lists.get(name, [""])[-1] or None

    def many(self, name: str) -> tuple[str, ...]:
        return tuple(value for value in self._lists.get(name, []) if value)

    def nested(self, name: str) -> dict[str, str]:
        return self._objects.get(name, {})


def read_upload(sent: Sequence[tuple[str, str]], find_model: Callable[[str | None], ModelCard | None]) -> Upload:
    """Raises CallerError, with the field in `param`."""
    fields = Fields(sent)
    name = fields.one("model")
    card = find_model(name)
    if card is None:
        shown = (name or "")[:100]
        message = f"The model '{shown}' does not exist. Send an OpenAI name for transcription, such as whisper-1."
        raise NotFoundError(message, code="model_not_found", param="model")
    answer = _response_format(fields, card)
    granularities = tuple(_choice(_GRANULARITIES, v, GRANULARITIES) for v in fields.many(_GRANULARITIES))
    if granularities and answer != "verbose_json":
        message = f"timestamp_granularities needs response_format 'verbose_json'; got '{answer}'. Change one of them."
        raise CallerError(message, code="unsupported_value", param=_GRANULARITIES)
    logprobs = bool([_choice("include", value, ("logprobs",)) for value in fields.many("include")])
    if logprobs and answer != "json":
        message = f"include 'logprobs' needs response_format 'json'; got '{answer}'. Change one of them."
        raise CallerError(message, code="unsupported_value", param="include")
    diarize = card.diarizes
    _check_speakers(fields)
    if diarize and fields.one("prompt"):
        raise CallerError("Prompt is not supported for diarization models", code="unsupported_value", param="prompt")
    if diarize and not fields.one("chunking_strategy") and not fields.nested("chunking_strategy"):
        message = "chunking_strategy is required for diarization models"
        raise CallerError(message, code="missing_required_parameter", param="chunking_strategy")
    return Upload(
        card=card,
        settings=_settings(fields, card, logprobs=logprobs or answer == "verbose_json"),
        response_format=answer,
        stream=_stream(fields) and card.name != _NO_STREAM,
        logprobs=logprobs,
        granularities=granularities or ("segment",),
        temperature=_temperature(fields),
        known_speakers=_known_speakers(fields) if diarize or answer == "diarized_json" else (),
    )


def _response_format(fields: Fields, card: ModelCard) -> str:
    wanted = _choice("response_format", fields.one("response_format") or "json", FORMATS)
    allowed: tuple[str, ...] = FORMATS
    if card.name.startswith("gpt-4o"):
        allowed = ("json", "text", "diarized_json") if card.diarizes else ("json", "text")
    if wanted not in allowed:
        message = (
            f"response_format '{wanted}' is not compatible with model '{card.name}'. "
            f"Use {' or '.join(repr(name) for name in allowed)} instead."
        )
        raise CallerError(message, code="unsupported_value", param="response_format")
    return wanted


def _settings(fields: Fields, card: ModelCard, *, logprobs: bool) -> SessionSettings:
    start = SessionSettings(turn_detection=_turns(fields), include=(LOGPROBS,) if logprobs else ())
    asked = TranscriptionPatch(
        model=card.name,
        language=_language("language", fields.one("language")),
        languages=tuple(code for v in fields.many("languages") if (code := _language("languages", v))) or UNSET,
        keywords=fields.many("keywords"),
        prompt=fields.one("prompt"),
    )
    for keyword in fields.many("keywords"):
        if set(keyword) & set("<>\r\n"):
            message = "Invalid value for 'keywords': expected words without '<', '>' and line breaks. Leave those out."
            raise CallerError(message, code="invalid_value", param="keywords")
    try:
        return merge(start, Patch(transcription=asked), card.name)
    except SettingsError as error:
        raise _spelled(error) from None


def _turns(fields: Fields) -> TurnDetection:
    text, nested = fields.one("chunking_strategy"), fields.nested("chunking_strategy")
    if not nested and text in (None, "auto", '"auto"', "null"):
        return TurnDetection(silence_duration_ms=FILE_SILENCE_MS)
    try:
        given = nested or msgspec.json.decode(text or "")
        asked = msgspec.convert(given, Chunking, strict=not nested)
    except (msgspec.MsgspecError, RecursionError) as error:
        message = (
            f"Invalid value for 'chunking_strategy' ({error}). Expected 'auto', or an object with type 'server_vad' "
            "and threshold, prefix_padding_ms or silence_duration_ms."
        )
        raise CallerError(message, code="invalid_value", param="chunking_strategy") from None
    try:
        merged = merge(SessionSettings(), Patch(turn_detection=TurnDetectionPatch(**structs.asdict(asked))), "")
    except SettingsError as error:
        raise _spelled(error) from None
    assert merged.turn_detection is not None
    return merged.turn_detection


def _spelled(error: SettingsError) -> CallerError:
    """The same, with the name of the form's field."""
    group, _, name = error.field.partition(".")
    param = f"chunking_strategy.{name}" if group == "turn_detection" else name
    return CallerError(error.message, code=error.code, param=param)


def _language(param: str, value: str | None) -> str | None:
    if value is None or value.lower() in LANGUAGES:
        return value and value.lower()
    message = f"Invalid language '{value[:40]}'. Language parameter must be specified in ISO-639-1 format."
    raise CallerError(message, code="invalid_language_format", param=param)


def _temperature(fields: Fields) -> float:
    text = fields.one("temperature") or "0"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        message = f"Invalid value for 'temperature': expected a number from 0 to 1; got '{text[:40]}'."
        raise CallerError(message, code="invalid_value", param="temperature")
    return value


def _stream(fields: Fields) -> bool:
    text = (fields.one("stream") or "false").lower()
    if text not in (*_TRUE, *_FALSE):
        message = f"Invalid value for 'stream': expected true or false; got '{text[:40]}'."
        raise CallerError(message, code="invalid_value", param="stream")
    return text in _TRUE


def _check_speakers(fields: Fields) -> None:
    for name in ("known_speaker_names", "known_speaker_references"):
        if len(fields.many(name)) > MAX_SPEAKERS:
            message = (
                f"Expected at most {MAX_SPEAKERS} values in '{name}'; got {len(fields.many(name))}. Leave some out."
            )
            raise CallerError(message, code="invalid_value", param=name)


def _known_speakers(fields: Fields) -> tuple[KnownSpeaker, ...]:
    names, references = fields.many("known_speaker_names"), fields.many("known_speaker_references")
    if len(names) != len(references) or len(set(names)) != len(names):
        message = (
            "Expected a recording in 'known_speaker_references' for each of 'known_speaker_names', and each name once; "
            f"got {len(names)} names and {len(references)} recordings."
        )
        raise CallerError(message, code="invalid_value", param="known_speaker_references")
    return tuple(KnownSpeaker(name, _data(reference)) for name, reference in zip(names, references, strict=True))


def _data(url: str) -> bytes:
    head, _, body = url.partition(",")
    try:
        if not head.startswith("data:") or not head.endswith(";base64"):
            raise ValueError
        return pybase64.b64decode(body, validate=True)
    except ValueError:
        message = (
            "Invalid value for 'known_speaker_references': expected data URLs such as 'data:audio/wav;base64,UklGR…'; "
            f"got '{url[:40]}'."
        )
        raise CallerError(message, code="invalid_value", param="known_speaker_references") from None


def _choice(param: str, value: str, options: Sequence[str]) -> str:
    if value in options:
        return value
    listed = ", ".join(f"'{option}'" for option in options)
    raise CallerError(
        f"Invalid value: '{value[:40]}'. Supported values are: {listed}.", code="invalid_value", param=param
    )
