"""Appends of many sessions are acted on together: what a processor has at hand then serves the next one too.

Rule: what comes after a quiet beat is acted on at once, so few sessions wait for nothing; what comes within a beat of
the last is acted on when it is over. The scores that are asked for then go to the model together (compute/ticks.py), so
that no request waits twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

# As long as a tick of the voice scores, for which nothing is late that comes before it.
BEAT_S: Final = 0.008


class Beat:
    """That of one event loop."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None  # set while a beat lasts

    @property
    def lasts(self) -> bool:
        """Whether what comes now would wait."""
        return self._timer is not None

    def join(self, step: Callable[[], None]) -> None:
        """Call `step`, which raises nothing, now or at the end of the beat."""
        if self._timer is not None:
            self._waiting.append(step)
            return
        self._begin()
        step()

    def _begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._end)

    def _end(self) -> None:
        self._timer = None
        steps, self._waiting = self._waiting, []
        if steps:
            self._begin()
        for step in steps:
            step()
