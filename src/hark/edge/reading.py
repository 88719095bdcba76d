"""What comes over a WebSocket: whole frames of text are read here in one go, everything else by `websockets`.

Nearly all that a client sends is text in one frame each, an append of audio. To read one is a look at its head, a mask
and a decoding; `websockets` and the queue and two tasks that ASGI puts behind it take five times as long
(docs/performance.md).

Rule: a frame is read here only if nothing about it needs a thought: final, text, masked, no longer than allowed, valid
UTF-8, and no fragmented message under way. Any other goes to `websockets` byte by byte as it came, so that what it
answers, and which faults it finds, is what it always was. It then never sees a part of the frames that are read here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.http11 import Request
from websockets.protocol import State

from hark.edge.unreadable import WebSockets

try:
    from websockets.speedups import apply_mask
except ImportError:  # a build without a compiler
    from websockets.utils import apply_mask

Message: TypeAlias = Mapping[str, Any]
Take: TypeAlias = Callable[[list[str | bytes]], None]

EXTENSION: Final = "hark.frames"
# RFC 6455, 5.2.
_WHOLE_TEXT: Final = 0x81
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_SHORT: Final = 125
_TWO_BYTES: Final = 126
_EIGHT_BYTES: Final = 127
_MASK_BYTES: Final = 4


class Inbox(asyncio.Queue[Any]):
    """uvicorn's queue of messages for the application; once somebody has taken over, they go there at once."""

    def __init__(self) -> None:
        super().__init__()
        self.over: Callable[[Message], None] | None = None
        self.broken = False  # whether the connection ended without a close

    def put_nowait(self, item: Message) -> None:
        if self.broken and item["type"] == "websocket.disconnect":
            item = {**item, "code": 1006}  # uvicorn says 1005, which is what a client without a reason says
        if self.over is None:
            super().put_nowait(item)
        else:
            self.over(item)


class Reader(WebSockets):
    """The protocol of one connection. `reader_of` finds it for the application."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.queue: Inbox = Inbox()
        self._take: Take | None = None
        self._gone: Callable[[int], None] | None = None
        self._held = False
        self._framed = False  # whether frames come, and are ours to look at
        self._rest = bytearray()  # of a frame that has not come whole
        self._needed = 0  # bytes, for it to be
        self._passing = 0  # bytes that are still to go to `websockets`

    # ---- for the application -------------------------------------------------------------------------------------

    @contextmanager
    def taken_over(self, take: Take, gone: Callable[[int], None]) -> Iterator[None]:
        """`take` is called with messages as they come (bytes: it was binary), several if they came at once, and `gone`
        when the client has, with its close code or 1006. ASGI's `receive` has nothing more to say, and what comes
        afterwards nobody hears."""
        self._take, self._gone = take, gone
        self.queue.over = self._hand_over
        try:
            while not self.queue.empty():
                self._hand_over(self.queue.get_nowait())
            self._regulate()
            yield
        finally:
            self._take, self._gone = None, None
            self.queue.over = lambda message: None

    def hold(self, held: bool) -> None:
        """Whether the client shall wait: no more is read then."""
        self._held = held
        self._regulate()

    async def say(self, text: str) -> None:
        """Send a frame of text, once the client has read enough of those before. Raises WebSocketDisconnect if it has
        gone."""
        if not self.writable.is_set():
            await self.writable.wait()
        if self.disconnected or self.conn.state is not State.OPEN:
            raise WebSocketDisconnect(1006)
        payload = text.encode()
        size = len(payload)
        if size <= _SHORT:
            head = bytes((_WHOLE_TEXT, size))
        elif size < 1 << 16:
            head = bytes((_WHOLE_TEXT, _TWO_BYTES)) + size.to_bytes(2, "big")
        else:
            head = bytes((_WHOLE_TEXT, _EIGHT_BYTES)) + size.to_bytes(8, "big")
        self.transport.write(head + payload)

    def _hand_over(self, message: Message) -> None:
        if message["type"] == "websocket.disconnect":
            if self._gone is not None:
                self._gone(message["code"])
        elif message["type"] == "websocket.receive" and self._take is not None:
            text = message.get("text")
            self._take([message["bytes"] if text is None else text])

    def _regulate(self) -> None:
        if self.read_paused is self._held or self.disconnected or self.transport.is_closing():
            return
        self.read_paused = self._held
        if self._held:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    # ---- what comes ----------------------------------------------------------------------------------------------

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["extensions"][EXTENSION] = {"reader": self}  # before its task begins

    def connection_lost(self, exc: Exception | None) -> None:
        self.queue.broken = self.conn.close_rcvd is None
        super().connection_lost(exc)

    def send_receive_event_to_app(self) -> None:
        super().send_receive_event_to_app()
        if self._take is not None:
            self._regulate()

    def data_received(self, data: bytes) -> None:
        if not self._framed:
            if self.conn.state is not State.OPEN:
                super().data_received(data)
                return
            self._framed = True
        if self._passing:
            part, data = data[: self._passing], data[self._passing :]
            self._passing -= len(part)
            super().data_received(part)
        if not self._rest:
            self._read(data)
            return
        self._rest += data
        if len(self._rest) >= self._needed:
            rest, self._rest = self._rest, bytearray()
            self._read(rest)

    def _read(self, data: bytes | bytearray) -> None:
        """`data` begins with a frame, or is empty."""
        texts: list[str | bytes] = []
        at, end = 0, len(data)
        while at < end and not self.transport.is_closing():
            begins, stop = _extent(data, at)
            plain = data[at] == _WHOLE_TEXT and stop > 0 and self._is_plain(data[at + 1], stop - begins)
            if stop == 0 or (plain and stop > end):
                self._rest += data[at:]
                self._needed = stop - at if plain else end - at + 1
                break
            text = _text(data, begins, stop) if plain else None
            if text is None:
                self._tell(texts)
                texts = []
                self._passing = max(0, stop - end)
                super().data_received(bytes(data[at:stop]))
            else:
                texts.append(text)
            at = stop
        self._tell(texts)

    def _is_plain(self, second: int, length: int) -> bool:
        """Whether a final frame of text is nothing else: masked, allowed, and not in the middle of a message."""
        most = self.config.ws_max_size
        return second >= _MASKED and length <= most and self.conn.current_size is None

    def _tell(self, texts: list[str | bytes]) -> None:
        if not texts or self.close_sent:
            return
        if self._take is not None:
            self._take(texts)
            return
        for text in texts:
            self.queue.put_nowait({"type": "websocket.receive", "text": text})
        if self.queue.over is None and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()


def reader_of(websocket: WebSocket) -> Reader | None:
    """That of a connection, unless another server carries it, or somebody between wants to see what comes."""
    found = websocket.scope.get("extensions", {}).get(EXTENSION)
    return None if found is None else found["reader"]


def _extent(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """Where the payload of the frame at `at` begins and ends; (0, 0) while that has not come yet."""
    have = len(data) - at
    if have < 2:
        return 0, 0
    length = data[at + 1] & _LENGTH
    begins = at + 2
    if length > _SHORT:
        extra = 2 if length == _TWO_BYTES else 8
        if have < 2 + extra:
            return 0, 0
        length = int.from_bytes(data[begins : begins + extra], "big")
        begins += extra
    if data[at + 1] >= _MASKED:
        begins += _MASK_BYTES
    return begins, begins + length


def _text(data: bytes | bytearray, begins: int, stop: int) -> str | None:
    """The text of a frame, or None if it is none."""
    try:
        return apply_mask(data[begins:stop], data[begins - _MASK_BYTES : begins]).decode()
    except UnicodeDecodeError:
        return None
