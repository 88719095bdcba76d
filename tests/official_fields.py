"""The fields that OpenAI's SDK declares, as dotted paths, by the event or the endpoint that they belong to."""

import types
import typing

import openai.types.beta.realtime as beta
import openai.types.realtime as ga
import typing_extensions as te
from openai.types import Model, audio
from openai.types.audio.transcription_create_params import TranscriptionCreateParams
from openai.types.beta.realtime import (
    session_create_params,
    session_create_response,
    transcription_session_create_params,
)
from openai.types.realtime import call_create_params, client_secret_create_params, client_secret_create_response
from pydantic import BaseModel


def members(kind):
    """The classes that a value of this annotation may have, lists and unions opened."""
    origin = typing.get_origin(kind)
    if isinstance(kind, te.TypeAliasType):
        return members(kind.__value__)
    if origin is typing.Annotated or origin in (te.Required, te.NotRequired, typing.Required, typing.NotRequired):
        return members(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType, list) or getattr(origin, "__module__", "") == "collections.abc":
        return [one for argument in typing.get_args(kind) for one in members(argument)]
    return [] if origin is dict else [kind]


def declared(model):
    if isinstance(model, type) and issubclass(model, BaseModel):
        return {name: field.annotation for name, field in model.model_fields.items()}
    return typing.get_type_hints(model, include_extras=True) if te.is_typeddict(model) else {}


def leaves(kind, path="", seen=()):
    """The paths of the fields that hold no further ones."""
    inside = [(model, name, held) for model in members(kind) for name, held in declared(model).items()]
    for model, name, held in inside:
        if model not in seen:
            yield from leaves(held, f"{path}.{name}".strip("."), (*seen, model))
    if not inside and path:
        yield path


def events(union):
    """Each event's fields, by its type."""
    found = {}
    for model in members(union):
        (literal,) = members(declared(model)["type"])
        name = typing.get_args(literal)[0] if typing.get_args(literal) else literal
        found.setdefault(name, set()).update(leaves(model))
    return found


def merged(*parts):
    return {name: set().union(*(part.get(name, ()) for part in parts)) for name in set().union(*parts)}


GA_SESSION = {*leaves(ga.RealtimeSessionCreateRequestParam), *leaves(ga.RealtimeTranscriptionSessionCreateRequestParam)}
BETA_SESSION = {
    *leaves(session_create_params.SessionCreateParams),
    *leaves(transcription_session_create_params.TranscriptionSessionCreateParams),
}
CLIENT = merged(events(ga.RealtimeClientEventParam), events(beta.RealtimeClientEventParam))
SERVER = merged(events(ga.RealtimeServerEvent), events(beta.RealtimeServerEvent))
GA_MINTING = set(leaves(client_secret_create_params.ClientSecretCreateParams))
MINTED = {
    "client_secrets": set(leaves(client_secret_create_response.ClientSecretCreateResponse)),
    "sessions": set(leaves(session_create_response.SessionCreateResponse)),
    "transcription_sessions": set(leaves(beta.TranscriptionSession)),
}
FORM = set(leaves(TranscriptionCreateParams))
TRANSCRIPTS = {
    "json": set(leaves(audio.Transcription)),
    "verbose_json": set(leaves(audio.TranscriptionVerbose)),
    "diarized_json": set(leaves(audio.TranscriptionDiarized)),
    **events(audio.TranscriptionStreamEvent),
}
MODEL = set(leaves(Model))
CONNECT = {
    *leaves(ga.realtime_connect_params.RealtimeConnectParams),
    *leaves(beta.realtime_connect_params.RealtimeConnectParams),
}
CALLS = set(leaves(call_create_params.CallCreateParams))
