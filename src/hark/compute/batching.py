"""Which of the waiting requests a model runs next: pure policy, no clock and no thread.

Rule: a batch is formed when one of the threads that call the model is free, never held open for more to come. The
transcripts that somebody waits for go first, then those of talkers who have paused and may be done, then all others,
and within each class the one that has waited longest: so partial hypotheses thin out before any final one waits. A
session's next partial one waits for its last, so that no session takes more than its turn. One thread is kept from
partial ones if there are several, so what ends never finds all of them busy with what grows.

A batch holds requests of one class and of like length, for the shorter ones are padded to the longest and cost as much;
of any length for models to which all cost the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import inf
from typing import Final, Generic, TypeVar

from msgspec import Struct

from hark.core.work import SAMPLE_RATE, ScoreVoice, Transcribe, Urge, Urgency, Work

# A batch's longest may be this many times its shortest. Padding beyond costs more than a batch of its own would.
LENGTH_RATIO: Final = 1.6
# Scores of more windows than a session gets behind by in a second are of a file, or of one sent at once.
LIVE_SCORES: Final = SAMPLE_RATE
# So many of those run together, as the next live ones wait for them.
LARGE_BATCH: Final = 4


Session = TypeVar("Session", bound=Hashable)


class Entry(Struct, Generic[Session], eq=False):
    """A request in the queue. `session` is whoever asked, `place` its rank by when it was asked, `since` the time from
    which it has been as urgent as it is."""

    work: Work
    session: Session
    place: int
    urgency: Urgency
    since: float


class Limits(Struct, frozen=True):
    """Of one batch: requests, seconds of audio, padding included, and whether lengths may differ; of the queue: threads
    that call the model."""

    batch: int = 8
    batch_s: float = inf
    any_length: bool = False
    callers: int = 1


class Queue(Generic[Session]):
    """What waits for one model, and what its callers run."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: dict[tuple[Session, int], Entry[Session]] = {}
        self._placed = 0
        self._running = Counter[Session]()  # sessions by requests that run
        self._growing = 0  # callers that run partial ones

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, work: Work, session: Session, now: float = 0.0) -> None:
        """`work` waits from now on, in the place of the one that it replaces if that is as good."""
        urgency = work.urgency if isinstance(work, Transcribe) else Urgency.ENDED
        self._placed += 1
        entry = Entry(work, session, self._placed, urgency, now)
        if isinstance(work, Transcribe) and work.replaces is not None:
            replaced = self._waiting.pop((session, work.replaces), None)
            if replaced is not None and replaced.urgency <= urgency:
                entry.place = replaced.place
        self._waiting[session, work.id] = entry

    def urge(self, urge: Urge, session: Session, now: float = 0.0) -> None:
        """From partial to final is a new request; from a pause to the end is the one that began in the pause."""
        entry = self._waiting.get((session, urge.id))
        if entry is None:
            return
        if urge.urgency < entry.urgency is Urgency.GROWING:
            self._placed += 1
            entry.place = self._placed
        entry.urgency, entry.since = urge.urgency, now

    def withdraw(self, session: Session) -> None:
        """Forget what this session asked."""
        self._waiting = {key: entry for key, entry in self._waiting.items() if entry.session != session}

    def clear(self) -> None:
        self._waiting.clear()

    def take(self) -> list[Entry[Session]]:
        """What a caller that is free is to run now; nothing if nothing may. `done` follows."""
        batch = next_batch(self._ready(), self._limits)
        for entry in batch:
            del self._waiting[entry.session, entry.work.id]
            self._running[entry.session] += 1
        self._growing += _grows(batch)
        return batch

    def done(self, batch: Sequence[Entry[Session]]) -> None:
        """A caller has run `batch`."""
        self._growing -= _grows(batch)
        for entry in batch:
            self._running[entry.session] -= 1
            if not self._running[entry.session]:
                del self._running[entry.session]

    def _ready(self) -> list[Entry[Session]]:
        """What may run now, first things first."""
        full = self._growing >= max(1, self._limits.callers - 1)
        return sorted(
            (
                entry
                for entry in self._waiting.values()
                if entry.urgency is not Urgency.GROWING or not (full or entry.session in self._running)
            ),
            key=_rank,
        )


def _grows(batch: Sequence[Entry[Session]]) -> bool:
    return bool(batch) and batch[0].urgency is Urgency.GROWING


def _rank(entry: Entry[Session]) -> tuple[bool, Urgency, int]:
    """A large request for scores is no talker's who waits for a turn to begin or end."""
    large = isinstance(entry.work, ScoreVoice) and len(entry.work.audio) > LIVE_SCORES
    return large, entry.urgency, entry.place


def next_batch(ready: Sequence[Entry[Session]], limits: Limits) -> list[Entry[Session]]:
    """Those of `ready` (the most urgent first) that run together."""
    if not ready:
        return []
    first = ready[0]
    if not isinstance(first.work, Transcribe):
        large = _rank(first)[0]  # scorers and judges pad nothing
        alike = [entry for entry in ready if _rank(entry)[0] == large]
        return alike[: min(LARGE_BATCH, limits.batch) if large else limits.batch]
    chosen = [first]
    shortest = longest = len(first.work.audio)
    for entry in ready[1:]:
        if len(chosen) == limits.batch or entry.urgency is not first.urgency:
            break
        length = len(entry.work.audio)
        low, high = min(shortest, length), max(longest, length)
        fitting = limits.any_length or high <= LENGTH_RATIO * low
        if fitting and (len(chosen) + 1) * high <= limits.batch_s * SAMPLE_RATE:
            chosen.append(entry)
            shortest, longest = low, high
    return chosen
