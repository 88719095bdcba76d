"""Voice scores are asked for in ticks, so that the model runs once for many sessions.

Rule: a request that comes after a quiet tick goes on at once, so few sessions wait for nothing; those that come within
a tick of the last ones go on together when it is over. What a run of the model costs whatever its batch (a thread that
wakes and asks for Python's lock, while the loop waits for it) is then paid once a tick, not once an append.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from hark.core.work import Result, Work

Deliver: TypeAlias = Callable[[Result], None]

# A window of voice lasts 32 ms and a decision takes several, so nobody notices; 500 sessions that append 100 ms at
# a time make batches of 40.
TICK_S: Final = 0.008


class Ticks:
    """`submit` of a worker, for the requests of one event loop."""

    def __init__(self, submit: Callable[[Work, Deliver], None]) -> None:
        self._submit = submit
        self._waiting: list[tuple[Work, Deliver]] = []
        self._timer: asyncio.TimerHandle | None = None  # set while a tick lasts

    @property
    def waiting(self) -> int:
        """How many requests wait for the end of the tick."""
        return len(self._waiting)

    @property
    def lasts(self) -> bool:
        """Whether what comes now would wait."""
        return self._timer is not None

    def submit(self, work: Work, deliver: Deliver) -> None:
        if self._timer is not None:
            self._waiting.append((work, deliver))
            return
        self._submit(work, deliver)
        self._begin()

    def withdraw(self, deliver: Deliver) -> None:
        self._waiting = [entry for entry in self._waiting if entry[1] != deliver]

    def stop(self) -> None:
        self._waiting.clear()

    def _begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._end)

    def _end(self) -> None:
        self._timer = None
        gathered, self._waiting = self._waiting, []
        for work, deliver in gathered:
            self._submit(work, deliver)
        if gathered:
            self._begin()
