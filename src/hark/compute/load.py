"""How much of its time a model spends on what somebody waits for: what the server's headroom is measured by.

Theory. Early finish and partial hypotheses take what time there is, so a machine that is busy all the time may have
plenty left. What tells is how much of the work only began when somebody was waiting for it already: nearly none while
there is room, for then a pause is long enough; nearly all when there is none. Pure: `now` is passed in, in seconds.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from hark.core.work import Strain, Urgency

WINDOW_S: Final = 10.0


class Load:
    """Of one model that so many `callers` call at once. What is older than WINDOW_S is forgotten."""

    def __init__(self, callers: int) -> None:
        self._callers = callers
        self._runs: deque[tuple[float, float, Urgency]] = deque()
        self._waits: deque[tuple[float, float]] = deque()

    def ran(self, now: float, seconds: float, urgency: Urgency) -> None:
        """A caller has been busy for so long with requests that were so urgent when it took them."""
        self._runs.append((now, seconds, urgency))
        self._forget(now)

    def waited(self, now: float, seconds: float) -> None:
        """A request for which somebody waits has waited so long for a caller."""
        self._waits.append((now, seconds))
        self._forget(now)

    def strain(self, now: float) -> Strain:
        self._forget(now)
        whole = self._callers * WINDOW_S
        waits = sorted(seconds for _, seconds in self._waits)
        return Strain(
            late=sum(seconds for _, seconds, urgency in self._runs if urgency is Urgency.ENDED) / whole,
            final=sum(seconds for _, seconds, urgency in self._runs if urgency is not Urgency.GROWING) / whole,
            wait_s=waits[len(waits) * 19 // 20] if waits else 0.0,
            callers=self._callers,
        )

    def _forget(self, now: float) -> None:
        while self._runs and self._runs[0][0] < now - WINDOW_S:
            self._runs.popleft()
        while self._waits and self._waits[0][0] < now - WINDOW_S:
            self._waits.popleft()
