"""Whether one more session fits, by what the server measures of itself.

Theory. A session that is let in where there is no room makes all others late, one that is turned away goes elsewhere or
comes back. Partial hypotheses give way by themselves, and so do early finals; what tells that room is short is that
transcripts are begun when somebody waits for them already (compute/load.py), that they or voice scores wait long for
their model, or that the event loop is late. These figures are of the last seconds. A session shows in them only when it
has spoken, so new ones are counted at what the older ones cost; and what sessions cost that have left since is free.

Rule: sessions that are open are never touched, and the first one is always let in. With a number given, that alone
counts. Of several gateways each measures itself: its own models' callers, and its own loop. Others that take cores from
it show in both, as they make them late. Where its models are elsewhere and others use them too, they say how many
sessions they have in all: what those of others cost is not free when its own leave, nor is it what its own ones cost.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Final

from hark.core.work import Strain
from hark.errors import OverloadedError

# The most of the models' time that may go to transcripts which somebody waits for when they are begun, and to all that
# end something. The latter may come to more than there is: what is not needed of it gives way.
MOST_LATE: Final = 0.4
MOST_FINAL: Final = 1.1
# The longest wait for a transcript to be begun, where much of the time goes there; and that for voice scores. Both
# count while most of those are here who waited.
BUSY: Final = 0.5
MOST_WAIT_S: Final = 0.5
MOST_SCORES_WAIT_S: Final = 0.25
# How late the event loop may be, as a rule.
MOST_LAG_S: Final = 0.1
# When a session shows in what is measured, which looks back so far; so it is the time to try again after, too.
YOUNG_S: Final = 10.0
# How often the loop and the number of sessions are looked at, and how many looks are remembered of each.
LOOK_S: Final = 0.25
LAGS: Final = 20
LOOKS: Final = round(YOUNG_S / LOOK_S)
# What a session is taken to cost one caller of a model while too few tell, and how many are enough.
GUESS: Final = 0.02
ENOUGH: Final = 4
# The limits by name, and what is said where one is reached.
SESSIONS: Final = "sessions"
_FULL: Final = "its models have as much to transcribe as they can"
_BEHIND: Final = "its models are behind"
WHY: Final = {
    "late": _FULL,
    "final": _FULL,
    "wait": _BEHIND,
    "voice": _BEHIND,
    "loop": "it is busy with those that there are",
}


class Admission:
    """`strain` is asked at each request. `most`: this many sessions, whatever is measured. `clock` gives seconds;
    `lagged` is told how late the event loop was."""

    def __init__(
        self,
        strain: Callable[[], Strain],
        *,
        most: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        lagged: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._tell_lag = lagged
        self._strain = strain
        self._most = most
        self._clock = clock
        self._open = 0
        self._young: deque[float] = deque()
        self._lags: deque[float] = deque(maxlen=LAGS)
        self._counts: deque[int] = deque([0] * LOOKS, maxlen=LOOKS)
        self._each: float | None = None  # the share of the models' time that a session takes, once that is known

    def enter(self, *, live: bool) -> None:
        """One more, to be followed by `leave`. Raises OverloadedError. Recordings wait behind all that is live, so they
        take no room; they are turned away where there is none."""
        if limit := self._short():
            raise no_room(f"--max-sessions allows {self._most}" if limit == SESSIONS else WHY[limit], limit)
        self._open += 1
        if live:
            self._young.append(self._clock())

    def allow(self, most: int | None) -> None:
        """From now on. More may be open than that; none of them is touched."""
        self._most = most

    def leave(self) -> None:
        self._open -= 1

    async def watch(self) -> None:
        """Look at it all now and then, until cancelled."""
        while True:
            due = self._clock() + LOOK_S
            await asyncio.sleep(LOOK_S)
            self.look(self._clock() - due)

    def look(self, late_s: float) -> None:
        """The event loop did something so long after it was due."""
        self._lags.append(max(0.0, late_s))
        self._tell_lag(late_s)
        self._counts.append(self._open)
        grown, strain = self._open - self._count_young(), self._strain()
        if max(grown, strain.sessions) >= ENOUGH:
            self._each = strain.final / max(grown, self._mean(), strain.sessions)

    def fullness(self) -> dict[str, float]:
        """By limit: what there would be with one more session, over the most at which one is let in. Where one is over
        1, nobody is, but to an empty server."""
        if self._most is not None:
            return {SESSIONS: (self._open + 1) / self._most}
        strain, young = self._strain(), self._count_young()
        still_here = min(1.0, self._open / max(self._mean(), 1.0))
        ours = min(1.0, self._mean() / strain.sessions) if strain.sessions else 1.0
        stays = 1.0 - ours * (1.0 - still_here)
        final = strain.final * (1.0 - ours * (1.0 - min(1.0, (self._open - young) / max(self._mean(), 1.0))))
        each = GUESS / strain.callers if self._each is None else self._each
        # How long it took belongs to those who have left, where most have.
        here = still_here >= BUSY
        late = here and len(self._lags) == LAGS
        return {
            "late": strain.late * stays / MOST_LATE,
            "final": (final + each * (young + 1)) / MOST_FINAL,
            "wait": strain.wait_s / MOST_WAIT_S if stays >= BUSY and strain.final > BUSY else 0.0,
            "voice": strain.scores_wait_s / MOST_SCORES_WAIT_S if here else 0.0,
            "loop": median(self._lags) / MOST_LAG_S if late else 0.0,
        }

    def _short(self) -> str | None:
        """The limit that is reached."""
        if self._most is None and not self._open:
            return None
        return next((limit for limit, share in self.fullness().items() if share > 1), None)

    def _mean(self) -> float:
        """How many sessions there were in the time that is looked back upon."""
        return sum(self._counts) / LOOKS

    def _count_young(self) -> int:
        """The sessions that do not show yet, those among them that have left included."""
        oldest = self._clock() - YOUNG_S
        while self._young and self._young[0] <= oldest:
            self._young.popleft()
        return min(len(self._young), self._open)


def no_room(why: str, limit: str = SESSIONS) -> OverloadedError:
    message = f"The server has no room for another session: {why}. Try again in {YOUNG_S:.0f} s."
    return OverloadedError(message, retry_after_s=int(YOUNG_S), limit=limit)
