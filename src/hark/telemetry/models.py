"""Metrics of models: what waits for them, what runs together for how long, and what becomes of their processes.

Rule: one note a batch, after its results are on their way. The wait is that of the request which waited longest, under
the urgency of the batch: "ended" for a transcript that somebody waits for, "paused" for one that may be the last of a
turn, "growing" for what is shown meanwhile, "now" for voice scores, judgements and voices.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hark.telemetry import families as f
from hark.telemetry.processes import Usage, usage

# Batches that are kept before they are written down, of one model.
KEPT: Final = 64
# The urgency of whatever is no transcript.
NOW: Final = "now"


class State(Struct, frozen=True):
    """A model at this moment. `memory`: bytes, as far as they are known; `pids`: of its processes."""

    name: str
    loaded: bool
    waiting: int
    callers: int
    memory: int = 0
    pids: tuple[int, ...] = ()


class Batch(Struct, frozen=True, gc=False):
    """What ran together: how many requests, how many of them failed, how long the one waited that waited longest, how
    long it took, how much audio there was."""

    urgency: str
    requests: int
    failed: int
    waited_s: float
    ran_s: float
    audio_s: float


class Models:
    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(name, words, ("model", *labels), registry=registry)

        def histogram(name: str, words: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, words, ("model", *labels), buckets=buckets, registry=registry)

        def gauge(name: str, words: str) -> Gauge:
            return Gauge(name, words, ("model",), registry=registry)

        self.queue = histogram("hark_queue_seconds", "How long requests waited for the model", f.SHORT, "urgency")
        self.batch = histogram("hark_batch_seconds", "How long the model ran for a batch", f.SHORT, "urgency")
        self.size = histogram("hark_batch_size", "Requests that ran together", f.SIZES)
        self.factor = histogram("hark_batch_realtime_factor", "Seconds of running for a second of audio", f.FACTOR)
        self.audio = counter("hark_batch_audio_seconds", "Audio that was handed to the model")
        self.failures = counter("hark_model_failures", "Requests that the model failed on")
        self.loads = counter("hark_model_loads", "Times that the model was loaded, or could not be", "result")
        self.loading = histogram("hark_model_load_seconds", "How long it took to load the model", f.LOADING)
        self.drops = counter("hark_model_drops", "Times that the model was dropped for want of memory")
        self.starts = counter("hark_engine_starts", "Processes that were started to run the model")
        self.losses = counter("hark_engine_losses", "Processes of the model that were lost while they worked", "why")
        self.loaded = gauge("hark_model_loaded", "Whether the model is loaded")
        self.waiting = gauge("hark_queue_length", "Requests that wait for the model")
        self.callers = gauge("hark_model_callers", "Batches that the model may run at once")
        self.memory = gauge("hark_model_memory_bytes", "Memory of its processes; of an engine in the server, its files")
        self.processes = gauge("hark_engine_processes", "Processes that run the model")
        self.descriptors = gauge("hark_engine_open_fds", "Open file descriptors of its processes")
        self.cpu = counter("hark_engine_cpu_seconds", "CPU that its processes have used")
        self._used: dict[tuple[str, int], Usage] = {}
        self._by_name: dict[str, Model] = {}

    def of(self, model: str) -> Model:
        """What is noted of this model: one and the same each time."""
        if model not in self._by_name:
            self._by_name[model] = Model(self, model)
        return self._by_name[model]

    def show(self, states: Iterable[State]) -> None:
        """How it is now, and all that was noted."""
        for model in list(self._by_name.values()):
            model.settle()
        gauges = (self.loaded, self.waiting, self.callers, self.memory, self.processes, self.descriptors)
        known = {state.name: state for state in states}
        for each in gauges:
            each.clear()
        used: dict[tuple[str, int], Usage] = {}
        for name, state in known.items():
            now = {pid: found for pid in state.pids if (found := usage(pid)) is not None}
            values = (state.loaded, state.waiting, state.callers, state.memory, len(now))
            for each, value in zip(gauges, values, strict=False):
                each.labels(name).set(value)
            self.descriptors.labels(name).set(sum(found.descriptors for found in now.values()))
            for pid, found in now.items():
                before = self._used.get((name, pid))
                self.cpu.labels(name).inc(max(0.0, found.cpu_s - (before.cpu_s if before else 0.0)))
                used[name, pid] = found
        self._used = used


class Model:
    """One of them, with its labels looked up: this is called for each batch."""

    def __init__(self, metrics: Models, name: str) -> None:
        self._all = metrics
        self.name = name
        self._kept: deque[Batch] = deque()
        self._times: dict[str, tuple[Histogram, Histogram]] = {}  # waits and runs by urgency, once there were any
        self._size = metrics.size.labels(name)
        self._factor = metrics.factor.labels(name)
        self._audio = metrics.audio.labels(name)
        self._failures = metrics.failures.labels(name)

    def ran(self, batch: Batch) -> None:
        """Keep it with others that came before: to write them down together costs a seventh of one by one."""
        self._kept.append(batch)
        if len(self._kept) >= KEPT:
            self.settle()

    def settle(self) -> None:
        """Write down what was kept. From any thread."""
        with contextlib.suppress(IndexError):
            while True:
                self._write(self._kept.popleft())

    def _write(self, batch: Batch) -> None:
        if batch.urgency not in self._times:
            named = self.name, batch.urgency
            self._times[batch.urgency] = self._all.queue.labels(*named), self._all.batch.labels(*named)
        waits, runs = self._times[batch.urgency]
        waits.observe(batch.waited_s)
        runs.observe(batch.ran_s)
        self._size.observe(batch.requests)
        self._audio.inc(batch.audio_s)
        if batch.audio_s > 0:
            self._factor.observe(batch.ran_s / batch.audio_s)
        if batch.failed:
            self._failures.inc(batch.failed)

    def loaded(self, seconds: float) -> None:
        self._all.loads.labels(self.name, "loaded").inc()
        self._all.loading.labels(self.name).observe(seconds)

    def not_loaded(self) -> None:
        self._all.loads.labels(self.name, "failed").inc()

    def dropped(self) -> None:
        self._all.drops.labels(self.name).inc()

    def started(self) -> None:
        """A process."""
        self._all.starts.labels(self.name).inc()

    def lost(self, why: str) -> None:
        """A process: "ended", "silent" or "slow"."""
        self._all.losses.labels(self.name, why).inc()


def unread(name: str) -> Model:
    """For those who keep no metrics."""
    return Models(CollectorRegistry()).of(name)
