"""Metrics of workers on other machines, as a gateway sees them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hark.telemetry import families as f


class Cluster:
    """What happens to streams to workers, by model: "lost" (the worker ended), "refused" (there was none), "stalled"
    (it was silent), "rotated" (left for another, as it was old), "given_up" (a request that nobody answered)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        words = "What became of streams to workers"
        self.streams = Gauge("hark_cluster_streams", "Open streams to workers", registry=registry)
        self.unanswered = Gauge("hark_cluster_unanswered", "Requests that workers have not answered", registry=registry)
        self.workers = Gauge("hark_cluster_workers", "Workers heard of in the last ten seconds", registry=registry)
        self.events = Counter("hark_cluster_events", words, ("model", "what"), registry=registry)

        words = "From a request to a worker to its answer, however often it was asked"
        self.answers = Histogram("hark_cluster_answer_seconds", words, ("model",), buckets=f.SHORT, registry=registry)

    def answered(self, model: str, seconds: float) -> None:
        self.answers.labels(model).observe(seconds)

    def happened(self, model: str, what: str) -> None:
        self.events.labels(model, what).inc()

    def show(self, streams: int, unanswered: int, workers: int) -> None:
        self.streams.set(streams)
        self.unanswered.set(unanswered)
        self.workers.set(workers)
