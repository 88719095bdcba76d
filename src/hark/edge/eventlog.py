"""What travelled between a client and this server, a file a connection, for `hark doctor --log` and for asking others.

Rule: only where --event-log asks for it, for transcripts stand in it. Keys are masked and audio is shown by its size,
as on the page, whose log has the same form: a JSON object a line, `direction` from where the client stands. A disk that
takes no more ends the log and disturbs no session.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, TextIO, TypeAlias
from urllib.parse import urlencode

import msgspec
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hark.auth.principal import mask
from hark.core.settings import Json
from hark.edge import reading, requests
from hark.edge.guard import KEY_SUBPROTOCOL, QUERY_KEYS, subprotocols
from hark.errors import OperatorError

log = logging.getLogger("hark.session")

Direction: TypeAlias = Literal["sent", "received"]
# Of the handshake: what decides about dialect and origin, and who it is. Credentials are shown masked.
HEADERS: Final = (
    "authorization", "api-key", "openai-beta", "openai-organization", "openai-project", "origin", "user-agent",
    "content-type", "sec-websocket-extensions",
)  # fmt: skip
# Of a frame that is no JSON.
MAX_TEXT: Final = 2_000


class EventLog:
    """The log of one connection. Without a path it keeps nothing."""

    def __init__(self, path: Path | None = None) -> None:
        self._began = time.monotonic()
        self._file: TextIO | None = None
        if path is not None:
            self._attempt(lambda: self._open(path))

    @property
    def open(self) -> bool:
        return self._file is not None

    def frame(self, direction: Direction, frame: str | bytes) -> None:
        """An event; of audio its size; of what is no JSON its beginning."""
        if self._file is None:
            return
        if isinstance(frame, bytes):
            self.write(direction, binary=len(frame))
            return
        try:
            event = _without_audio(msgspec.json.decode(frame))
        except (msgspec.DecodeError, RecursionError):
            self.write(direction, text=frame[:MAX_TEXT])
            return
        self.write(direction, event=event)

    def write(self, direction: Direction, **entry: object) -> None:
        if (file := self._file) is not None:
            at = round(time.monotonic() - self._began, 3)
            line = msgspec.json.encode({"at": at, "direction": direction} | entry).decode()
            self._attempt(lambda: file.write(line + "\n"))

    def ended(self, direction: Direction, code: int, reason: str) -> None:
        """The side that closed first."""
        self.write(direction, close={"code": code, "reason": reason})
        self.close()

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            self._attempt(file.close)

    def _open(self, path: Path) -> None:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)  # by lines, which a crash leaves whole

    def _attempt(self, step: Callable[[], object]) -> None:
        try:
            step()
        except OSError as error:
            log.warning("an event log cannot be written: %s", error.strerror or error)
            self._file = None


class EventLogs:
    """The folder of --event-log; None: nothing is logged. Raises OperatorError where it cannot be made."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        if folder is not None:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                reason = error.strerror or error
                raise OperatorError(f"--event-log {folder}: cannot make this folder: {reason}. Name another.") from None

    def begin(self, connection: HTTPConnection, transport: str) -> EventLog:
        """The log of this connection; its first line says how it was asked for."""
        if self._folder is None:
            return EventLog()
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        opened = EventLog(self._folder / f"{stamp}-{requests.id_of(connection)}.jsonl")
        opened.write("sent", connect=_handshake(connection, transport))
        return opened

    def around(self, app: ASGIApp) -> ASGIApp:
        """`app`, with a log for each of its WebSockets."""
        if self._folder is None:
            return app

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "websocket":
                await app(scope, receive, send)
                return
            scope.get("extensions", {}).pop(reading.EXTENSION, None)  # which would take messages past us
            kept = self.begin(HTTPConnection(scope), "websocket")
            gone = False

            async def hear() -> Message:
                message = await receive()
                _note(kept, "sent", message)
                return message

            async def tell(message: Message) -> None:
                nonlocal gone
                _note(kept, "received", message)
                try:
                    await send(message)
                except OSError:  # the client is gone, and how it went waits to be heard
                    gone = True
                    raise

            try:
                await app(scope, hear, tell)
            finally:
                while gone and kept.open:
                    await hear()
                kept.close()

        return serve


def _without_audio(value: Json) -> Json:
    """The same, each audio in it by its size, wherever it stands: an item that is made or retrieved holds some too."""
    if isinstance(value, list):
        return [_without_audio(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: f"{len(held)} characters of base64" if name == "audio" and isinstance(held, str) else _without_audio(held)
        for name, held in value.items()
    }


def _note(kept: EventLog, direction: Direction, message: Message) -> None:
    match message["type"]:
        case "websocket.receive" | "websocket.send":
            text = message.get("text")
            kept.frame(direction, text if text is not None else message["bytes"])
        case "websocket.accept":
            kept.write(direction, accept={"subprotocol": message.get("subprotocol")})
        case "websocket.disconnect" | "websocket.close":
            kept.ended(direction, message.get("code", 1000), message.get("reason") or "")


def _handshake(connection: HTTPConnection, transport: str) -> dict[str, object]:
    query = [(name, _masked(value, name in QUERY_KEYS)) for name, value in connection.query_params.multi_items()]
    path = connection.url.path + (f"?{urlencode(query, safe='*')}" if query else "")
    headers = {
        name: _masked(value, name in ("authorization", "api-key"))
        for name, value in connection.headers.items()
        if name in HEADERS
    }
    offered = [
        KEY_SUBPROTOCOL + mask(name.removeprefix(KEY_SUBPROTOCOL)) if name.startswith(KEY_SUBPROTOCOL) else name
        for name in subprotocols(connection)
    ]
    return {"transport": transport, "url": path, "headers": headers, "subprotocols": offered}


def _masked(value: str, secret: bool) -> str:
    scheme, gap, key = value.partition(" ")
    if not secret:
        return value
    return f"{scheme} {mask(key)}" if gap else mask(value)
