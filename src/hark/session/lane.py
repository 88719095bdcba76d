"""One request in flight; what comes meanwhile rides on the next.

Rule: overload makes requests larger, not queues longer. An answer counts only if it is to the request in flight, so a
late answer to one that was given up changes nothing.
"""

from __future__ import annotations

from hark.core.work import Result


class Lane:
    """`patience_s`: how long an answer may take before the request is given up."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._in_flight: int | None = None
        self.deadline: float | None = None

    @property
    def idle(self) -> bool:
        return self._in_flight is None

    def launch(self, work_id: int, now: float) -> None:
        assert self._in_flight is None, "one request in flight"
        self._in_flight = work_id
        self.deadline = now + self._patience_s

    def settle(self, result: Result) -> bool:
        """True, and the lane is idle again, if `result` answers what is in flight."""
        if result.id != self._in_flight:
            return False
        self.abandon()
        return True

    def abandon(self) -> None:
        """Give up what is in flight; its answer, should it come, is ignored."""
        self._in_flight = None
        self.deadline = None

    def overdue(self, now: float) -> bool:
        return self.deadline is not None and now >= self.deadline
