"""How metrics are made: a registry of the server's own, and labels that stay few.

Rule: names after Prometheus' conventions: base units, `_total` for what only grows. A label's values are known before
the server starts, or there is a bound on how many there may be: never an id, never what a client may write. Buckets
are those in which docs/performance.md differs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

OTHER: Final = "other"
# What users feel: from what a quiet machine does in no time to what a busy one takes.
LATENCY: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0)
# Waits and runs inside: voice scores take fractions of a millisecond, a batch of long turns a second.
SHORT: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LOADING: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
REQUEST: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
LIFE: Final = (1.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0)
SIZES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128)
# Seconds of work for a second of audio.
FACTOR: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0)


class Few:
    """Values of a label: those that are `known`, in any case, or else as many as `most`; all others are OTHER."""

    def __init__(self, known: Collection[str] = (), most: int = 0) -> None:
        self._known = {name.casefold(): name for name in known}
        self._room = most

    def __call__(self, value: str) -> str:
        if (found := self._known.get(value.casefold())) is not None:
            return found
        if self._room <= 0:
            return OTHER
        self._room -= 1
        self._known[value.casefold()] = value
        return value
