"""A WebSocket as a line of its session: what comes is handed to the session's life, what that says is sent.

Frames come by `reading.py` where that carries the connection, and else as ASGI has them: behind an event log, or
another gateway.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from hark.core.messages import SessionEnded
from hark.edge.inflow import Inflow
from hark.edge.life import Life
from hark.edge.reading import Reader, reader_of

# What a client closes with that has said all it has to say; any other close, or none, may be followed by another line.
GOODBYES: Final = (1000, 1005)


class SocketLine:
    """`serve` returns when the session has ended, or the client has gone. `idle_s`: how long it may send nothing."""

    def __init__(self, websocket: WebSocket, life: Life, *, idle_s: float | None = None) -> None:
        self._websocket = websocket
        self._life = life
        self._reader: Reader | None = reader_of(websocket)
        self._over: asyncio.Future[SessionEnded | None] = asyncio.get_running_loop().create_future()
        self.freed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._inflow = Inflow(self._keep_waiting)
        self._idle_s = idle_s

    async def serve(self) -> SessionEnded | None:
        """How the session ended, None if it is the client who has gone. Raises what went wrong with the session."""
        try:
            with self._inflow.into(lambda commands: self._life.put(self, commands), self._idle_s):
                return await self._hear_all()
        finally:
            self._life.lost(self, goodbye=False)  # unless that is known

    async def _hear_all(self) -> SessionEnded | None:
        if self._reader is not None:
            with self._reader.taken_over(self._inflow.take, self._gone):
                return await self._over
        reading = asyncio.create_task(self._read())
        try:
            return await self._over
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def say(self, frame: str) -> None:
        if self._reader is not None:
            await self._reader.say(frame)
            return
        if self._over.done():
            raise WebSocketDisconnect(1006)
        sending = asyncio.create_task(self._websocket.send_text(frame))

        def give_up(over: object) -> None:
            sending.cancel()

        self._over.add_done_callback(give_up)  # a client that reads no more holds up nobody who takes its place
        try:
            await sending
        except asyncio.CancelledError:
            if not self._over.done():
                raise
            raise WebSocketDisconnect(1006) from None
        finally:
            self._over.remove_done_callback(give_up)

    def hold(self, held: bool) -> None:
        self._inflow.hold(held)

    def _keep_waiting(self, held: bool) -> None:
        if self._reader is not None:
            self._reader.hold(held)
        elif held:
            self._room.clear()
        else:
            self._room.set()

    def end(self, told: SessionEnded | Exception) -> None:
        if self._over.done():
            return
        if isinstance(told, Exception):
            self._over.set_exception(told)
        else:
            self._over.set_result(told)
        if self._reader is not None:
            self._reader.writable.set()  # so that nobody waits for a client that reads no more

    def _gone(self, code: int) -> None:
        self._life.lost(self, goodbye=code in GOODBYES)
        if not self._over.done():
            self._over.set_result(None)

    async def _read(self) -> None:
        code = 1006
        try:
            while self._websocket.client_state is not WebSocketState.DISCONNECTED:
                message = await self._websocket.receive()
                if message["type"] != "websocket.receive":
                    code = message.get("code", 1006)
                    break
                text: str | None = message.get("text")
                self._inflow.take([text if text is not None else bytes(message["bytes"])])
                await self._room.wait()
        finally:
            self._gone(code)
