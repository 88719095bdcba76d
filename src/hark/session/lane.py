"""What a session has asked of a model and waits for.

Rule: overload makes requests larger, not queues longer. In a `Lane` one request is in flight, and what comes meanwhile
rides on the next. In a `Succession` a request takes the place of the one before it, if a model has not begun on that
yet. An answer counts only while its request is in flight, so a late one to what was given up changes nothing.
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


class Succession:
    """Requests about one growing stretch: an answer to one settles those before it too, for it knows more."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._in_flight: list[int] = []
        self.latest: int | None = None  # in flight or not
        self.deadline: float | None = None

    @property
    def idle(self) -> bool:
        return not self._in_flight

    def launch(self, work_id: int, now: float) -> None:
        self._in_flight.append(work_id)
        self.latest = work_id
        self.deadline = now + self._patience_s

    def settle(self, result: Result) -> bool:
        """True if `result` answers what is in flight."""
        if result.id not in self._in_flight:
            return False
        self._in_flight = [work_id for work_id in self._in_flight if work_id > result.id]
        if not self._in_flight:
            self.deadline = None
        return True

    def abandon(self) -> None:
        """Give up all that is in flight."""
        self._in_flight.clear()
        self.deadline = None

    def overdue(self, now: float) -> bool:
        return self.deadline is not None and now >= self.deadline
