"""Requests about a call or a session that another gateway has: passed on to it, whole, its answer passed back.

What goes over the line between the two is what goes between a server and an application (ASGI): the scope, then
messages either way, in msgpack. So a WebSocket beside a call and the POST that hangs it up take the same way, and the
gateway that has the call sees the client's own credentials, dialect and close codes. Between processes of one machine
the line is a stream, and 4 bytes of length stand before each message; between nodes see neighbours.py.

Rule: the gateway that has it judges; this one looks at the id alone. Where there is no such gateway, or it ends before
it has answered, this one answers, and its answer is that there is no such call or session.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, Protocol, TypeVar

from msgspec import msgpack
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hark.edge.gateway import Gateway, Stream

log = logging.getLogger("hark.http")

CLOSE_FAULT: Final = 1011
_LENGTH_BYTES: Final = 4
_OWNED_PATH: Final = re.compile(r"/(?:calls|sessions)/([^/]+)/[^/]+$")
# Of a scope: what can travel. `state` has the request's id, so that the logs of both agree.
_TRAVELS: Final = (
    "type", "asgi", "http_version", "scheme", "method", "path", "raw_path", "root_path", "query_string", "headers",
    "client", "server", "subprotocols", "state",
)  # fmt: skip


T = TypeVar("T")


class Line(Protocol):
    """One end of it."""

    async def send(self, message: Mapping[str, Any]) -> None:
        """Raises OSError when the other side is gone."""

    async def receive(self) -> MutableMapping[str, Any] | None:
        """None at the end."""

    def close(self) -> None: ...


class StreamLine:
    """Over a stream."""

    def __init__(self, stream: Stream) -> None:
        self._reader, self._writer = stream

    async def send(self, message: Mapping[str, Any]) -> None:
        body = msgpack.encode(message)
        self._writer.write(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
        await self._writer.drain()

    async def receive(self) -> MutableMapping[str, Any] | None:
        try:
            size = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
            return msgpack.decode(await self._reader.readexactly(size), type=dict[str, Any])
        except (asyncio.IncompleteReadError, OSError):
            return None

    def close(self) -> None:
        self._writer.close()


def between(app: ASGIApp, gateway: Gateway) -> ASGIApp:
    """`app`, but for requests about what other gateways have."""

    async def owner(owned_id: str) -> int | None:
        return gateway.owner(owned_id)

    return passing(app, owner, lambda index: reach(gateway, index))


async def reach(gateway: Gateway, index: int) -> Line:
    """To the gateway of this index."""
    return StreamLine(await gateway.reach(index))


def passing(
    app: ASGIApp, owner: Callable[[str], Awaitable[T | None]], reach: Callable[[T], Awaitable[Line]]
) -> ASGIApp:
    """`app`, but for requests about what somebody else has: `owner` says who by the id of a call or session, None if
    that is here, and `reach` gives a line to there, which is at its end where nobody is."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        owned_id = owned(scope)
        there = await owner(owned_id) if owned_id else None
        if there is None:
            await app(scope, receive, send)
            return
        asked = _Asked(receive)
        try:
            if not await _pass_on(await reach(there), scope, asked, send):
                await app(scope, asked.again, send)
        finally:
            asked.stop()

    return serve


async def answer(app: ASGIApp, line: Line) -> None:
    """Let `app` answer what another gateway passes on."""
    try:
        scope = await line.receive()
        if scope is None:
            return

        async def receive() -> Message:
            gone = {"type": f"{scope['type']}.disconnect", "code": 1006}
            return await line.receive() or gone

        await app(scope, receive, line.send)
    except Exception as error:  # which the application has told of
        log.debug("a request that was passed on failed: %s", type(error).__name__)
    finally:
        line.close()


async def fetch(stream: Stream, scope: Scope) -> bytes | None:
    """What another gateway answers to a request without a body, to the end; None unless it is 200 and whole. Raises
    OSError if the other side goes away meanwhile."""
    line, body, status = StreamLine(stream), bytearray(), 0
    try:
        await line.send({name: scope[name] for name in _TRAVELS if name in scope})
        while (message := await line.receive()) is not None:
            status = message.get("status", status)
            body += message.get("body", b"")
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                return bytes(body) if status == 200 else None
        return None
    finally:
        line.close()


class _Asked:
    """What the client sends, kept until the other gateway has answered. A receive that has begun is never cancelled
    while somebody may still want what it brings."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._kept: list[Message] = []
        self._coming: asyncio.Future[Message] | None = None
        self.keeping = True
        self.gone = False

    async def next(self) -> Message:
        message = await self._await()
        if self.keeping:
            self._kept.append(message)
        self.gone = message["type"].endswith(".disconnect")
        return message

    async def again(self) -> Message:
        """From the beginning."""
        return self._kept.pop(0) if self._kept else await self._await()

    def stop(self) -> None:
        if self._coming is not None:
            self._coming.cancel()

    async def _await(self) -> Message:
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._receive())
        message = await asyncio.shield(self._coming)
        self._coming = None
        return message


async def _pass_on(line: Line, scope: Scope, asked: _Asked, send: Send) -> bool:
    """Whether the other side has answered."""

    async def ask() -> None:
        await line.send({name: scope[name] for name in _TRAVELS if name in scope})
        while not asked.gone:
            await line.send(await asked.next())

    asking = asyncio.create_task(ask())
    try:
        message = await line.receive()
        asked.keeping = message is None
        if message is None:
            return False
        closed = False
        while message is not None:
            closed = message["type"] == "websocket.close"
            await send(message)
            message = await line.receive()
        if scope["type"] == "websocket" and not closed and not asked.gone:  # the gateway died, and the call with it
            await send({"type": "websocket.close", "code": CLOSE_FAULT, "reason": ""})
    except OSError:  # the client is gone; the other gateway hears it by the end of the line
        pass
    finally:
        line.close()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    return True


def owned(scope: Scope) -> str:
    """The call or session that a request is about, "" if about none."""
    if scope["type"] == "websocket":
        query = HTTPConnection(scope).query_params
        return query.get("call_id") or query.get("resume") or ""
    if scope["type"] == "http" and (found := _OWNED_PATH.search(scope["path"])):
        return found[1]
    return ""
