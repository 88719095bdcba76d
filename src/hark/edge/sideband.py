"""WebSockets beside a call: /v1/realtime?call_id=rtc_… hears what the call hears, and may say what it may say.

Rule: any number of them, each in the dialect of its own handshake, whatever the others speak. When the call ends they
are closed with 1000. Who reads too slowly is cut off with 1013, so that nobody waits for him.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from msgspec import structs
from starlette.websockets import WebSocket, WebSocketDisconnect

from hark.core.messages import Event, Refused, SessionCreated, SessionEnded, SessionUpdated
from hark.edge.frames import Frames, Speaker
from hark.edge.ids import new_id
from hark.edge.inflow import Quota
from hark.protocol.wire import DialectName

if TYPE_CHECKING:
    from hark.edge.call import Call

# Events that wait for a reader.
MAX_UNREAD: Final = 2_000
CLOSE_SLOW: Final = 1013


class SideBand:
    """An ear of a call. `send` sends a frame to its client."""

    def __init__(self, dialect: DialectName, *, send: Callable[[str], Awaitable[None]]) -> None:
        self._speaker = Speaker(dialect, send=send, new_id=new_id)
        self._unread: asyncio.Queue[Event | SessionEnded | None] = asyncio.Queue(MAX_UNREAD)
        self.slow = False

    async def tell(self, event: Event) -> None:
        if isinstance(event, SessionUpdated | Refused):
            event = structs.replace(event, shows=None)  # another one's update does not change what is spoken here
        try:
            self._unread.put_nowait(event)
        except asyncio.QueueFull:
            self._drop()

    async def close(self, ended: SessionEnded | None) -> None:
        try:
            self._unread.put_nowait(None)
        except asyncio.QueueFull:
            self._drop()

    def hurry(self) -> None:
        """Nobody waits for it at any time."""

    def _drop(self) -> None:
        self.slow = True
        while not self._unread.empty():
            self._unread.get_nowait()
        self._unread.put_nowait(None)

    async def speak(self) -> None:
        """Say everything, until the call has ended or the client has become too slow."""
        while (event := await self._unread.get()) is not None:
            await self._speaker.tell(event)


async def attach(websocket: WebSocket, frames: Frames, call: Call, dialect: DialectName) -> None:
    """Serve one, from its greeting to its close."""
    ear = SideBand(dialect, send=websocket.send_text)
    await ear.tell(SessionCreated(call.session.view))
    number = call.attach(ear)

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        quota = Quota(loop.time())
        async for frame in frames:
            call.say(number, frame, own_dialect=False)
            quota.fill(loop.time())
            quota.spend(frame)
            if wait_s := quota.wait_s:
                await asyncio.sleep(wait_s)
            await call.room()

    speaking, listening = asyncio.create_task(ear.speak()), asyncio.create_task(listen())
    try:
        await asyncio.wait({speaking, listening}, return_when=asyncio.FIRST_COMPLETED)
        if speaking.done() and not listening.done():
            await websocket.close(CLOSE_SLOW if ear.slow else 1000)
    except WebSocketDisconnect:
        pass
    finally:
        call.detach(number)
        for task in (speaking, listening):
            task.cancel()
        await asyncio.gather(speaking, listening, return_exceptions=True)
