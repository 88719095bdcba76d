"""What a client secret is asked for, in the three requests that there are, and what is answered (contract A.1 to A.3).

Rule: the configuration is read as an update is, in either shape, and validated by the same merge. Beside the schema
stand the flat fields that people send and what they mean by them: `model`, `language`, `vad`, `expires_in`. All else is
an unknown parameter, named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, get_args

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs

from hark.core.messages import SessionView
from hark.core.settings import (
    AudioFormat,
    Json,
    Kind,
    ModelCard,
    NoiseReduction,
    Patch,
    SessionSettings,
    SettingsError,
    Transcription,
    TranscriptionPatch,
    TurnDetection,
    merge,
)
from hark.errors import AuthError, CallerError
from hark.protocol import wire
from hark.protocol.dialects import DIALECTS, PARAMS, Choice
from hark.protocol.sessions import BetaSession, answers_with_voice, parse
from hark.protocol.wire import DialectName

# The last part of each URL; all are POST.
Endpoint = Literal["client_secrets", "transcription_sessions", "sessions"]
ENDPOINTS: Final = get_args(Endpoint)
DEFAULT_SECONDS: Final = 600
MIN_SECONDS: Final = 10
MAX_SECONDS: Final = 7_200


class Order(Struct, frozen=True):
    """A secret that is asked for: what its sessions are set to, and for how many seconds it is valid."""

    dialect: DialectName
    kind: Kind
    patch: Patch
    seconds: int


class Lifetime(Struct, frozen=True, forbid_unknown_fields=True):
    """The anchor has one value, and OpenAI refuses who leaves it out."""

    anchor: Literal["created_at"]
    seconds: int | None = None


class SecretIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the beta requests say the lifetime; some of its types have the one name, some the other."""

    expires_at: Lifetime | None = None
    expires_after: Lifetime | None = None


class Vad(Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True


class GaRequest(Struct, frozen=True, forbid_unknown_fields=True):
    expires_after: Lifetime | None = None
    session: Raw | UnsetType = UNSET
    model: str | None = None
    language: str | None = None
    vad: Vad | bool | None = None
    expires_in: int | None = None


class BetaRequest(BetaSession, frozen=True, kw_only=True):
    expires_after: Lifetime | None = None
    language: str | None = None
    vad: Vad | bool | None = None
    expires_in: int | None = None


_ga: Final = msgspec.json.Decoder(GaRequest)
_beta: Final = msgspec.json.Decoder(BetaRequest)
_secret: Final = msgspec.json.Decoder(SecretIn | None)


# ---- reading -------------------------------------------------------------------------------------------------------


def read_order(endpoint: Endpoint, body: bytes) -> Order:
    """What a request to this endpoint asks for; an empty body asks for what is usual. Raises CallerError."""
    given = body.strip()
    given = b"{}" if given in (b"", b"null") else given
    if given[:1] != b"{":
        message = "The request body is no JSON object. Expected one such as {}, or no body."
        raise CallerError(message, code="invalid_json")
    try:
        match endpoint:
            case "client_secrets":
                return _ga_order(given)
            case "transcription_sessions":
                return _beta_order(given, "transcription")
            case "sessions":
                return _beta_order(given, "realtime")
    except wire.UNREADABLE as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error).rstrip(".")
        message = f"The request body is not valid JSON ({why}). Expected one object, or no body."
        raise CallerError(message, code="invalid_json") from error


def _ga_order(body: bytes) -> Order:
    """Without `session.type` it is a transcription session if the body says anything of transcription and names no
    model that answers with a voice; else a realtime one, as at OpenAI."""
    asked = wire.read(_ga, body)
    patch, given = Patch(), Raw(b"null") if isinstance(asked.session, UnsetType) else asked.session
    if bytes(given).strip() != b"null":
        patch, _ = wire.session_patch(given)
    patch = _with_flat(patch, asked.model, asked.language, asked.vad)
    listens = isinstance(patch.transcription, TranscriptionPatch) and patch.model is UNSET
    kind: Kind = patch.kind if patch.kind is not UNSET else "transcription" if listens else "realtime"
    return Order("ga", kind, patch, _seconds("expires_after.seconds", asked.expires_after, asked.expires_in))


def _beta_order(body: bytes, kind: Kind) -> Order:
    asked = wire.read(_beta, body)
    patch = _with_flat(asked.to_patch(), None, asked.language, asked.vad)
    where, lifetime = "expires_after.seconds", asked.expires_after
    if not isinstance(asked.client_secret, UnsetType):
        inside = wire.read(_secret, asked.client_secret, "client_secret") or SecretIn()
        for name in ("expires_after", "expires_at"):
            if getattr(inside, name) is not None:
                where, lifetime = f"client_secret.{name}.seconds", getattr(inside, name)
    return Order("beta", kind, patch, _seconds(where, lifetime, asked.expires_in))


