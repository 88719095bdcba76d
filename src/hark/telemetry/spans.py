"""The spans of a session: session -> turn -> speech, wait, and each run of the model that belongs to it.

Theory. Transcripts are asked for and told in the order of the turns, one turn at a time, so whatever a model has done
since the last turn ended belongs to the one that ends now. So the runs are noted as their results pass, and their spans
are made when the turn ends; a run that several sessions shared is in each of their traces, with the size of its batch.

Rule: times are those at which the client was told. Of a turn the last MOST_RUNS are kept.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from hark.core import messages as m
from hark.core.work import SAMPLE_RATE, Compute, Result, Transcribe, Transcribed, Urge, Work, WorkFailed
from hark.telemetry.traces import Tracing, code_of, fail

if TYPE_CHECKING:
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

MOST_RUNS: Final = 64
MOST_ASKED: Final = 64  # requests of a session that are under way: it has two at most
Deliver = Callable[[Result], None]


class _Run(Struct, frozen=True):
    """Something that took a while, such as a request for a transcript until its answer. In Unix nanoseconds."""

    began: int
    ended: int
    attributes: dict[str, str | int | float | bool] | None = None
    error: str | None = None


class _Turn(Struct):
    began: int
    stopped: int | None = None


class SessionSpans:
    """Witness and overseer of one session (edge/witness.py)."""

    def __init__(
        self, tracing: Tracing, session_id: str, transport: str, model: str | None, call_id: str | None
    ) -> None:
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - where it is in use, it is there

        self._tracing = tracing
        self._within = set_span_in_context
        attributes: dict[str, str | int | float | bool] = {"session.id": session_id, "hark.transport": transport}
        if model is not None:
            attributes["gen_ai.request.model"] = model
        if call_id is not None:
            attributes["hark.call.id"] = call_id
        self._span: Span = tracing.tracer.start_span("session", tracing.parent(), attributes=attributes)
        self._id = session_id
        self._turns: dict[str, tuple[Span, _Turn]] = {}
        self._runs: deque[_Run] = deque(maxlen=MOST_RUNS)
        self._over = False

    # ---- as a witness --------------------------------------------------------------------------------------------

    async def saw(self, event: m.Event) -> None:
        match event:
            case m.SpeechStarted(item_id, start_ms):
                self._turn(item_id)[0].set_attribute("hark.audio.start_ms", start_ms)
            case m.SpeechStopped(item_id, end_ms):
                span, turn = self._turn(item_id)
                span.set_attribute("hark.audio.end_ms", end_ms)
                turn.stopped = time.time_ns()
            case m.SilenceTimedOut(item_id) | m.AudioCommitted(item_id):
                turn = self._turn(item_id)[1]
                turn.stopped = turn.stopped or time.time_ns()
            case m.TranscriptCompleted(item_id):
                self._end(item_id, None, (event.audio_end_ms - event.audio_start_ms) / 1000)
            case m.TranscriptFailed(item_id, error):
                self._end(item_id, code_of(error))
            case m.ItemDeleted(item_id):
                if item_id in self._turns:
                    self._end(item_id, None)
            case m.Refused(error):
                self._span.add_event("refused", {"error.type": code_of(error)})
            case m.SessionEnded(code, _, error):
                self._span.set_attribute("hark.close.code", code)
                if error is not None:
                    fail(self._span, code_of(error))
            case _:
                pass

    def gone(self) -> None:
        self._over = True
        for item_id in list(self._turns):
            self._end(item_id, "abandoned")
        self._span.end()

    # ---- as an overseer ------------------------------------------------------------------------------------------

    def around(self, compute: Compute) -> Compute:
        return _Overseen(compute, self._ran)

    def _ran(self, run: _Run) -> None:
        if not self._over:
            self._runs.append(run)

    # ---- details -------------------------------------------------------------------------------------------------

    def _turn(self, item_id: str) -> tuple[Span, _Turn]:
        if item_id not in self._turns:
            attributes: dict[str, AttributeValue] = {"session.id": self._id, "hark.item.id": item_id}
            now = time.time_ns()
            span = self._tracing.tracer.start_span(
                "turn", self._within(self._span), attributes=attributes, start_time=now
            )
            self._turns[item_id] = span, _Turn(now)
        return self._turns[item_id]

    def _end(self, item_id: str, error: str | None, audio_s: float | None = None) -> None:
        span, turn = self._turn(item_id)
        del self._turns[item_id]
        now = time.time_ns()
        stopped = turn.stopped or now
        self._stage(span, "speech", _Run(turn.began, stopped))
        self._stage(span, "wait", _Run(stopped, now))
        while self._runs:
            self._stage(span, "transcribe", self._runs.popleft())
        if audio_s is not None:
            span.set_attribute("hark.audio.seconds", audio_s)
        if error is not None:
            fail(span, error)
        span.end(now)

    def _stage(self, parent: Span, name: str, run: _Run) -> None:
        """Of something that is over."""
        within, attributes = self._within(parent), dict(run.attributes or {})
        span = self._tracing.tracer.start_span(name, within, attributes=attributes, start_time=run.began)
        if run.error is not None:
            fail(span, run.error)
        span.end(run.ended)


class _Overseen:
    """A session's way to the models. It has one deliverer, as the session has, by which its work is withdrawn."""

    def __init__(self, compute: Compute, ran: Callable[[_Run], None]) -> None:
        self._compute = compute
        self._ran = ran
        self._asked: dict[int, tuple[int, Transcribe]] = {}
        self._to: Deliver | None = None
        self._deliver = self._delivered

    def submit(self, work: Work, deliver: Deliver) -> None:
        self._to = deliver
        if isinstance(work, Transcribe):
            if work.replaces is not None:
                self._asked.pop(work.replaces, None)
            while len(self._asked) >= MOST_ASKED:
                del self._asked[next(iter(self._asked))]
            self._asked[work.id] = time.time_ns(), work
        self._compute.submit(work, self._deliver)

    def urge(self, urge: Urge, deliver: Deliver) -> None:
        self._compute.urge(urge, self._deliver)

    def withdraw(self, deliver: Deliver) -> None:
        self._compute.withdraw(self._deliver)
        self._to = None
        self._asked.clear()

    def _delivered(self, result: Result) -> None:
        asked = self._asked.pop(result.id, None)
        if asked is not None and isinstance(result, Transcribed | WorkFailed):
            self._note(*asked, result)
        if self._to is not None:
            self._to(result)

    def _note(self, began: int, work: Transcribe, result: Transcribed | WorkFailed) -> None:
        attributes: dict[str, str | int | float | bool] = {
            "gen_ai.request.model": work.engine,
            "hark.audio.seconds": len(work.audio) / SAMPLE_RATE,
            "hark.urgency": work.urgency.name.lower(),
        }
        if isinstance(result, Transcribed) and (ran := result.ran) is not None:
            attributes |= {
                "hark.batch.size": ran.batch,
                "hark.queue.seconds": ran.waited_s,
                "hark.batch.seconds": ran.ran_s,
            }
        error = code_of(result.error) if isinstance(result, WorkFailed) else None
        self._ran(_Run(began, time.time_ns(), attributes, error))
