"""Client frames -> commands. Both dialects share the envelope and the events; they differ in the session object.

Rule: a frame that cannot be read becomes a `Refuse` with the client's event_id and the path of the bad field, in words
and codes of contract A.9; nothing is guessed and nothing is raised. An update says which dialect it was written in
(`UpdateSettings.shows`), for published clients mix the two (contract B.2).
Refuses: binary frames, unknown events, unknown fields, audio of more than 15 MiB in one append.
"""

from __future__ import annotations

import binascii
import re
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec
import pybase64
from msgspec import UNSET, Raw, Struct, UnsetType

from hark.core import messages as m
from hark.core.settings import Json, Patch, TranscriptionPatch
from hark.errors import CallerError
from hark.protocol.sessions import BETA_FIELDS, BetaSession, GaSession, answers_with_voice, enum_values, parse

DialectName = Literal["ga", "beta"]
T = TypeVar("T")
MAX_APPEND_BYTES: Final = 15 * 1024 * 1024
MAX_ITEM_BYTES: Final = 64 * 1024
# The settings are echoed whole, and clients' receive limits begin at 1 MiB (contract B.4).
MAX_UPDATE_CHARACTERS: Final = 128 * 1024


class ClientEvent(Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    event_id: str | None = None


class Append(ClientEvent, frozen=True, tag="input_audio_buffer.append", kw_only=True):
    audio: str


class Commit(ClientEvent, frozen=True, tag="input_audio_buffer.commit"):
    pass


class Clear(ClientEvent, frozen=True, tag="input_audio_buffer.clear"):
    pass


class SessionUpdate(ClientEvent, frozen=True, tag="session.update", kw_only=True):
    session: Raw


class TranscriptionSessionUpdate(
    ClientEvent, frozen=True, tag="transcription_session.update", forbid_unknown_fields=False
):
    session: Raw | UnsetType = UNSET


class ItemRetrieve(ClientEvent, frozen=True, tag="conversation.item.retrieve", kw_only=True):
    item_id: str


class ItemDelete(ClientEvent, frozen=True, tag="conversation.item.delete", kw_only=True):
    item_id: str


class ItemTruncate(ClientEvent, frozen=True, tag="conversation.item.truncate", kw_only=True):
    item_id: str
    content_index: int = 0
    audio_end_ms: int = 0


class ItemCreate(ClientEvent, frozen=True, tag="conversation.item.create", kw_only=True):
    item: dict[str, Raw]
    previous_item_id: str | None = None


class ResponseCreate(ClientEvent, frozen=True, tag="response.create"):
    response: Raw | UnsetType = UNSET


class ResponseCancel(ClientEvent, frozen=True, tag="response.cancel"):
    response_id: str | None = None


class OutputClear(ClientEvent, frozen=True, tag="output_audio_buffer.clear"):
    pass


class SessionClose(ClientEvent, frozen=True, tag="session.close", forbid_unknown_fields=False):
    pass


AnyClientEvent: TypeAlias = (
    Append
    | Commit
    | Clear
    | SessionUpdate
    | TranscriptionSessionUpdate
    | ItemRetrieve
    | ItemDelete
    | ItemTruncate
    | ItemCreate
    | ResponseCreate
    | ResponseCancel
    | OutputClear
    | SessionClose
)
CLIENT_EVENTS: Final = tuple(sorted(str(event.__struct_config__.tag) for event in AnyClientEvent.__args__))

_events: Final = msgspec.json.Decoder(AnyClientEvent)
_ga: Final = msgspec.json.Decoder(GaSession)
_beta: Final = msgspec.json.Decoder(BetaSession)
_keys: Final = msgspec.json.Decoder(dict[str, Raw])
# What reading a frame can end in: msgspec meets deep nesting and halves of surrogate pairs with errors of Python's own.
UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeError)


