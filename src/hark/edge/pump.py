"""The one loop of a session: frame, dialect, session, compute, frame.

Rule: frames, results and timers come through one queue into one task, so all that happens to a session has one order.
What comes in is bounded: while the queue is full or the models are behind, no more is read, and the client's own
transport makes it wait. When the client is gone, its work is withdrawn and nothing of it goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeAlias

from hark.core.messages import Refused, SessionEnded, SessionUpdated
from hark.core.work import Compute, Result, ScoreVoice, Transcribe
from hark.protocol import wire
from hark.protocol.dialects import DIALECTS
from hark.protocol.events import NewId
from hark.protocol.wire import DialectName
from hark.session.session import Session

log = logging.getLogger("hark.session")

Frames: TypeAlias = AsyncIterator[str | bytes]

MAX_QUEUED: Final = 64
MAX_QUEUED_BYTES: Final = 32 * 1024 * 1024
# After this many entries other sessions have their turn on the loop.
BURST: Final = 16


class _Timer:
    """In the queue: a deadline of the session has come."""


class _Gone:
    """In the queue: the client has gone."""


class Pump:
    def __init__(
        self,
        session: Session,
        dialect: DialectName,
        compute: Compute,
        *,
        send: Callable[[str], Awaitable[None]],
        new_id: NewId,
    ) -> None:
        self._session = session
        self._dialect = DIALECTS[dialect]
        self._compute = compute
        self._send = send
        self._new_id = new_id
        self._loop = asyncio.get_running_loop()
        self._queue: deque[str | bytes | Result | _Timer | _Gone] = deque()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._queued_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._deliver = self._put  # one bound method, so that work can be withdrawn by it

    async def run(self, frames: Frames) -> SessionEnded | None:
        """Until the session ends (its last event is returned, unsent frames are none) or the client is gone (None)."""
        reader = asyncio.create_task(self._read(frames))
        try:
            ended = await self._drain()
            while ended is None:
                await self._filled.wait()
                self._filled.clear()
                for _ in range(min(BURST, len(self._queue))):
                    if not self._take(self._queue.popleft()):
                        return None
                if self._queue:
                    self._filled.set()
                ended = await self._drain()
                self._regulate()
                await asyncio.sleep(0)
            return ended
        finally:
            reader.cancel()
            self._compute.withdraw(self._deliver)
            if self._timer is not None:
                self._timer.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, frames: Frames) -> None:
        self._room.set()
        try:
            async for frame in frames:
                self._queued_bytes += len(frame)
                self._put(frame)
                self._regulate()
                await self._room.wait()
        finally:
            self._put(_Gone())

    def _put(self, entry: str | bytes | Result | _Timer | _Gone) -> None:
        self._queue.append(entry)
        self._filled.set()

    def _take(self, entry: str | bytes | Result | _Timer | _Gone) -> bool:
        """Act on one entry; False if it says that the client is gone."""
        now = self._loop.time()
        match entry:
            case str() | bytes():
                self._queued_bytes -= len(entry)
                self._session.receive(wire.decode(entry), now)
            case _Timer():
                self._session.handle_timer(now)
            case _Gone():
                return False
            case _:
                self._session.receive(entry, now)
        return True

    async def _drain(self) -> SessionEnded | None:
        for output in self._session.outputs():
            if isinstance(output, ScoreVoice | Transcribe):
                self._compute.submit(output, self._deliver)
                continue
            dialect = self._dialect
            if isinstance(output, SessionUpdated | Refused) and output.shows is not None:
                dialect = DIALECTS[output.shows]  # an update is answered as it was written
            if isinstance(output, SessionUpdated):
                self._dialect = dialect
            for frame in dialect.encode(output, self._new_id):
                await self._send(frame)
            if isinstance(output, SessionEnded):
                return output
        if notice := self._session.take_notice():
            log.warning("%s: %s", self._session.id, notice)
        self._set_timer()
        return None

    def _set_timer(self) -> None:
        due = self._session.next_timer()
        if due == self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = None if due is None else self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = self._due = None
        self._put(_Timer())

    def _regulate(self) -> None:
        full = len(self._queue) >= MAX_QUEUED or self._queued_bytes >= MAX_QUEUED_BYTES
        if full or self._session.behind:
            self._room.clear()
        else:
            self._room.set()
