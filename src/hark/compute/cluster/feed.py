"""What one session asks of one engine, wherever that runs: the requests that are unanswered, and their stream.

Rule: a request is answered once, by whichever worker is first. It is kept until then, audio and all, and told to
another worker when the stream that carries it breaks or falls silent. A stream is left for another one now and then,
between turns, when nothing is unanswered: so sessions that last for hours find their way to new workers, and old ones
can go.

Time, in seconds of a clock that only goes forward, comes in from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct, structs

from hark.compute.cluster import wire
from hark.core.work import Result, Transcribe, Transcribed, Urge, WorkFailed
from hark.errors import ModelError, OperatorError

# A worker says every ALIVE_EVERY_S that it lives, while it owes something.
STALL_S: Final = 1.5
# A worker greets at once: of a stream on which nobody has, less is lost by trying another. HAProxy goes on placing
# streams on a frozen worker until its checks fail, 2.5 s after the fact with one check a second.
GREETING_S: Final = 0.4
GREETINGS: Final = 3  # so often, before patience grows here too
# Each time that the same request is taken elsewhere for silence, more patience is had: where everything is slow, asking
# twice makes it slower.
MOST_STALL_S: Final = 12.0
# Between attempts of which none was greeted.
FIRST_WAIT_S: Final = 0.05
MOST_WAIT_S: Final = 2.0
# When a session stops waiting for workers, to ask once more or to tell its client: a session's own patience, 60 s, is
# over later.
GIVEN_UP_S: Final = 30.0
# A request that has been on so many workers when they died is taken for what killed them.
MOST_DEATHS: Final = 3


class Stream(Protocol):
    """An attempt, as a feed sees it."""

    began: float
    heard_at: float
    worker: str

    def ask(self, work: Transcribe) -> None: ...

    def urge(self, urge: Urge) -> None: ...

    def close(self) -> None: ...


class Asked(Struct):
    """A request without an answer. `replaced`: a later one stands for it. `deaths`: workers that ended meanwhile."""

    work: Transcribe
    since: float
    replaced: bool = False
    deaths: int = 0


class LostRequestError(ModelError):
    """Several workers in a row ended with this request."""

    deadly = True


class Feed:
    """`open_stream` gives a stream that is open from now on; `let_go` is given one that fell silent, and ends it later.
    A stream of `rotate_s` seconds is left as soon as a turn is over, one twice as old as soon as nothing is unanswered.
    `note` is told of what happens, by name, and `waited` in how many seconds a request was answered. `chance`: a number
    from 0 to 1, so that sessions which lost their workers together do not all come back together."""

    def __init__(
        self,
        engine: str,
        deliver: Callable[[Result], None],
        *,
        open_stream: Callable[[Feed], Stream],
        let_go: Callable[[Stream], None],
        rotate_s: float,
        note: Callable[[str], None] = lambda what: None,
        waited: Callable[[float], None] = lambda seconds: None,
        chance: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self.engine = engine
        self._deliver = deliver
        self._open = open_stream
        self._let_go = let_go
        self._note = note
        self._waited = waited
        self._chance = chance
        self._rotate_s = rotate_s
        self._asked: dict[int, Asked] = {}
        self._stream: Stream | None = None
        self._again_at: float | None = None  # when the next attempt is due
        self._failures = 0  # attempts in a row that came to nothing
        self._stalls = 0

    @property
    def unanswered(self) -> int:
        return sum(not asked.replaced for asked in self._asked.values())

    @property
    def at_rest(self) -> bool:
        """Whether nothing is asked and no stream is open: nothing would be missed."""
        return not self._asked and self._stream is None

    def submit(self, work: Transcribe, now: float) -> None:
        idle = not self.unanswered
        if (before := self._asked.get(-1 if work.replaces is None else work.replaces)) is not None:
            before.replaced = True
        self._asked[work.id] = Asked(work, now)
        if self._stream is None:
            if self._again_at is None:
                self._begin(now)
        else:
            if idle:  # nothing was owed, so nobody had to say anything
                self._stream.heard_at = now
            self._stream.ask(work)

    def urge(self, urge: Urge) -> None:
        if (asked := self._asked.get(urge.id)) is not None:
            asked.work = _urged(asked.work, urge)
            if self._stream is not None:
                self._stream.urge(urge)

    def withdraw(self) -> None:
        """The session is gone."""
        self._asked.clear()
        self._again_at = None
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close()

    def heard(self, answer: wire.Heard | wire.Failed, stream: Stream, now: float) -> None:
        """A worker's answer: that of an attempt which was given up counts as any, for it is the same."""
        if stream is self._stream:
            self._failures = self._stalls = 0
        asked = self._asked.pop(answer.id, None)
        if asked is None:
            return
        replaced = asked.work.replaces
        while replaced is not None and (older := self._asked.pop(replaced, None)) is not None:
            replaced = older.work.replaces
        self._waited(now - asked.since)
        self._deliver(_result(answer))
        self._rotate(now, turn_over=asked.work.final)

    def lost(self, stream: Stream, now: float) -> None:
        """The stream has broken."""
        if stream is not self._stream:
            return
        self._stream = None
        greeted = bool(stream.worker)
        if not self._asked:
            return
        self._note("lost" if greeted else "refused")
        self._failures += 1
        self._again_at = now + (0.0 if greeted and self._failures == 1 else self._wait_s())
        for asked in list(self._asked.values()):
            asked.deaths += greeted
            if asked.deaths >= MOST_DEATHS:
                message = f"Several workers of the model '{self.engine}' ended with this audio."
                self._fail(asked, LostRequestError(message))
        self._begin_if_due(now)

    def tick(self, now: float, *, blameless: bool = False) -> None:
        """Time has passed. `blameless`: what is late may have been kept waiting by us."""
        if blameless and self._stream is not None:
            self._stream.heard_at = now
        self._give_up([asked for asked in self._asked.values() if now - asked.since >= GIVEN_UP_S], now)
        self._begin_if_due(now)
        if self._stream is not None and self.unanswered and now - self._stream.heard_at >= self._patience_s():
            self._stall(now)
        self._rotate(now, turn_over=False)

    def _begin_if_due(self, now: float) -> None:
        if self._again_at is not None and now >= self._again_at:
            self._again_at = None
            if self.unanswered:
                self._begin(now)

    def _begin(self, now: float) -> None:
        """Tell a new stream all that is unanswered."""
        self._stream = self._open(self)
        self._stream.heard_at = now
        for asked in self._asked.values():
            if not asked.replaced:
                self._stream.ask(asked.work)

    def _stall(self, now: float) -> None:
        assert self._stream is not None
        self._note("stalled")
        self._stalls += 1
        self._leave(self._stream, now)

    def _leave(self, stream: Stream, now: float) -> None:
        """A worker that does not answer; what else is unanswered is told to another."""
        self._stream = None
        self._let_go(stream)
        if self.unanswered:
            self._begin(now)

    def _patience_s(self) -> float:
        assert self._stream is not None
        if self._stream.worker:
            return min(MOST_STALL_S, STALL_S * 2.0 ** max(0, self._stalls - 1))
        return min(MOST_STALL_S, GREETING_S * 2.0 ** max(0, self._stalls - GREETINGS))

    def _wait_s(self) -> float:
        longest = min(MOST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self._failures - 1, 10))
        return longest * (1 + self._chance()) / 2

    def _give_up(self, late: list[Asked], now: float) -> None:
        """On what nobody answered. A worker that had it for long, and lives, is left too: its model may hang, and
        whoever asks once more must not ask that one."""
        told = {asked.work.id for asked in late if not asked.replaced}
        for asked in late:
            asked.replaced = True  # by nothing: it is asked no more
        if told and self._stream is not None and now - self._stream.began >= MOST_STALL_S:
            self._leave(self._stream, now)
        for asked in late:
            if self._asked.pop(asked.work.id, None) is not None and asked.work.id in told:
                self._note("given_up")
                message = f"No worker of the model '{self.engine}' answered in {GIVEN_UP_S:.0f} s."
                self._deliver(WorkFailed(asked.work.id, ModelError(message)))

    def _fail(self, asked: Asked, error: ModelError) -> None:
        if self._asked.pop(asked.work.id, None) is not None and not asked.replaced:
            self._deliver(WorkFailed(asked.work.id, error))

    def _rotate(self, now: float, *, turn_over: bool) -> None:
        """Leave a stream that is old, if nothing is unanswered."""
        if self._stream is None or self.unanswered:
            return
        age = now - self._stream.began
        if age >= self._rotate_s * (1 if turn_over else 2):
            self._note("rotated")
            self._asked.clear()  # what was replaced will not be answered any more
            stream, self._stream = self._stream, None
            stream.close()


def _urged(work: Transcribe, urge: Urge) -> Transcribe:
    return structs.replace(work, urgency=urge.urgency)


def _result(answer: wire.Heard | wire.Failed) -> Result:
    if isinstance(answer, wire.Heard):
        return Transcribed(answer.id, answer.hypothesis, answer.ran)
    if answer.operator:
        return WorkFailed(answer.id, OperatorError(answer.message))
    error = LostRequestError(answer.message) if answer.deadly else ModelError(answer.message)
    error.lasting = answer.lasting
    return WorkFailed(answer.id, error)
