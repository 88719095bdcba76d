"""Metrics and traces as witnesses of sessions. Neither of telemetry/ and witness.py knows the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec import Struct

from hark.edge.admission import Admission
from hark.edge.gateway import Gateway
from hark.edge.limits import Limits
from hark.edge.lives import Lives
from hark.edge.witness import Begin, Opened, Witness
from hark.telemetry import context, traces
from hark.telemetry.metrics import Metrics
from hark.telemetry.spans import SessionSpans
from hark.telemetry.traces import Tracing


class Watched(Struct, frozen=True):
    """By what this process tells of itself."""

    metrics: Metrics
    tracing: Tracing | None

    def look(self, models: Callable[[], None], admission: Admission, limits: Limits, lives: Lives) -> None:
        """How things are, for who asks."""
        models()
        self.metrics.fullness(admission.fullness())
        self.metrics.service(draining=limits.draining, away=lives.away)

    async def stop(self) -> None:
        """Send the traces that are left."""
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.stop)


def watched_as(names: Sequence[str], model: str, gateway: Gateway | None) -> Watched:
    """One that offers models of these `names` and transcribes with `model`, as one of several or alone."""
    worker = 0 if gateway is None else gateway.index
    return Watched(Metrics(names, model=model, worker=worker), traces.from_environment(worker=worker))


def watching(metrics: Metrics, tracing: Tracing | None) -> Sequence[Begin]:
    """Who begins with each session."""

    def count(opened: Opened) -> Witness:
        context.opened(opened.session_id, opened.call_id)
        return metrics.sessions.begin(opened.transport, opened.model, opened.position)

    if tracing is None:
        return [count]

    def trace(opened: Opened) -> Witness:
        return SessionSpans(tracing, opened.session_id, opened.transport, opened.model, opened.call_id)

    return [count, trace]
