"""Which dialect and which kind of session a connection asks for: the table of contract B.2, and nothing else decides.

Rule: OpenAI refuses most mixtures of these signs, and published clients send all of them; Hark takes every one that can
be understood. What is refused is a model that nobody offers, and the caller is told what is on offer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from msgspec import Struct, structs

from hark.core import messages as m
from hark.core.settings import Json, ModelCard, SessionSettings, Transcription
from hark.errors import CallerError
from hark.protocol import beta, ga
from hark.protocol.events import Frame, NewId
from hark.protocol.sessions import answers_with_voice
from hark.protocol.wire import DialectName

BETA_HEADER: Final = "realtime=v1"
BETA_SUBPROTOCOL: Final = "openai-beta.realtime-v1"


FindModel: TypeAlias = Callable[[str | None], ModelCard | None]


class Dialect(Protocol):
    """What a dialect's module offers. Decoding is shared (wire.py): frames of both are understood on every socket."""

    def encode(self, event: m.Event, new_id: NewId) -> list[Frame]: ...

    def session_object(self, view: m.SessionView) -> dict[str, Json]: ...


DIALECTS: Final[dict[DialectName, Dialect]] = {"ga": ga, "beta": beta}
PARAMS: Final[dict[DialectName, Callable[[str], str]]] = {"ga": ga.param, "beta": beta.param}


class Handshake(Struct, frozen=True):
    """The signs in a connection's request. Header names are lower case; lists are in the order sent."""

    path: str
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    subprotocols: Sequence[str] = ()


class Choice(Struct, frozen=True):
    dialect: DialectName
    settings: SessionSettings


def subprotocol(offered: Sequence[str]) -> str | None:
    """`realtime` if it is offered, else none; never the one that carries a key (contract B.1)."""
    return "realtime" if "realtime" in offered else None


def choose(handshake: Handshake, find_model: FindModel, minted: Choice | None = None) -> Choice:
    """Dialect and first settings for a handshake, and for the client secret that it shows: `minted` is what that one
    carries, and the handshake's own signs go over it. Raises CallerError invalid_model."""
    query = handshake.query
    settings = minted.settings if minted else SessionSettings()
    intent, model = query.get("intent"), query.get("model")
    deployment = query.get("deployment")
    if not model and deployment and (answers_with_voice(deployment) or find_model(deployment)):
        model = deployment  # at Azure people name their deployments as they like; an unknown one says nothing
    card = find_model(model) if model else None
    if model and card is None and answers_with_voice(model):
        if minted is None and intent != "transcription" and not handshake.path.endswith("/transcription_sessions"):
            settings = SessionSettings(kind="realtime", model=model)
    elif model:
        if card is None:
            mode = "transcription" if intent == "transcription" else "realtime"
            message = (
                f'Model "{model}" is not supported in {mode} mode. '
                "Name none, or one that GET /v1/models or `hark models` lists."
            )
            raise CallerError(message, code="invalid_model", param="model")
        heard = settings.transcription or Transcription(model)
        settings = structs.replace(settings, kind="transcription", transcription=structs.replace(heard, model=model))
        if card.live and minted is None:
            settings = structs.replace(settings, turn_detection=None)
    elif minted and settings.transcription and find_model(settings.transcription.model) is None:
        message = (
            f'Model "{settings.transcription.model}" is not supported in transcription mode: it is what the client '
            "secret was minted with, and this server has no such model, or no longer. Mint another one."
        )
        raise CallerError(message, code="invalid_model", param="model")
    if intent == "transcription" or handshake.path.endswith("/transcription_sessions"):
        settings = structs.replace(settings, kind="transcription")
    beta_secret = minted is not None and minted.dialect == "beta"
    return Choice("beta" if beta_secret or is_beta(handshake) else "ga", settings)


def is_beta(handshake: Handshake) -> bool:
    """Whether the connection itself says so, whatever its client secret says."""
    asked = [value.strip() for value in handshake.headers.get("openai-beta", "").split(",")]
    azure_preview = handshake.path.startswith("/openai/") and handshake.query.get("api-version", "").endswith(
        "-preview"
    )
    return BETA_HEADER in asked or BETA_SUBPROTOCOL in handshake.subprotocols or azure_preview
