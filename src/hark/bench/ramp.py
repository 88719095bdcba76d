"""The most sessions that a server carries: doubling until it is too many, then halving the gap. Pure.

Rule: a number counts as carried only if it was tried and was. The answer is exact to `precision` of itself, at least to
1.
"""

from __future__ import annotations


class Ramp:
    """Ask `next` for a number, try it, and say with `record` how it went, until `next` is None."""

    def __init__(self, start: int, most: int, precision: float = 0.06) -> None:
        self.best = 0
        self._too_many: int | None = None
        self._start = max(1, min(start, most))
        self._most = most
        self._precision = precision

    def next(self) -> int | None:
        """The number of sessions to try now."""
        if self._too_many is None:
            return None if self.best >= self._most else min(2 * self.best or self._start, self._most)
        if self.best == 0:
            return self._too_many // 2 or None
        gap = self._too_many - self.best
        return None if gap <= max(1, self.best * self._precision) else self.best + gap // 2

    def record(self, sessions: int, *, carried: bool) -> None:
        if carried:
            self.best = max(self.best, sessions)
        else:
            self._too_many = min(sessions, self._too_many or sessions)
