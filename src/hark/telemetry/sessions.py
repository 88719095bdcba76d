"""Metrics of sessions: how many, what they hear, how their items end, and how long people wait.

A Watch reads one session's events before its client does. Rule: each item that is announced or committed is counted as
started once, and ends once: completed, failed, deleted by its client, or abandoned with its session. Latency is that of
live sessions: a recording arrives at once, so nobody waits for a part of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, Final

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hark.core import messages as m
from hark.core.work import SAMPLE_RATE, to_samples
from hark.errors import HarkError
from hark.telemetry import families as f

TRANSPORTS: Final = ("websocket", "webrtc", "upload")
# How a session ends, by the code of its last event; without one its client has left, or it failed.
ENDS: Final = {1000: "finished", 1001: "stopped", 1012: "stopped", 1013: "limit"}
REASONS: Final = {"session_expired": "expired", "session_idle": "idle"}
LEFT: Final = "left"
MOST_CODES: Final = 200


class Sessions:
    """`models`: the names on offer; any other is counted as "other", and none as "default"."""

    def __init__(self, registry: CollectorRegistry, models: Collection[str] = ()) -> None:
        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(name, words, labels, registry=registry)

        def histogram(name: str, words: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, words, ("transport",), buckets=buckets, registry=registry)

        t = "transport"
        self.model_of = f.Few(models)
        self.code_of = f.Few(most=MOST_CODES)
        self.open = Gauge("hark_sessions", "Sessions that are open", (t,), registry=registry)
        self.opened = counter("hark_sessions_opened", "Sessions that were opened", t, "model")
        self.resumed = counter("hark_sessions_resumed", "Times that a client came back to its session", t)
        self.ended = counter("hark_sessions_ended", "Sessions that are over, by how they ended", t, "end")
        self.life = histogram("hark_session_seconds", "How long sessions lasted", f.LIFE)
        self._refused = counter(
            "hark_sessions_refused", "Sessions that were not let in, by what there was too little of", "reason"
        )
        self.errors = counter("hark_errors", "Errors that clients were told of", "where", "code")
        self.audio = counter("hark_audio_seconds", "Audio that sessions took in", t)
        self.speech = counter("hark_speech_seconds", "Audio of items that were transcribed", t)
        self.items = Gauge("hark_items", "Items that are started and have not ended", (t,), registry=registry)
        self.started = counter("hark_items_started", "Items that were announced or committed", t)
        self.completed = counter("hark_items_completed", "Items that ended with a transcript", t)
        self.failed = counter("hark_items_failed", "Items that ended without one", t, "code")
        self.deleted = counter("hark_items_deleted", "Items that their client deleted before they ended", t)
        self.abandoned = counter("hark_items_abandoned", "Items that were open when their session was over", t)
        self.deltas = counter("hark_deltas", "Pieces of transcripts that were told while items were open", t)
        self.end_found = histogram(
            "hark_speech_stopped_lag_seconds",
            "Audio that had come after the end of a turn when that was told",
            f.LATENCY,
        )
        self.waited = histogram(
            "hark_transcript_wait_seconds", "From the end of a turn, or its commit, to its transcript", f.LATENCY
        )
        self.first_delta = histogram(
            "hark_first_delta_seconds", "From the start of speech to its first words", f.LATENCY
        )
        self.upload_factor = Histogram(
            "hark_upload_realtime_factor",
            "Seconds that an upload took for a second of its audio",
            buckets=f.FACTOR,
            registry=registry,
        )
        self.lost = counter("hark_rtc_packets_lost", "Packets of calls that never came")
        self.late = counter("hark_rtc_packets_late", "Packets of calls that came too late to be heard")
        self._watches: set[Watch] = set()
        self._by_transport = {transport: _Of(self, transport) for transport in TRANSPORTS}

    def begin(self, transport: str, model: str | None, position: Callable[[], int]) -> Watch:
        """A session opens. `position`: how many samples at 16 kHz it has taken in."""
        self.opened.labels(transport, "default" if model is None else self.model_of(model)).inc()
        watch = Watch(self, transport, position)
        self._watches.add(watch)
        return watch

    def of(self, transport: str) -> _Of:
        return self._by_transport[transport]

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def error(self, where: str, code: str) -> None:
        self.errors.labels(where, self.code_of(code)).inc()

    def packets(self, lost: int, late: int) -> None:
        """Of a stream that is over."""
        self.lost.inc(lost)
        self.late.inc(late)

    def refresh(self) -> None:
        """Count the items that are open, and the audio that sessions have taken in since the last time."""
        items = dict.fromkeys(TRANSPORTS, 0)
        for watch in self._watches:
            watch.count_audio()
            items[watch.transport] += watch.items
        for transport, count in items.items():
            self.of(transport).items.set(count)

    def over(self, watch: Watch) -> None:
        self._watches.discard(watch)


class _Of:
    """The metrics of one transport, looked up: what has not happened yet is 0, and not absent."""

    def __init__(self, metrics: Sessions, transport: str) -> None:
        self.open = metrics.open.labels(transport)
        self.resumed = metrics.resumed.labels(transport)
        self.life = metrics.life.labels(transport)
        self.audio = metrics.audio.labels(transport)
        self.speech = metrics.speech.labels(transport)
        self.items = metrics.items.labels(transport)
        self.started = metrics.started.labels(transport)
        self.completed = metrics.completed.labels(transport)
        self.deleted = metrics.deleted.labels(transport)
        self.abandoned = metrics.abandoned.labels(transport)
        self.deltas = metrics.deltas.labels(transport)
        self.end_found = metrics.end_found.labels(transport)
        self.waited = metrics.waited.labels(transport)
        self.first_delta = metrics.first_delta.labels(transport)


class _Turn(Struct):
    """When an item's speech began, when it was told that it stopped, in seconds; `told`: its first words were."""

    began: float | None = None
    stopped: float | None = None
    told: bool = False


