"""The one loop of a session: command, session, compute, event. It knows no transport and no dialect.

Rule: commands, results and timers come through one queue into one task, so all that happens to a session has one order.
What comes in is bounded: while the queue is full or the models are behind, no more is read, and the sender's transport
makes it wait. When the client is gone, its work is withdrawn and nothing of it goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from hark.audio.formats import SAMPLE_BYTES
from hark.core.messages import AnyCommand, AppendAudio, Event, SessionEnded
from hark.core.work import Compute, Result, Urge, Work
from hark.edge.beat import Beat
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
    """`tell` is awaited with each event, in order. `hold` is told when the client shall wait, and when no more."""

    def __init__(
        self,
        session: Session,
        compute: Compute,
        *,
        tell: Callable[[Event], Awaitable[None]],
        hold: Callable[[bool], None] = lambda held: None,
        beat: Beat | None = None,
    ) -> None:
        self._session = session
        self._compute = compute
        self._tell = tell
        self._hold = hold
        self._beat = beat
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[_Entry, float]] = deque()  # with its seconds of audio
        self._untold: deque[Event] = deque()
        self._sleep: asyncio.Future[None] | None = None  # while nothing is queued and nothing untold
        self._failure: Exception | None = None
        self._over = False
        self._held = False
        self._queued_s = 0.0
        self._behind = False  # what the session said last: nothing that is only queued changes it
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0  # uvloop's handle does not tell if that has passed already
        self._deliver = self._result  # one bound method, so that work can be withdrawn by it

    async def run(self, commands: AsyncIterator[AnyCommand]) -> SessionEnded | None:
        """Until the session ends (its last event, which was told, is returned) or the commands do (None)."""
        room = asyncio.Event()
        room.set()
        self._hold = lambda held: room.clear() if held else room.set()
        reader = asyncio.create_task(self._read(commands, room))
        try:
            return await self.serve()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def serve(self) -> SessionEnded | None:
        """The same where the commands are `put`."""
        try:
            self._settle()
            while True:
                while self._untold:
                    event = self._untold.popleft()
                    await self._tell(event)
                    if isinstance(event, SessionEnded):
                        return event
                if self._failure is not None:
                    raise self._failure
                if not self._queue:
                    self._sleep = self._loop.create_future()
                    await self._sleep
                    self._sleep = None
                    continue
                for _ in range(min(BURST, len(self._queue))):
                    if not self._take(self._next()):
                        return None
                self._settle()
                self._regulate()
                if self._queue:
                    await asyncio.sleep(0)
        finally:
            self._over = True
            self._compute.withdraw(self._deliver)
            if self._timer is not None:
                self._timer.cancel()
            # A model's last batch refers to us, and so does this method: a session's audio shall not wait for either.
            del self._session, self._tell, self._deliver, self._hold

    def put(self, commands: Sequence[AnyCommand]) -> None:
        """What the client asks, in its order. Several at once do not keep other sessions waiting."""
        if self._over:
            return
        if len(commands) == 1 and self._beat is not None and isinstance(commands[0], AppendAudio) and self._asleep:
            self._add(commands[0], self._seconds(commands[0]))
            self._beat.join(self._work_off)
        else:
            for command in commands:
                self._put(command, self._seconds(command))
        self._regulate()

    def gone(self) -> None:
        """The client has gone."""
        self._put(_Gone())

    async def _read(self, commands: AsyncIterator[AnyCommand], room: asyncio.Event) -> None:
        try:
            async for command in commands:
                self._put(command, self._seconds(command))
                self._regulate()
                if not room.is_set():
                    await room.wait()
        finally:
            self._put(_Gone())

    def _result(self, result: Result) -> None:
        self._at_once(result)

    @property
    def _asleep(self) -> bool:
        return self._sleep is not None and not self._sleep.done()

    def _work_off(self) -> None:
        """Act on the appends that wait for the beat, unless the task is at it."""
        if self._asleep and self._queue:
            self._act([self._next() for _ in range(min(BURST, len(self._queue)))])
            if self._queue:
                self._wake()

    def _at_once(self, entry: AnyCommand | Result | _Timer) -> None:
        if self._asleep:
            self._act([entry])
        else:
            self._put(entry, self._seconds(entry))

    def _act(self, entries: Sequence[_Entry]) -> None:
        """Act on `entries` here and now, while the task sleeps, and wake it only if there is something to tell: to wake
        it costs as much as an append does."""
        sleep, self._sleep = self._sleep, None  # what comes of this meanwhile is queued
        waiting = len(self._queue)
        try:
            for entry in entries:
                self._take(entry)
            self._settle()
            self._regulate()
        except Exception as error:
            self._failure = error
        self._sleep = sleep
        if len(self._queue) > waiting or self._untold or self._failure is not None:
            self._wake()

    def _wake(self) -> None:
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)

    def _next(self) -> _Entry:
        entry, seconds = self._queue.popleft()
        self._queued_s -= seconds
        return entry

    def _add(self, entry: _Entry, seconds: float) -> None:
        self._queue.append((entry, seconds))
        self._queued_s += seconds

    def _put(self, entry: _Entry, seconds: float = 0.0) -> None:
        self._add(entry, seconds)
        self._wake()

    def _take(self, entry: _Entry) -> bool:
        """Act on one entry; False if it says that the client is gone."""
        if isinstance(entry, _Gone):
            return False
        now = self._loop.time()
        if isinstance(entry, _Timer):
            self._session.handle_timer(now)
        else:
            self._session.receive(entry, now)
        return True

    def _settle(self) -> None:
        """Ask what the session asks, and keep what is to be told."""
        for output in self._session.outputs():
            if isinstance(output, Work):
                self._compute.submit(output, self._deliver)
            elif isinstance(output, Urge):
                self._compute.urge(output, self._deliver)
            else:
                self._untold.append(output)
        if notice := self._session.take_notice():
            log.warning("%s: %s", self._session.id, notice)
        self._behind = self._session.behind
        self._set_timer()

    def _set_timer(self) -> None:
        """Ring at the session's next deadline or before: most move on with every append, and a timer that is left
        where it was rings once in seconds, where one that follows would be set anew each time."""
        due = self._session.next_timer()
        if due is None or (self._timer is not None and self._rings_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rings_at = self._loop.call_at(due, self._ring), due

    def _ring(self) -> None:
        self._timer = None
        due = self._session.next_timer()
        if due is not None and due <= self._loop.time():
            self._at_once(_Timer())
        else:
            self._set_timer()

    def _regulate(self) -> None:
        held = self._behind or len(self._queue) >= MAX_QUEUED or self._queued_s >= MAX_QUEUED_S
        if held is not self._held and not self._over:
            self._held = held
            self._hold(held)

    def _seconds(self, entry: _Entry) -> float:
        """Of audio: the rest is small, and its number is bounded."""
        if self._over or not isinstance(entry, AppendAudio):
            return 0.0
        wire = entry.format or self._session.settings.format
        return len(entry.audio) / (wire.rate * SAMPLE_BYTES[wire.encoding])
