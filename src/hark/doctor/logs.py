"""Logs of clients: ours (--event-log, the page's copy), a browser's HAR file, a list of events, a console with events
in its lines.

Rule: what can be read is read, in order, and what is no event is passed over; where nothing can be, that is an error
which says what was expected. Directions are seen from the client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import SplitResult, parse_qsl, urlsplit

from msgspec import Struct, field

from hark.doctor.http import refusal
from hark.doctor.rules import Answer, Asked, Credential, Place
from hark.doctor.shapes import from_json, listing, mapping, number
from hark.doctor.target import BETA_SUBPROTOCOL, KEY_SUBPROTOCOL
from hark.errors import CallerError
from hark.protocol.wire import CLIENT_EVENTS, DialectName

Direction: TypeAlias = Literal["sent", "received"]
MAX_BYTES: Final = 256 * 1024 * 1024
_SENT: Final = frozenset(("sent", "send", "out", "outgoing", "client", "up", "tx", "request"))
_RECEIVED: Final = frozenset(("received", "receive", "in", "incoming", "server", "down", "rx", "response"))
_PLACES: Final[dict[str, Place]] = {
    "/client_secrets": "mint",
    "/transcription_sessions": "mint",
    "/realtime/sessions": "mint",
    "/models": "models",
}


class Entry(Struct, frozen=True):
    """One thing that travelled. Exactly one of the last four is there."""

    direction: Direction
    event: dict[str, Any] | None = None
    text: str | None = None
    binary: int | None = None
    close: tuple[int, str] | None = None


class Conversation(Struct):
    """One connection. `asked`: its handshake, as far as it is known; `refusal`: the answer to it, where it was none."""

    asked: Asked
    entries: list[Entry] = field(default_factory=list)
    refusal: Answer | None = None
    origin: str | None = None


class Exchange(Struct, frozen=True):
    """A request over HTTP and its answer, in a HAR file."""

    did: str
    asked: Asked
    status: int
    body: bytes


Log: TypeAlias = list[Conversation | Exchange]


def read_log(path: Path) -> Log:
    """Raises CallerError where the file cannot be read, or holds no events."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CallerError(f"Expected a log of at most {MAX_BYTES // 2**20} MiB; {path} is larger.")
        data = path.read_bytes()
    except OSError as error:
        raise CallerError(f"Cannot read {path}: {error.strerror or error}.") from None
    try:
        whole = from_json(data)
    except ValueError:
        whole = None
    if isinstance(whole, dict) and isinstance(whole.get("log"), dict):
        read = list(_har(listing(whole["log"].get("entries"))))
    else:
        objects = whole if isinstance(whole, list) else [whole] if isinstance(whole, dict) else _lines(data)
        read = list(_conversations(objects))
    if not read:
        raise CallerError(
            f"Expected a log with events of the Realtime API in {path}: lines of --event-log or of the page, a HAR "
            "file, or events as JSON, one a line; found none."
        )
    return read


def _lines(data: bytes) -> Iterator[object]:
    """The JSON object in each line that has one; what stands before it says the direction, if anything does."""
    for line in data.decode("utf-8", "replace").splitlines():
        start = line.find("{")
        if start < 0:
            continue
        try:
            found = from_json(line[start:])
        except ValueError:
            continue
        before = set(re.findall(r"[a-z]+", line[:start].lower()))
        if isinstance(found, dict) and "type" in found and before & (_SENT | _RECEIVED):
            yield {"direction": "sent" if before & _SENT else "received", "event": found}
        else:
            yield found


def _conversations(objects: Iterable[object]) -> Iterator[Conversation]:
    current: Conversation | None = None
    for entry in objects:
        if not isinstance(entry, dict):
            continue
        if isinstance(shake := entry.get("connect"), dict):
            if current is not None:
                yield current
            current = _from_handshake(shake)
        elif (read := _entry(entry)) is not None:
            current = current or Conversation(Asked("handshake"))
            current.entries.append(read)
    if current is not None:
        yield current


def _entry(entry: dict[str, Any]) -> Entry | None:
    if isinstance(entry.get("type"), str) and "event" not in entry and "data" not in entry:
        return Entry(_direction(entry, entry["type"]), event=entry)
    inner = next((entry[name] for name in ("event", "data", "message", "payload") if name in entry), None)
    if isinstance(inner, str):
        return _frame(_direction(entry, ""), inner)
    if isinstance(inner, dict) and isinstance(inner.get("type"), str):
        return Entry(_direction(entry, inner["type"]), event=inner)
    if isinstance(close := entry.get("close"), dict):
        code = close.get("code")
        closed = (code if isinstance(code, int) else 1005, str(close.get("reason") or ""))
        return Entry(_direction(entry, ""), close=closed)
    if isinstance(text := entry.get("text"), str):
        return Entry(_direction(entry, ""), text=text)
    if isinstance(size := entry.get("binary"), int):
        return Entry(_direction(entry, ""), binary=size)
    return None


def _frame(direction: Direction, text: str) -> Entry:
    try:
        event = from_json(text)
    except ValueError:
        return Entry(direction, text=text)
    if isinstance(event, dict) and isinstance(event.get("type"), str):
        return Entry(direction, event=event)
    return Entry(direction, text=text)


def _direction(entry: dict[str, Any], kind: str) -> Direction:
    told = str(entry.get("direction") or entry.get("dir") or entry.get("from") or "").lower()
    if told in _SENT:
        return "sent"
    return "received" if told in _RECEIVED or kind not in CLIENT_EVENTS else "sent"


def _from_handshake(shake: dict[str, Any]) -> Conversation:
    headers = {name.lower(): str(value) for name, value in mapping(shake.get("headers")).items()}
    offered = [str(name) for name in listing(shake.get("subprotocols"))]
    return Conversation(asked("handshake", str(shake.get("url") or ""), headers, offered), origin=headers.get("origin"))


def asked(place: Place, url: str, headers: dict[str, str], offered: list[str]) -> Asked:
    parts = _split(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    inside = [name.removeprefix(KEY_SUBPROTOCOL) for name in offered if name.startswith(KEY_SUBPROTOCOL)]
    shown = [*inside, headers.get("authorization", "").partition(" ")[2], headers.get("api-key", "")]
    first = next((each for each in shown if each), "")
    kind: Credential = "none" if not first else "secret" if first.startswith("ek") else "key"
    beta = "realtime=v1" in headers.get("openai-beta", "") or BETA_SUBPROTOCOL in offered
    dialect: DialectName = "beta" if beta else "ga"
    return Asked(place, parts.path, query, kind, dialect)


def _split(url: str) -> SplitResult:
    """Empty where it is none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


# ---- HAR: https://w3c.github.io/web-performance/specs/HAR/Overview.html, and _webSocketMessages, which browsers add


def _har(entries: list[Any]) -> Iterator[Conversation | Exchange]:
    for entry in map(mapping, entries):
        request, response = mapping(entry.get("request")), mapping(entry.get("response"))
        url = str(request.get("url") or "")
        pairs = map(mapping, listing(request.get("headers")))
        headers = {str(pair.get("name")).lower(): str(pair.get("value")) for pair in pairs}
        messages = entry.get("_webSocketMessages")
        offered = [part.strip() for part in headers.get("sec-websocket-protocol", "").split(",") if part.strip()]
        status = int(number(response.get("status")) or 0)
        content = str(mapping(response.get("content")).get("text") or "").encode()
        if messages is not None or _split(url).scheme in ("ws", "wss"):
            read = Conversation(asked("handshake", url, headers, offered), origin=headers.get("origin"))
            read.entries = [_message(message) for message in map(mapping, listing(messages))]
            if status not in (0, 101):
                read.refusal = refusal(status, content)
            yield read
        elif "/realtime" in url or url.endswith("/models"):
            sdp = headers.get("content-type", "").startswith("application/sdp")
            path = _split(url).path
            place: Place = "call" if sdp else next((p for end, p in _PLACES.items() if path.endswith(end)), "HTTP")
            did = f"{request.get('method')} {_split(url)._replace(query='', fragment='').geturl()}"
            yield Exchange(did, asked(place, url, headers, []), status, content)


def _message(message: dict[str, Any]) -> Entry:
    direction: Direction = "sent" if message.get("type") == "send" else "received"
    data = str(message.get("data") or "")
    if message.get("opcode") == 2:
        return Entry(direction, binary=len(data) * 3 // 4)
    return _frame(direction, data)