class Watch:
    """Reads one session; times are those at which its client is told."""

    def __init__(self, metrics: Sessions, transport: str, position: Callable[[], int]) -> None:
        self._all = metrics
        self.transport = transport
        self._live = transport != "upload"
        self._position: Callable[[], int] | None = position
        self._counted = 0
        self._began = time.monotonic()
        self._turns: dict[str, _Turn] = {}
        self._end = LEFT
        self._to = metrics.of(transport)
        self._to.open.inc()

    async def saw(self, event: m.Event) -> None:
        if (hear := _HEARD.get(type(event))) is not None:
            hear(self, event)

    def on_delta(self, event: m.TranscriptDelta) -> None:
        self._to.deltas.inc()
        turn = self._turns.get(event.item_id)
        if turn is None or turn.told:
            return
        turn.told = True
        if self._live and turn.began is not None:
            self._to.first_delta.observe(time.monotonic() - turn.began)

    def on_started(self, event: m.SpeechStarted) -> None:
        self._turn(event.item_id).began = time.monotonic()

    def on_stopped(self, event: m.SpeechStopped) -> None:
        self._turn(event.item_id).stopped = time.monotonic()
        if self._live and self._position is not None:
            behind = self._position() - to_samples(event.audio_end_ms)
            self._to.end_found.observe(max(0, behind) / SAMPLE_RATE)

    def on_timed_out(self, event: m.SilenceTimedOut) -> None:
        self._turn(event.item_id)

    def on_committed(self, event: m.AudioCommitted) -> None:
        turn = self._turn(event.item_id)
        turn.stopped = turn.stopped or time.monotonic()

    def on_completed(self, event: m.TranscriptCompleted) -> None:
        turn = self._close(event.item_id)
        if turn is None:
            return
        self._to.completed.inc()
        self._to.speech.inc(max(0, event.audio_end_ms - event.audio_start_ms) / 1000)
        if self._live and turn.stopped is not None:
            self._to.waited.observe(time.monotonic() - turn.stopped)

    def on_failed(self, event: m.TranscriptFailed) -> None:
        code = _code(event.error)
        if self._close(event.item_id) is not None:
            self._all.failed.labels(self.transport, self._all.code_of(code)).inc()
        self._all.error("item", code)

    def on_deleted(self, event: m.ItemDeleted) -> None:
        if self._close(event.item_id) is not None:
            self._to.deleted.inc()

    def on_refused(self, event: m.Refused) -> None:
        self._all.error("session", _code(event.error))

    def on_resumed(self, event: m.SessionResumed) -> None:
        self._to.resumed.inc()

    def on_ended(self, event: m.SessionEnded) -> None:
        self._end = REASONS.get(event.reason) or ENDS.get(event.code, f.OTHER)

    def gone(self) -> None:
        self.count_audio()
        transport, lasted = self.transport, time.monotonic() - self._began
        self._all.over(self)
        self._to.open.dec()
        self._all.ended.labels(transport, self._end).inc()
        self._to.life.observe(lasted)
        self._to.abandoned.inc(len(self._turns))
        self._turns.clear()
        if not self._live and self._counted:
            self._all.upload_factor.observe(lasted * SAMPLE_RATE / self._counted)
        self._position = None  # and with it the session

    @property
    def items(self) -> int:
        """How many are open."""
        return len(self._turns)

    def count_audio(self) -> None:
        if self._position is not None:
            position = self._position()
            self._to.audio.inc(max(0, position - self._counted) / SAMPLE_RATE)
            self._counted = position

    def _turn(self, item_id: str) -> _Turn:
        if item_id not in self._turns:
            self._turns[item_id] = _Turn()
            self._to.started.inc()
        return self._turns[item_id]

    def _close(self, item_id: str) -> _Turn | None:
        return self._turns.pop(item_id, None)


# By type: most events are none of these, and then this is all that they cost.
_HEARD: Final[dict[type, Callable[[Watch, Any], None]]] = {
    m.TranscriptDelta: Watch.on_delta,
    m.SpeechStarted: Watch.on_started,
    m.SpeechStopped: Watch.on_stopped,
    m.SilenceTimedOut: Watch.on_timed_out,
    m.AudioCommitted: Watch.on_committed,
    m.TranscriptCompleted: Watch.on_completed,
    m.TranscriptFailed: Watch.on_failed,
    m.ItemDeleted: Watch.on_deleted,
    m.Refused: Watch.on_refused,
    m.SessionResumed: Watch.on_resumed,
    m.SessionEnded: Watch.on_ended,
}


def _code(error: HarkError) -> str:
    return error.code or error.type
