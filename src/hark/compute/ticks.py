"""Voice scores are asked for in ticks, so that the model runs once for many sessions.

Rule: requests that come after a quiet tick go on as soon as the loop has nothing else to do, so few sessions wait for
nothing; those that come within a tick of the last ones go on together when it is over. What a run of the model costs
whatever its batch (a thread that wakes and asks for Python's lock, while the loop waits for it) is then paid once a
tick, not once an append.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from hark.core.work import Result, Work

Deliver: TypeAlias = Callable[[Result], None]

# A window of voice lasts 32 ms and a decision takes several, so nobody notices; 500 sessions that append 100 ms at
# a time make batches of 40.
TICK_S: Final = 0.008


class Ticks:
    """`submit_all` of a worker, for the requests of one event loop."""

    def __init__(self, submit: Callable[[Sequence[tuple[Work, Deliver]]], None]) -> None:
        self._submit = submit
        self._waiting: list[tuple[Work, Deliver]] = []
        self._timer: asyncio.Handle | None = None  # set while a tick lasts

    @property
    def waiting(self) -> int:
        """How many requests wait for the end of the tick."""
        return len(self._waiting)

    @property
    def lasts(self) -> bool:
        """Whether what comes now would wait."""
        return self._timer is not None

    def submit(self, work: Work, deliver: Deliver) -> None:
        self._waiting.append((work, deliver))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_soon(self._end)

    def withdraw(self, deliver: Deliver) -> None:
        self._waiting = [entry for entry in self._waiting if entry[1] != deliver]

    def stop(self) -> None:
        self._waiting.clear()

    def _end(self) -> None:
        self._timer = None
        gathered, self._waiting = self._waiting, []
        if gathered:
            self._submit(gathered)
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._end)
