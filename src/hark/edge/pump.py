"""The one loop of a session: command, session, compute, event. It knows no transport and no dialect.

Rule: commands, results and timers come through one queue into one task, so all that happens to a session has one order.
What comes in is bounded: while the queue is full or the models are behind, no more is read, and the sender's transport
makes it wait. When the client is gone, its work is withdrawn and nothing of it goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeAlias

from hark.audio.formats import SAMPLE_BYTES
from hark.core.messages import AnyCommand, AppendAudio, Event, SessionEnded
from hark.core.work import Compute, Result, Urge, Work
from hark.session.session import Session

log = logging.getLogger("hark.session")

MAX_QUEUED: Final = 64
# Of audio, beside the minute that a session takes in itself; the append that goes over it is still taken.
MAX_QUEUED_S: Final = 10.0
# After this many entries other sessions have their turn on the loop.
BURST: Final = 16


class _Timer:
    """In the queue: a deadline of the session has come."""


class _Gone:
    """In the queue: the client has gone."""


_Entry: TypeAlias = AnyCommand | Result | _Timer | _Gone


class Pump:
    """`tell` is awaited with each event, in order."""

    def __init__(self, session: Session, compute: Compute, *, tell: Callable[[Event], Awaitable[None]]) -> None:
        self._session = session
        self._compute = compute
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[_Entry, float]] = deque()  # with its seconds of audio
        self._sleep: asyncio.Future[None] | None = None  # while nothing is queued
        self._room = asyncio.Event()
        self._queued_s = 0.0
        self._behind = False  # what the session said last: nothing that is only queued changes it
        self._timer: asyncio.TimerHandle | None = None
        self._deliver = self._put  # one bound method, so that work can be withdrawn by it

    async def run(self, commands: AsyncIterator[AnyCommand]) -> SessionEnded | None:
        """Until the session ends (its last event, which was told, is returned) or the commands do (None)."""
        reader = asyncio.create_task(self._read(commands))
        try:
            ended = await self._drain()
            while ended is None:
                if not self._queue:
                    self._sleep = self._loop.create_future()
                    await self._sleep
                for _ in range(min(BURST, len(self._queue))):
                    entry, seconds = self._queue.popleft()
                    self._queued_s -= seconds
                    if not self._take(entry):
                        return None
                ended = await self._drain()
                self._behind = self._session.behind
                self._regulate()
                if self._queue:
                    await asyncio.sleep(0)
            return ended
        finally:
            reader.cancel()
            self._compute.withdraw(self._deliver)
            if self._timer is not None:
                self._timer.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            # A model's last batch refers to us, and so does this method: a session's audio shall not wait for either.
            del self._session, self._tell, self._deliver

    async def _read(self, commands: AsyncIterator[AnyCommand]) -> None:
        self._room.set()
        try:
            async for command in commands:
                self._put(command, self._seconds(command))
                self._regulate()
                if not self._room.is_set():
                    await self._room.wait()
        finally:
            self._put(_Gone())

    def _put(self, entry: _Entry, seconds: float = 0.0) -> None:
        self._queue.append((entry, seconds))
        self._queued_s += seconds
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)

    def _take(self, entry: _Entry) -> bool:
        """Act on one entry; False if it says that the client is gone."""
        now = self._loop.time()
        match entry:
            case _Timer():
                self._session.handle_timer(now)
            case _Gone():
                return False
            case _:
                self._session.receive(entry, now)
        return True

    async def _drain(self) -> SessionEnded | None:
        for output in self._session.outputs():
            if isinstance(output, Work):
                self._compute.submit(output, self._deliver)
                continue
            if isinstance(output, Urge):
                self._compute.urge(output, self._deliver)
                continue
            await self._tell(output)
            if isinstance(output, SessionEnded):
                return output
        if notice := self._session.take_notice():
            log.warning("%s: %s", self._session.id, notice)
        self._set_timer()
        return None

    def _set_timer(self) -> None:
        """Ring at the session's next deadline or before: most move on with every append, and a timer that is left
        where it was rings once in seconds, where one that follows would be set anew each time."""
        due = self._session.next_timer()
        if due is None or (self._timer is not None and self._timer.when() <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        due = self._session.next_timer()
        if due is not None and due <= self._loop.time():
            self._put(_Timer())
        else:
            self._set_timer()

    def _regulate(self) -> None:
        full = len(self._queue) >= MAX_QUEUED or self._queued_s >= MAX_QUEUED_S
        if full or self._behind:
            self._room.clear()
        else:
            self._room.set()

    def _seconds(self, command: AnyCommand) -> float:
        """Of audio: the rest is small, and its number is bounded."""
        if not isinstance(command, AppendAudio):
            return 0.0
        wire = command.format or self._session.settings.format
        return len(command.audio) / (wire.rate * SAMPLE_BYTES[wire.encoding])