def decode(frame: str | bytes) -> m.AnyCommand:
    """A frame as it came (bytes: it was binary) -> what it asks. Never raises."""
    try:
        if isinstance(frame, bytes):
            message = "Expected a text WebSocket message; binary frames are not supported. Send JSON with base64 audio."
            raise CallerError(message, code="invalid_event")
        return _translate(_events.decode(frame), frame)
    except CallerError as error:
        fault = error
    except UNREADABLE as error:
        fault = explain(error, frame)
    return m.Refuse(error=fault, event_id=_event_id(frame))


def _translate(event: AnyClientEvent, frame: str) -> m.AnyCommand:
    eid = event.event_id
    match event:
        case Append():
            return m.AppendAudio(audio=_audio(event.audio), event_id=eid)
        case Commit():
            return m.CommitAudio(event_id=eid)
        case Clear():
            return m.ClearAudio(event_id=eid)
        case SessionUpdate() | TranscriptionSessionUpdate() if len(frame) > MAX_UPDATE_CHARACTERS:
            message = f"Expected a session update of at most {MAX_UPDATE_CHARACTERS} characters; got {len(frame)}."
            raise CallerError(message, code="invalid_value", param="session")
        case SessionUpdate():
            return _update(event.session, eid)
        case TranscriptionSessionUpdate():
            return _transcription_update(event.session, frame, eid)
        case ItemRetrieve():
            return m.RetrieveItem(item_id=event.item_id, event_id=eid)
        case ItemDelete():
            return m.DeleteItem(item_id=event.item_id, event_id=eid)
        case ItemTruncate():
            return m.TruncateItem(item_id=event.item_id, event_id=eid)
        case ItemCreate():
            return m.CreateItem(item=_item(event.item), previous_item_id=event.previous_item_id, event_id=eid)
        case ResponseCreate():
            return m.CreateResponse(event_id=eid)
        case SessionClose():
            return m.FinishSession(event_id=eid)
        case ResponseCancel() | OutputClear():
            return m.Ignored(event_id=eid)


def _update(session: Raw, event_id: str | None) -> m.AnyCommand:
    """session.update in either shape: clients send the nested one over beta sockets, and the flat one over GA ones."""
    patch, typed = session_patch(session)
    return m.UpdateSettings(patch=patch, shows="ga" if typed else None, event_id=event_id)


def session_patch(session: Raw) -> tuple[Patch, bool]:
    """What a session object says in either shape, and whether it names its type. Raises CallerError."""
    sent = read(_keys, session, "session").keys()
    flat = "type" not in sent and "audio" not in sent and sent & BETA_FIELDS
    return (read(_beta, session, "session") if flat else read(_ga, session, "session")).to_patch(), "type" in sent


def _transcription_update(session: Raw | UnsetType, frame: str, event_id: str | None) -> m.AnyCommand:
    """The configuration stands under `session`, or, as an early guide had it, at the top level (contract C.4)."""
    body = session
    if body is UNSET or bytes(body)[:1] != b"{":
        top = _keys.decode(frame)
        body = Raw(msgspec.json.encode({key: top[key] for key in top.keys() - {"type", "event_id", "session"}}))
    patch = read(_beta, body, "session").to_patch()
    patch = msgspec.structs.replace(patch, kind="transcription")
    if patch.model is not UNSET and patch.transcription is UNSET and not answers_with_voice(patch.model):
        # At the top level people mean the model that transcribes (contract A.1).
        patch = msgspec.structs.replace(patch, model=UNSET, transcription=TranscriptionPatch(model=patch.model))
    return m.UpdateSettings(patch=patch, shows="beta", event_id=event_id)


