"""What one client sends: how fast it may, and whether it sends anything at all.

Theory. Each message costs the one loop that carries all sessions some time, however little is in it. So each spends of
a quota that fills up with time: an append costs 1, any other 20, and 1 more for each 4 KiB. What is in the quota when a
session begins lets a client send the settings, the history and the audio that it has at once. Past it no more is read,
until there is something again, and TCP makes the client wait: nothing is refused, nothing is lost, and others do not
feel it. How much audio may be sent ahead of time is no matter of messages; the pump sees to that.

Rule: of an append little more than a subtraction is made here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

from hark.core.messages import AnyCommand, AppendAudio, FinishSession
from hark.errors import CallerError
from hark.protocol.wire import decode

Put: TypeAlias = Callable[[Sequence[AnyCommand]], None]

# In appends: a second brings so many, and so many can be saved up.
PER_S: Final = 2_000
MOST: Final = 10_000
# What any other message costs, and 1 more for each of so many of its bytes.
OTHER: Final = 20
PIECE_BYTES: Final = 4_096
# A client that waits does so until there is this much again: to stop and to go on cost something too.
ENOUGH: Final = 100
# A session takes a client that sends no audio for 2.5 s for gone silent, and ends its turn.
BREATH_S: Final = 1.0


class Quota:
    """That of one client. `now` is in seconds of any clock."""

    def __init__(self, now: float) -> None:
        self._left = float(MOST)
        self._filled = now

    def fill(self, now: float) -> None:
        """With what the time since has brought."""
        self._left = min(MOST, self._left + (now - self._filled) * PER_S)
        self._filled = now

    def spend(self, frame: str | bytes, command: AnyCommand | None = None) -> None:
        """For a frame, which was this command if that is known."""
        self._left -= 1 if isinstance(command, AppendAudio) else OTHER + len(frame) // PIECE_BYTES

    @property
    def wait_s(self) -> float:
        """How long to read nothing; 0 while something is left."""
        return 0.0 if self._left >= 0 else (ENOUGH - self._left) / PER_S


class Idle:
    """Lets a session finish when its client has sent nothing for `idle_s`; never, if that is None."""

    def __init__(self, put: Put, idle_s: float | None) -> None:
        self._put = put
        self._loop = asyncio.get_running_loop()
        self._stirred = self._loop.time()
        self.excused = False  # while it is we who do not read
        self._timer = None if idle_s is None else self._loop.call_later(idle_s, self._look, idle_s)

    @classmethod
    @contextmanager
    def ending(cls, put: Put, idle_s: float | None) -> Iterator[Idle]:
        """The session whose commands are `put`, while the context lasts."""
        idle = cls(put, idle_s)
        try:
            yield idle
        finally:
            idle.stop()

    def stir(self, now: float) -> None:
        """The client has sent something."""
        self._stirred = now

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, idle_s: float) -> None:
        now = self._loop.time()
        if self.excused:
            self.stir(now)
        due = self._stirred + idle_s
        if now < due:
            self._timer = self._loop.call_at(due, self._look, idle_s)
            return
        message = f"Your session ended, for you sent nothing for {idle_s / 60:g} minutes, as long as this server waits."
        error = CallerError(message, code="session_idle")
        self._put([FinishSession(code=1001, reason="session_idle", error=error)])


class Inflow:
    """Between a connection and the pump of its session: `read` tells the connection to read or to let it be."""

    def __init__(self, read: Callable[[bool], None]) -> None:
        self._hold_connection = read
        self._loop = asyncio.get_running_loop()
        self._quota = Quota(self._loop.time())
        self._pump_holds = False
        self._slowed: asyncio.TimerHandle | None = None
        self._put: Put = lambda commands: None
        self._idle: Idle | None = None

    @contextmanager
    def into(self, put: Put, idle_s: float | None) -> Iterator[None]:
        """Commands are `put`; so is the end, when the client has been idle for so long."""
        with Idle.ending(put, idle_s) as self._idle:
            self._put = put
            try:
                yield
            finally:
                if self._slowed is not None:
                    self._slowed.cancel()

    def hold(self, held: bool) -> None:
        """The pump wants the client to wait, or no more."""
        self._pump_holds = held
        self._regulate()

    def take(self, frames: Sequence[str | bytes]) -> None:
        """What came, in its order."""
        now = self._loop.time()
        self._quota.fill(now)
        commands = [decode(frame) for frame in frames]
        for frame, command in zip(frames, commands, strict=True):
            self._quota.spend(frame, command)
        if self._idle is not None:
            self._idle.stir(now)
        self._put(commands)
        if self._quota.wait_s and self._slowed is None:
            self._slow()

    def _slow(self) -> None:
        """Begin to wait, go on, or end it. An empty append tells the session that it is not the client who is slow."""
        self._quota.fill(self._loop.time())
        wait_s = self._quota.wait_s
        self._slowed = self._loop.call_later(min(wait_s, BREATH_S), self._slow) if wait_s else None
        self._put([AppendAudio(audio=b"")])
        self._regulate()

    def _regulate(self) -> None:
        held = self._pump_holds or self._slowed is not None
        if self._idle is not None:
            self._idle.excused = held
        self._hold_connection(held)
