"""A WebSocket that can be written to at next to no cost: frames that were masked beforehand go straight to the
transport.

Rule: handshake, pings and all that comes in are the business of the `websockets` library, by its core without I/O. A
masking key is drawn for each frame when it is made, and the frame is sent many times with it, which no server can tell
or mind.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

OPEN_SECONDS = 30.0


def masked(message: str | bytes) -> bytes:
    """A message as it goes over the wire."""
    if isinstance(message, str):
        return Frame(Opcode.TEXT, message.encode()).serialize(mask=True)
    return Frame(Opcode.BINARY, message).serialize(mask=True)


class Socket(asyncio.Protocol):
    """One connection. `on_message` is called with each message and the time at which it came."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        tls: ssl.SSLContext | None,
        on_message: Callable[[str | bytes, float], None],
        *,
        headers: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] = (),
    ) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: str | None = None
        self._on_message = on_message
        self._url = url
        self._tls = tls
        offered = [Subprotocol(each) for each in subprotocols] or None
        self._protocol = ClientProtocol(parse_uri(url), max_size=None, subprotocols=offered)
        self._headers = dict(headers or {})
        self.lost = asyncio.Event()
        self._key = api_key
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._text = True

    async def open(self, greeting: Iterable[str | bytes]) -> None:
        """Raises OSError, TimeoutError, or websockets' InvalidHandshake."""
        where = urlsplit(self._url)
        secure = where.scheme == "wss"
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(OPEN_SECONDS):
            await loop.create_connection(
                lambda: self,
                where.hostname or "",
                where.port or (443 if secure else 80),
                ssl=self._tls if secure else None,
            )
            await self.opened
        for message in greeting:
            self.write(masked(message))

    @property
    def backlog(self) -> int:
        """Bytes that the network has not taken."""
        return self._transport.get_write_buffer_size() if self._transport and self.closed is None else 0

    def write(self, frames: bytes) -> None:
        """Send what `masked` made."""
        if self._transport is not None and self.closed is None:
            self._transport.write(frames)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    @property
    def close_code(self) -> int | None:
        """The server's; None while there is none."""
        return self._protocol.close_rcvd.code if self._protocol.close_rcvd else None

    def say_goodbye(self, code: int | None = 1000) -> None:
        """A close frame; None for one without a code. The server closes the connection."""
        if self._transport is not None and self.closed is None:
            self._protocol.send_close(code)
            self._flush()

    def cut(self) -> None:
        """The connection is reset, and what has not been sent yet never is."""
        if self._transport is not None and self.closed is None:
            option = self._transport.get_extra_info("socket")
            option.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def listen(self, on: bool) -> None:
        """Whether to read what comes; a server that sends has to wait meanwhile."""
        if self._transport is not None and self.closed is None:
            (self._transport.resume_reading if on else self._transport.pause_reading)()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        request = self._protocol.connect()
        if self._key is not None:
            request.headers["Authorization"] = f"Bearer {self._key}"
        request.headers.update(self._headers)
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        at = time.monotonic()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event, at)
            elif isinstance(event, Response) and not self.opened.done():
                self._shake(event)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.closed is None:
            self.closed = str(exc or "the server closed the connection")
        self.lost.set()
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(self.closed))

    def _shake(self, response: Response) -> None:
        error = self._protocol.handshake_exc
        if error is None:
            self.opened.set_result(None)
        else:
            body = (response.body or b"").decode(errors="replace").strip()
            self.opened.set_exception(ConnectionError(f"HTTP {response.status_code} {body}".strip()))

    def _take(self, frame: Frame, at: float) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._parts, self._text = [], frame.opcode is Opcode.TEXT
        elif frame.opcode is Opcode.CLOSE:
            self.closed = f"close code {self._protocol.close_code}: {self._protocol.close_reason}"
            return
        elif frame.opcode is not Opcode.CONT:
            return
        self._parts.append(bytes(frame.data))
        if frame.fin:
            whole = b"".join(self._parts)
            self._on_message(whole.decode() if self._text else whole, at)

    def _flush(self) -> None:
        assert self._transport is not None
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