def read(decoder: msgspec.json.Decoder[T], body: Raw | bytes, prefix: str = "") -> T:
    """`body` by this decoder; `prefix` is where in the message it stands. Raises CallerError."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise explain(error, body, prefix) from error


def _item(given: dict[str, Raw]) -> dict[str, Json]:
    """The client's item without its audio, which nothing here reads and nobody wants back."""
    item = {name: parse(value) for name, value in given.items()}
    parts = item.get("content")
    if isinstance(parts, list):
        item["content"] = [
            {name: value for name, value in part.items() if name != "audio"} if isinstance(part, dict) else part
            for part in parts
        ]
    size = len(msgspec.json.encode(item))
    if size > MAX_ITEM_BYTES:
        message = f"Expected an item of at most {MAX_ITEM_BYTES} bytes of JSON, audio not counted; got {size}."
        raise CallerError(message, code="invalid_value", param="item")
    return item


def _audio(text: str) -> bytes:
    try:
        data = pybase64.b64decode(text, validate=True)
    except binascii.Error:
        data = _lenient_base64(text)
    if len(data) > MAX_APPEND_BYTES:
        message = (
            f"Expected at most {MAX_APPEND_BYTES} bytes of audio in one append, got {len(data)}. Send it in parts."
        )
        raise CallerError(message, code="invalid_value", param="audio")
    return data


def _lenient_base64(text: str) -> bytes:
    """Line breaks and missing padding are forgiven (contract E), anything else is not."""
    compact = "".join(text.split()).rstrip("=")
    try:
        return pybase64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except binascii.Error as error:
        message = "Invalid 'audio': expected base64 of raw audio bytes (standard alphabet)."
        raise CallerError(message, code="invalid_value", param="audio") from error


# ---- faults --------------------------------------------------------------------------------------------------------

_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `(?P<key>key in )?\$?(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN: Final = re.compile(r"unknown field `(.*)`$")
_MISSING: Final = re.compile(r"missing required field `(.*)`$")


def explain(error: Exception, source: str | bytes | Raw, prefix: str = "") -> CallerError:
    """What reading found, one of UNREADABLE, in the words of the API, with `param` as a dotted path."""
    if not isinstance(error, msgspec.ValidationError):
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error).rstrip(".")
        message = f"The message is not valid JSON ({why}). Expected one JSON object with a 'type'."
        return CallerError(message, code="invalid_json")
    found = _AT.match(str(error))
    assert found is not None
    what = found["what"]
    path = ".".join(part for part in (prefix, (found["path"] or "").strip(".")) if part)
    if name := _UNKNOWN.search(what):
        param = ".".join(part for part in (path, name[1]) if part)
        return CallerError(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
    if name := _MISSING.search(what):
        param = ".".join(part for part in (path, name[1]) if part)
        code = "invalid_event" if param == "type" else "missing_required_parameter"
        return CallerError(f"Missing required parameter: '{param}'.", code=code, param=param)
    if path == "type":
        try:
            value = bytes(_keys.decode(source)["type"]).decode()[:100].replace('"', "'")
        except UNREADABLE as broken:  # only now: the type stood before what cannot be read
            return explain(broken, source)
        message = f"Invalid value: {value}. Supported values are: {_listed(CLIENT_EVENTS)}."
        return CallerError(message, code="invalid_value", param="type")
    if not path and what.startswith("Expected `object`"):
        message = f"The message is no JSON object ({what[:1].lower() + what[1:]}). Expected one with a 'type'."
        return CallerError(message, code="invalid_event")
    values = enum_values(path)
    expected = f" Supported values are: {_listed(values)}." if values else ""
    subject = f"Invalid value for '{path}'" if path else "Invalid message"
    detail = what[:1].lower() + what[1:]
    return CallerError(f"{subject}: {detail}.{expected}", code="invalid_value", param=path or None)


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _event_id(frame: str | bytes) -> str | None:
    """The client's event_id out of a frame that is otherwise wrong, if it can be had."""
    if isinstance(frame, bytes):
        return None
    try:
        value = msgspec.json.decode(_keys.decode(frame).get("event_id", Raw(b"null")))
    except UNREADABLE:
        return None
    return value if isinstance(value, str) else None
