"""All metrics of one server process, in a registry of its own.

Rule: what happens is noted where it happens; what merely is (queues, memory, headroom) is looked at when somebody asks,
by those who said so with `at_scrape`. A process that serves alone is worker 0 of 1.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

import hark
from hark.telemetry import exposition
from hark.telemetry import families as f
from hark.telemetry.cluster import Cluster
from hark.telemetry.models import Models
from hark.telemetry.sessions import Sessions
from hark.telemetry.traffic import Traffic


class Metrics:
    """`names`: the models that clients may ask for; `worker`: the number of this process among those of the server."""

    def __init__(self, names: Collection[str] = (), *, model: str = "", worker: int = 0) -> None:
        self.worker = worker
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.sessions = Sessions(self.registry, names)
        self.models = Models(self.registry)
        self.traffic = Traffic(self.registry)
        self.cluster = Cluster(self.registry)
        Info("hark", "What runs", registry=self.registry).info({"version": hark.__version__, "model": model})
        self._tasks = Gauge("hark_tasks", "Tasks of the event loop", registry=self.registry)
        self._threads = Gauge("hark_threads", "Threads of Python", registry=self.registry)
        self._lag = Histogram(
            "hark_event_loop_lag_seconds",
            "How late the event loop was, four times a second",
            buckets=f.SHORT,
            registry=self.registry,
        )
        self._fullness = Gauge(
            "hark_admission_fullness_ratio",
            "What the server would be at with one more session, of the most at which one is let in",
            ("limit",),
            registry=self.registry,
        )
        self._draining = Gauge("hark_draining", "Whether no sessions begin any more", registry=self.registry)
        self._away = Gauge(
            "hark_sessions_away", "Sessions that wait for a client that was cut off", registry=self.registry
        )
        self.missed = Counter("hark_scrape_misses", "Workers that did not answer a scrape", registry=self.registry)
        self._looks: list[Callable[[], None]] = [self.sessions.refresh]

    def at_scrape(self, look: Callable[[], None]) -> None:
        """Call this, on the event loop, before each collection."""
        self._looks.append(look)

    def lagged(self, seconds: float) -> None:
        self._lag.observe(max(0.0, seconds))

    def fullness(self, shares: dict[str, float]) -> None:
        """Of each limit on what the server takes in."""
        for name, share in shares.items():
            self._fullness.labels(name).set(share)

    def service(self, *, draining: bool, away: int) -> None:
        """Whether the server is being taken out of service, and how many sessions wait for their clients."""
        self._draining.set(draining)
        self._away.set(away)

    def collect(self) -> list[exposition.Family]:
        """All of them, as they are now, with the number of this worker. On the event loop."""
        for look in self._looks:
            look()
        self._tasks.set(len(asyncio.all_tasks()))
        self._threads.set(threading.active_count())
        return exposition.collected(self.registry, str(self.worker))
