"""A worker's replica in the simulation: its queue, and the batches that it runs when one of its callers is free.

Rule: the order is that of src/hark/compute/batching.py, which a test compares with this: transcripts that somebody
waits for, then those of talkers who paused, then partial ones, each class by place; a batch is of one class and of like
length; one caller is kept from partial ones; a session's next partial waits for its last. Two things are shortened so
that a cell can be played: of a class only the first LOOK that are ready are looked at for company, and partial requests
are not asked but become due, so that none is made only to be replaced.

The clock is a heap of (time, number, what is done, of what). simpy was not taken: a process for each turn costs ten
times as much as an entry of the heap, and a busy hour has tens of millions.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final

from fleet_inputs import LEAD_S, TAIL_S, Batching
from fleet_talk import step
from hark.compute.batching import LENGTH_RATIO

ENDED, PAUSED, GROWING = 0, 1, 2
LOOK: Final = 24
Entry = tuple["Turn", float, int]  # the turn, seconds of it, its `asked` when it was asked


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._numbers = count()

    def at(self, when: float, act: Callable[[Any], None], what: Any = None) -> None:
        heappush(self._heap, (when, next(self._numbers), act, what))

    def begin(self, now: float) -> None:
        """What happens from now on counts from here: the hour of the day."""
        self.now = now
        waiting = [(now + when, *rest) for when, *rest in self._heap]
        self._heap[:] = waiting

    def run(self, until: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, act, what = heappop(heap)
            act(what)
        self.now = until


class Turn:
    """`runs` as in fleet_talk. `asked` goes up with all that makes older requests void; `answered`: whether the final
    text of what was said up to the last pause is there; `first`: no hypothesis of it yet, so no draft."""

    __slots__ = (
        "answered", "asked", "begun", "done", "ended", "first", "known", "next", "place", "replays", "running", "runs",
        "said", "session", "speaking", "urgency", "waits",
    )  # fmt: skip

    def __init__(self, session: Any, runs: list[tuple[float, float]], now: float) -> None:
        self.session = session
        self.runs = runs
        self.begun = now
        self.said = 0  # runs that have ended
        self.speaking = True
        self.known = 0.0
        self.first = True
        self.asked = 0
        self.place = 0
        self.next = -1  # its place among those that are due
        self.urgency = GROWING
        self.waits = False  # for a caller, with a request of `asked`
        self.running = 0
        self.answered = False
        self.ended: float | None = None
        self.done = False
        self.replays = 0

    def length(self, now: float) -> float:
        """Seconds of audio worth transcribing."""
        if self.speaking:
            return now - self.begun + LEAD_S
        return self.runs[self.said - 1][1] + LEAD_S + TAIL_S

    def due(self) -> float:
        """When the next partial hypothesis is wanted."""
        return max(self.begun + self.runs[self.said][0], self.begun + self.known + step(self.known) - LEAD_S)


class Replica:
    """`answer` is told of each turn whose final text is there."""

    def __init__(
        self,
        clock: Clock,
        batching: Batching,
        answer: Callable[[Turn], None],
        *,
        draft_share: float,
        number: int = 0,
    ) -> None:
        self.number = number
        self._clock = clock
        self.batching = batching
        self._answer = answer
        self._draft_share = draft_share
        self._cores: float = batching.callers
        self._most_growing = max(1, batching.callers - 1)
        self._places = count()
        self._waiting: tuple[list[tuple[int, int, Entry]], list[tuple[int, int, Entry]]] = ([], [])
        self._due: list[tuple[float, int, Turn]] = []
        self._free = batching.callers
        self._growing = 0
        self._wake = float("inf")
        self.life = 0  # goes up when it dies, so that what ran then never ends
        self.frozen = False
        self.busy_s = [0.0, 0.0, 0.0]  # by urgency
        self.batches = [0, 0, 0]
        self.requests = [0, 0, 0]

    def share_cores(self, left: float) -> None:
        """Others use some of them: so many are left, and batches beside each other take longer."""
        self._cores = left

    # ---- what turns ask ------------------------------------------------------------------------------------------

    def ask(self, turn: Turn, urgency: int) -> None:
        """The text of all that was said, up to the pause or the end."""
        turn.asked += 1
        turn.place = next(self._places)
        turn.urgency, turn.waits = urgency, True
        heappush(self._waiting[urgency], (turn.place, turn.asked, (turn, turn.length(self._clock.now), turn.asked)))
        self.dispatch()

    def urge(self, turn: Turn) -> None:
        """What was asked in the pause is wanted now; it keeps its place."""
        if turn.waits and turn.urgency == PAUSED:
            turn.urgency = ENDED
            entry = (turn, turn.length(self._clock.now), turn.asked)
            heappush(self._waiting[ENDED], (turn.place, turn.asked, entry))
            self.dispatch()

    def grow(self, turn: Turn) -> None:
        """It goes on: the next partial is due in its time."""
        self._fall_due(turn)
        self.dispatch()

    def _fall_due(self, turn: Turn) -> None:
        turn.next = next(self._places)
        heappush(self._due, (turn.due(), turn.next, turn))

    def forget(self) -> None:
        """All that waits and runs."""
        self.life += 1
        for heap in (*self._waiting, self._due):
            heap.clear()
        self._free, self._growing, self._wake = self.batching.callers, 0, float("inf")

    # ---- batches -------------------------------------------------------------------------------------------------

    def dispatch(self) -> None:
        while self._free and not self.frozen:
            batch, urgency = self._take()
            if not batch:
                return
            self._start(batch, urgency)

    def _take(self) -> tuple[list[Entry], int]:
        for urgency in (ENDED, PAUSED):
            heap = self._waiting[urgency]
            while heap and not _valid(heap[0][2], urgency):
                heappop(heap)
            if heap:
                return self._company(heap, lambda item, urgency=urgency: _valid(item[2], urgency)), urgency
        if self._growing < self._most_growing:
            return self._take_growing(), GROWING
        return [], GROWING

    def _company(self, heap: list[Any], valid: Callable[[Any], bool]) -> list[Entry]:
        chosen: list[Entry] = []
        rest: list[Any] = []
        low = high = 0.0
        size, audio_s = self.batching.size, self.batching.audio_s
        for _ in range(LOOK):
            if not heap or len(chosen) == size:
                break
            item = heappop(heap)
            if not valid(item):
                continue
            length = item[2][1]
            least, most = (min(low, length), max(high, length)) if chosen else (length, length)
            if not chosen or (most <= LENGTH_RATIO * least and (len(chosen) + 1) * most <= audio_s):
                chosen.append(item[2])
                low, high = least, most
            else:
                rest.append(item)
        for item in rest:
            heappush(heap, item)
        return chosen

    def _take_growing(self) -> list[Entry]:
        now, due = self._clock.now, self._due
        ready: list[tuple[float, int, Entry]] = []
        while due and due[0][0] <= now and len(ready) < LOOK:
            when, place, turn = heappop(due)
            if turn.next == place and turn.speaking and not turn.done and not turn.running:
                ready.append((when, place, (turn, turn.length(now), turn.asked)))
        if not ready:
            if due and due[0][0] < self._wake:
                self._wake = due[0][0]
                self._clock.at(self._wake, self._woken, self.life)
            return []
        chosen = self._company(ready, lambda item: True)
        for when, place, (turn, _, _) in ready:
            heappush(due, (when, place, turn))
        return chosen

    def _woken(self, life: int) -> None:
        if life == self.life:
            self._wake = float("inf")
            self.dispatch()

    def _start(self, batch: list[Entry], urgency: int) -> None:
        drafted = sum(not turn.first for turn, _, _ in batch) / len(batch)
        seconds = self.batching.takes(len(batch), max(length for _, length, _ in batch))
        self._free -= 1
        busy = self.batching.callers - self._free
        seconds *= (1 - drafted * (1 - self._draft_share)) * max(1.0, busy / self._cores)
        for turn, length, _ in batch:
            turn.running += 1
            turn.waits = False
            if urgency == GROWING:
                turn.known = length
        self._growing += urgency == GROWING
        self.busy_s[urgency] += seconds
        self.batches[urgency] += 1
        self.requests[urgency] += len(batch)
        self._clock.at(self._clock.now + seconds, self._ran, (batch, urgency, self.life))

    def _ran(self, what: tuple[list[Entry], int, int]) -> None:
        batch, urgency, life = what
        if life != self.life or self.frozen:
            return
        self._free += 1
        self._growing -= urgency == GROWING
        for turn, length, asked in batch:
            turn.running -= 1
            if turn.session.replica is not self:
                continue  # it went elsewhere, and asked there again
            turn.first = False
            if urgency != GROWING and turn.asked == asked:
                turn.answered = True
                self._answer(turn)
            if turn.speaking and not turn.done:
                turn.known = max(turn.known, length)
                self._fall_due(turn)
        self.dispatch()


def _valid(entry: Entry, urgency: int) -> bool:
    turn, _, asked = entry
    return turn.waits and turn.asked == asked and turn.urgency == urgency