def _with_flat(patch: Patch, model: str | None, language: str | None, vad: Vad | bool | None) -> Patch:
    """`patch` with the flat fields put where they belong, unless something stands there already."""
    named = model or (patch.model if patch.model is not UNSET else None)
    heard = patch.transcription if isinstance(patch.transcription, TranscriptionPatch) else TranscriptionPatch()
    if named and answers_with_voice(named):
        patch = structs.replace(patch, model=named)
    elif named and heard.model is UNSET:  # people mean the model that transcribes (contract A.1)
        heard = structs.replace(heard, model=named)
        patch = structs.replace(patch, model=UNSET)
    if language and heard.language is UNSET:
        heard = structs.replace(heard, language=language)
    if heard != TranscriptionPatch():
        patch = structs.replace(patch, transcription=heard)
    off = vad is False or (isinstance(vad, Vad) and not vad.enabled)
    return structs.replace(patch, turn_detection=None) if off and patch.turn_detection is UNSET else patch


def _seconds(where: str, lifetime: Lifetime | None, expires_in: int | None) -> int:
    if lifetime is not None and lifetime.seconds is not None:
        seconds = lifetime.seconds
    elif expires_in is not None:
        where, seconds = "expires_in", expires_in
    else:
        return DEFAULT_SECONDS
    if seconds < MIN_SECONDS:
        message = f"Invalid '{where}': integer below minimum value. Expected a value >= {MIN_SECONDS}, got {seconds}."
        raise CallerError(message, code="integer_below_min_value", param=where)
    if seconds > MAX_SECONDS:
        message = f"Invalid '{where}': integer above maximum value. Expected a value <= {MAX_SECONDS}, got {seconds}."
        raise CallerError(message, code="integer_above_max_value", param=where)
    return seconds


# ---- validating ----------------------------------------------------------------------------------------------------


def settle(
    order: Order, find_model: Callable[[str | None], ModelCard | None], base: SessionSettings | None = None
) -> Choice:
    """What a session opened with the secret starts from: the order put over `base`. Raises CallerError, its `param`
    spelled as in the request."""
    default = find_model(None)
    assert default is not None
    try:
        settings = merge(base or SessionSettings(), structs.replace(order.patch, kind=order.kind), default.name)
        card = find_model(settings.transcription.model if settings.transcription else None)
        if card is None:
            name = settings.transcription.model if settings.transcription else ""
            message = f'Model "{name}" is not supported in transcription mode.'
            raise SettingsError("transcription.model", message, code="invalid_model")
    except SettingsError as error:
        param = PARAMS[order.dialect](error.field)
        if order.dialect == "beta":  # whose requests have the fields of the session at their top level
            param = param.removeprefix("session.")
        raise CallerError(error.message, code=error.code, param=param) from error
    if card.live and order.patch.turn_detection is UNSET:  # their clients commit by themselves (contract C.4)
        settings = structs.replace(settings, turn_detection=None)
    return Choice(order.dialect, settings)


# ---- answering -----------------------------------------------------------------------------------------------------


def answer(dialect: DialectName, view: SessionView, value: str, expires_at: int) -> Mapping[str, Json]:
    """The body of the answer: the session as it is echoed over REST, and the secret."""
    shown = DIALECTS[dialect].session_object(view)
    if dialect == "ga":
        _show_idle_timeout(shown)
        return {"value": value, "expires_at": expires_at, "session": shown}
    shown["client_secret"] = {"value": value, "expires_at": expires_at}
    heard = shown["input_audio_transcription"]
    if isinstance(heard, dict) and heard["prompt"] is None:
        heard["prompt"] = ""
    if view.settings.kind == "transcription":
        shown["modalities"] = view.settings.extras.get("modalities", ["audio", "text"])
    return shown


def _show_idle_timeout(shown: dict[str, Json]) -> None:
    """Over REST a transcription session's turn_detection has this key too (contract A.3)."""
    match shown:
        case {"audio": {"input": {"turn_detection": dict(turns)}}} if turns["type"] == "server_vad":
            turns.setdefault("idle_timeout_ms", None)


# ---- travelling ----------------------------------------------------------------------------------------------------


class _Packed(Struct, frozen=True, array_like=True):
    dialect: DialectName
    kind: Kind
    model: str | None
    format: AudioFormat
    transcription: Transcription | None
    noise_reduction: NoiseReduction | None
    turn_detection: TurnDetection | None
    include: tuple[str, ...]
    extras: Raw


_SETTINGS: Final = SessionSettings.__struct_fields__
_packed: Final = msgspec.json.Decoder(_Packed)


def pack(choice: Choice) -> bytes:
    """The content of a secret."""
    fields = {name: getattr(choice.settings, name) for name in _SETTINGS}
    fields["extras"] = Raw(msgspec.json.encode(choice.settings.extras))
    return msgspec.json.encode(_Packed(choice.dialect, **fields))


def unpack(content: bytes) -> Choice:
    """What `pack` was given. Raises AuthError for what another version of Hark packed."""
    try:
        packed = _packed.decode(content)
    except wire.UNREADABLE as error:
        message = (
            "This client secret was minted by another version of Hark, whose configuration this one cannot read. "
            "Mint another one."
        )
        raise AuthError(message, code="invalid_api_key") from error
    extras = parse(packed.extras)
    assert isinstance(extras, dict)
    fields = {name: getattr(packed, name) for name in _SETTINGS} | {"extras": extras}
    return Choice(packed.dialect, SessionSettings(**fields))
