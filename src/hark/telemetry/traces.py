"""Traces, by OpenTelemetry's own variables and by nothing else (the extra `hark[otel]`).

    OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318    or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, or OTEL_TRACES_EXPORTER
    OTEL_SDK_DISABLED=true                               none after all

Rule: a span says how long and how large, never what was said: no transcript, no audio, no key, no address. A trace that
the client began is gone on with (`traceparent`). Nothing waits for a collector, and a server without the packages, or
with variables that it cannot follow, says so and serves.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from starlette.types import Scope

import hark
from hark.errors import HarkError
from hark.telemetry import context

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

log = logging.getLogger("hark.traces")

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
EXPORTER: Final = "OTEL_TRACES_EXPORTER"
DISABLED: Final = "OTEL_SDK_DISABLED"
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP_PROTOBUF: Final = "http/protobuf"
# What is asked every few seconds by machines.
QUIET: Final = ("/health", "/ready", "/metrics")
STOP_MS: Final = 5_000


def from_environment(environ: Mapping[str, str] = os.environ, worker: int = 0) -> Tracing | None:
    """What the variables ask for; None for nothing."""
    if environ.get(DISABLED, "").strip().lower() == "true":
        return None
    exporters = [part.strip() for part in environ.get(EXPORTER, "").split(",") if part.strip()]
    if not exporters and any(environ.get(name) for name in ENDPOINTS):
        exporters = ["otlp"]
    exporters = [name for name in exporters if name != "none"]
    if not exporters:
        return None
    try:
        return Tracing(_provider(exporters, environ, worker))
    except ImportError as error:
        log.warning(
            "traces are asked for and not sent: %s is missing. Install it: pip install 'hark[otel]'", error.name
        )
    except ValueError as error:
        log.warning("traces are asked for and not sent: %s", error)
    return None


def _provider(exporters: list[str], environ: Mapping[str, str], worker: int) -> TracerProvider:
    """Raises ImportError without the packages, and ValueError for what they cannot do."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - only where it is wanted, and may be missing
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter  # noqa: PLC0415

    found: list[SpanExporter] = []
    for name in exporters:
        if name == "otlp":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

            protocol = next((environ[each] for each in PROTOCOLS if environ.get(each)), HTTP_PROTOBUF)
            if protocol != HTTP_PROTOBUF:
                raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; expected 'http/protobuf'.")
            found.append(OTLPSpanExporter())
        elif name == "console":
            found.append(ConsoleSpanExporter())
        else:
            raise ValueError(f"OTEL_TRACES_EXPORTER is {name!r}; expected 'otlp', 'console' or 'none'.")
    told: dict[str, str | int] = {"service.name": "hark", "service.version": hark.__version__, "hark.worker": worker}
    if environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        del told["service.name"]
    provider = TracerProvider(resource=Resource.create(told), shutdown_on_exit=False)
    for exporter in found:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


class Tracing:
    """Makes spans of requests; telemetry/spans.py makes those of sessions."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import propagate, trace  # noqa: PLC0415

        self._provider = provider
        self._trace = trace
        self._propagate = propagate
        self.tracer: Tracer = provider.get_tracer("hark", hark.__version__)

    def request(self, scope: Scope) -> Request | None:
        """A request or a handshake begins, in this task."""
        if scope["path"] in QUIET:
            return None
        carrier = _headers(scope["headers"])
        parent = self._propagate.extract(carrier)
        method = "GET" if scope["type"] == "websocket" else scope["method"]
        attributes = {
            "http.request.method": method,
            "url.scheme": scope.get("scheme", "http"),
            "network.protocol.name": "http",
            "network.protocol.version": scope.get("http_version", "1.1"),
        }
        span = self.tracer.start_span(method, parent, self._trace.SpanKind.SERVER, attributes)
        if (known := context.current()) is not None:
            known.trace = self._trace.set_span_in_context(span, parent)
        return Request(span, method)

    def parent(self) -> Context | None:
        """What a session that begins in this task belongs to."""
        from opentelemetry.context import Context  # noqa: PLC0415

        known = context.current()
        return known.trace if known is not None and isinstance(known.trace, Context) else None

    def stop(self) -> None:
        """Send what is left. Blocks for STOP_MS at most, or so."""
        self._provider.force_flush(STOP_MS)
        self._provider.shutdown()


class Request:
    """The span of one, ended once."""

    def __init__(self, span: Span, method: str) -> None:
        self._span: Span | None = span
        self._method = method

    def answered(self, route: str | None, status: int | None, error: str | None) -> None:
        """`error`: the code of what the client was told is wrong. For a handshake the answer is its end."""
        span, self._span = self._span, None
        if span is None:
            return
        if route is not None:
            span.update_name(f"{self._method} {route}")
            span.set_attribute("http.route", route)
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if status is None or status >= 500:
            fail(span, error or ("_OTHER" if status is None else str(status)))
        elif error is not None:
            span.set_attribute("error.type", error)
        span.end()


def fail(span: Span, code: str) -> None:
    """By its code alone: a message may quote a client."""
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

    span.set_attribute("error.type", code)
    span.set_status(Status(StatusCode.ERROR))


def code_of(error: HarkError) -> str:
    return error.code or error.type


def _headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    wanted = ("traceparent", "tracestate", "baggage")
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in headers if key.decode("latin-1") in wanted}
