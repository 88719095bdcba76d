"""The server's description of itself, as an OpenAPI 3.1 document.

Rule: schemas come from the structs that requests are read by and answers are written by; what a type cannot say (the
range that `merge` checks, what a field kept raw holds) is added here from the constants that are checked. Nothing of
the wire is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, get_args

import msgspec

from hark.audio.resample import MAX_RATE, MIN_RATE
from hark.core import settings as core
from hark.core.settings import Json
from hark.protocol import minting
from hark.protocol.operation import (
    COMMON_HEADERS,
    CSS,
    EVENTS,
    HTML,
    JSON,
    RETRY_AFTER,
    TEXT,
    Content,
    Operation,
    Shape,
)
from hark.protocol.operations import OPERATIONS
from hark.protocol.sessions import BetaSession, GaSession, NoiseType, TurnType

_REF: Final = "#/components/schemas/{name}"
_CITATION: Final = re.compile(r"\s*\((contract|docs)[^)]*\)")
_TEXTS: Final = (TEXT, HTML, CSS)


def _ref(name: str) -> Json:
    return {"$ref": _REF.format(name=name)}


def _range(low: float, high: float) -> dict[str, Json]:
    return {"minimum": low, "maximum": high}


_SECONDS: Final = _range(minting.MIN_SECONDS, minting.MAX_SECONDS)
# What the types leave open, by schema and property.
_NARROWER: Final[dict[tuple[str, str], dict[str, Json]]] = {
    ("GaRequest", "session"): {"anyOf": [_ref("GaSession"), _ref("BetaSession"), {"type": "null"}]},
    ("BetaRequest", "client_secret"): {"anyOf": [_ref("SecretIn"), {"type": "null"}]},
    ("Lifetime", "seconds"): _SECONDS,
    ("GaRequest", "expires_in"): _SECONDS,
    ("BetaRequest", "expires_in"): _SECONDS,
    ("Format", "rate"): _range(MIN_RATE, MAX_RATE),
    ("NoiseReductionInOn", "strength"): _range(0, 1),
    ("TurnDetectionInOn", "threshold"): _range(0, 1),
    ("TurnDetectionInOn", "prefix_padding_ms"): _range(0, core.MAX_PREFIX_MS),
    ("TurnDetectionInOn", "silence_duration_ms"): _range(0, core.MAX_SILENCE_MS),
    ("TurnDetectionInOn", "idle_timeout_ms"): _range(core.MIN_IDLE_MS, core.MAX_IDLE_MS),
    ("Chunking", "threshold"): _range(0, 1),
    ("Chunking", "prefix_padding_ms"): _range(0, core.MAX_PREFIX_MS),
    ("Chunking", "silence_duration_ms"): _range(0, core.MAX_SILENCE_MS),
    ("PlainForm", "file"): {"format": "binary", "contentMediaType": "application/octet-stream"},
    ("UploadForm", "file"): {"format": "binary", "contentMediaType": "application/octet-stream"},
    **{
        (schema, "include"): {"items": {"enum": list(core.INCLUDES)}}
        for schema in ("GaSession", "BetaSession", "BetaRequest")
    },
}
_WORDS: Final = (
    "Hark transcribes speech, and speaks OpenAI's API: live over a WebSocket, whole files over HTTP. Every answer that "
    "is no success has the envelope of Refusal, also those that no operation lists: 404 unknown_url for a path that is "
    "not there, 405 method_not_allowed with an Allow header. Some paths are served under other names too, for base "
    "URLs without /v1 and for Azure's; operations list theirs as x-aliases, and where x-slash is true, each also with "
    "a slash at its end. Pages may call across origins, as the server's keys allow: preflights are answered."
)
_SCHEMES: Final[dict[str, Json]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key, or a client secret where it says so. `Authorization: KEY` without Bearer is read too.",
    },
    **{
        name: {"type": "apiKey", "in": place, "name": wire}
        for name, place, wire in (
            ("api_key", "header", "api-key"),
            ("api_key_query", "query", "api-key"),
            ("authorization_query", "query", "authorization"),
            ("access_token_query", "query", "access_token"),
        )
    },
}


def describe(base_url: str, version: str, *, keys_required: bool) -> dict[str, Json]:
    """The document, for a server that is reached at `base_url` and takes whoever comes unless keys are required."""
    shapes = list(dict.fromkeys(_shapes()))
    found, components = msgspec.json.schema_components(shapes, ref_template=_REF)
    turns: Json = [name for name in get_args(TurnType) if name != "none"]
    _part(components, "TurnDetectionIn", {"enum": turns, "optional": True}, {"enum": ["none"]})
    _part(components, "NoiseReductionIn", {"enum": list(get_args(NoiseType))}, {"type": "null", "optional": True})
    schemas: dict[str, Json] = {str(shape): schema for shape, schema in zip(shapes, found, strict=True)}
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        place = paths.setdefault(operation.path, {})
        assert isinstance(place, dict)
        place[operation.method.lower()] = _operation(operation, schemas, keys_required)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hark", "version": version, "description": _WORDS, "license": {"name": "MIT"}},
        "servers": [{"url": base_url}],
        "paths": paths,
        "components": {
            "schemas": {name: _schema(name, schema) for name, schema in components.items()},
            "securitySchemes": _SCHEMES,
        },
    }


# What is refused with a Retry-After.
WAITED_FOR: Final = ("rate_limit_exceeded", "server_overloaded", "server_draining")
_SUCCESS: Final = {101: "Switching protocols", 200: "OK", 201: "Created", 202: "Accepted"}


def _shapes() -> Iterator[Shape]:
    # Those that stand behind a field which is kept raw, and which no operation names.
    yield from (GaSession, BetaSession, minting.SecretIn)
    for operation in OPERATIONS:
        yield operation.refusal
        if operation.body and operation.body[1] is not None:
            yield operation.body[1]
        for content in operation.answers:
            yield from content.shapes


def _operation(operation: Operation, schemas: dict[str, Json], keys_required: bool) -> Json:
    also = f" Also at {', '.join(operation.aliases)}." if operation.aliases else ""
    told: dict[str, Json] = {
        "operationId": operation.id,
        "summary": operation.title,
        "description": (operation.words + also).strip(),
        "responses": _responses(operation, schemas),
    }
    if operation.aliases:
        told["x-aliases"] = list(operation.aliases)
    if operation.slash:
        told["x-slash"] = True
    if operation.parameters:
        told["parameters"] = [
            {
                "name": given.name,
                "in": given.where,
                "required": given.where == "path",
                "description": given.words,
                "schema": {"type": "string"},
            }
            for given in operation.parameters
        ]
    if operation.body:
        media_type, shape = operation.body
        schema: Json = {"type": "string"} if shape is None else schemas[str(shape)]
        if media_type == JSON:
            schema = {"anyOf": [schema, {"type": "null"}]}
        optional = media_type == JSON or any(code.status == 426 for code in operation.refusals)
        told["requestBody"] = {"required": not optional, "content": {media_type: {"schema": schema}}}
    if operation.keyed:
        ways: list[Json] = [{name: []} for name in _SCHEMES]
        told["security"] = ways if keys_required else [*ways, {}]
    return told


def _responses(operation: Operation, schemas: dict[str, Json]) -> dict[str, Json]:
    responses: dict[str, Json] = {}
    if operation.answers or operation.succeeds or operation.status != 200:
        success: dict[str, Json] = {"description": _SUCCESS[operation.status]}
        if operation.answers:
            success["content"] = {content.media_type: _content(content, schemas) for content in operation.answers}
        common = () if operation.status == 101 else COMMON_HEADERS
        success["headers"] = _headers(operation.headers, required=False) | _headers(common)
        responses[str(operation.status)] = success
    refusal: Json = {"application/json": {"schema": schemas[str(operation.refusal)]}}
    for status in sorted({code.status for code in operation.refusals}):
        listed = [code for code in operation.refusals if code.status == status]
        words = "; ".join(f"`{code.code}`: {code.when}" if code.code else code.when for code in listed)
        headers = _headers(
            (*COMMON_HEADERS, RETRY_AFTER) if any(code.code in WAITED_FOR for code in listed) else COMMON_HEADERS
        )
        said = words[:1].upper() + words[1:] + "."
        responses[str(status)] = {"description": said, "headers": dict(headers), "content": refusal}
    return responses


def _headers(named: Iterable[tuple[str, str]], *, required: bool = True) -> dict[str, Json]:
    schema: Json = {"type": "string"}
    return {name: {"description": words, "required": required, "schema": schema} for name, words in named}


def _content(content: Content, schemas: dict[str, Json]) -> Json:
    if not content.shapes:
        schema: dict[str, Json] = {"type": "string"} if content.media_type in _TEXTS else {"type": "object"}
        return {"schema": schema | ({"description": content.words} if content.words else {})}
    found = [schemas[str(shape)] for shape in content.shapes]
    held: Json = found[0] if len(found) == 1 else {"anyOf": found}
    if content.media_type == EVENTS:  # the schema of one event, as OpenAPI 3.2 has it
        frame: Json = {"contentMediaType": "application/json", "contentSchema": held}
        data: Json = {"type": "string", "anyOf": [{"const": "[DONE]"}, frame]}
        return {"schema": {"type": "object", "required": ["data"], "properties": {"data": data}}, "x-frame": held}
    return {"schema": held}


def _schema(name: str, schema: dict[str, Json]) -> Json:
    """The schema of a struct, narrowed, and without what is said to readers of the source alone."""
    told = dict(schema)
    if isinstance(words := told.get("description"), str):
        told["description"] = _CITATION.sub("", words)
    properties = told.get("properties")
    if isinstance(properties, dict):
        told["properties"] = {key: _narrowed(value, _NARROWER.get((name, key))) for key, value in properties.items()}
    return told


def _part(components: dict[str, dict[str, Json]], name: str, on: Json, off: Json) -> None:
    """What can be switched off by its type is of two kinds; where it is off, nobody looks at its other values."""
    whole = components[name]
    properties, required = whole["properties"], whole["required"]
    assert isinstance(properties, dict)
    for end, kind in (("On", on), ("Off", off)):
        assert isinstance(kind, dict)
        named: Json = required if kind.pop("optional", False) else ["type"]
        told: dict[str, Json] = {"title": name + end, "properties": properties | {"type": kind}, "required": named}
        components[name + end] = whole | told
    components[name] = {"anyOf": [_ref(name + "On"), _ref(name + "Off")]}


def _narrowed(schema: Json, narrower: dict[str, Json] | None) -> Json:
    if narrower is None:
        return schema
    assert isinstance(schema, dict)
    match schema:
        case {"anyOf": [dict(first), *others]} if "anyOf" not in narrower:
            return {**schema, "anyOf": [first | narrower, *others]}
        case _:
            plain = {key: value for key, value in schema.items() if key != "contentEncoding"}
            return plain | narrower
