"""Metrics of HTTP requests and of how WebSockets are closed.

Rule: a request counts under the template of its route, "/v1/models/{name:path}", never under its path; what has no
route is "other". WebSockets are no requests here: they count as sessions, and by the code of their close.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hark.telemetry import families as f

METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH")
# The close was the client's, or there was none.
LEFT = "left"


class Traffic:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._method = f.Few(METHODS)
        self._open = Gauge("hark_http_requests_in_progress", "Requests that are being answered", registry=registry)
        self._requests = Counter(
            "hark_http_requests", "Requests that were answered", ("method", "route", "status"), registry=registry
        )
        self._took = Histogram(
            "hark_http_request_seconds",
            "How long it took to answer a request to the end",
            ("route",),
            buckets=f.REQUEST,
            registry=registry,
        )
        self._closes = Counter(
            "hark_websocket_closes",
            "WebSockets that are over, by the code of the server's close",
            ("code",),
            registry=registry,
        )

    def began(self) -> None:
        self._open.inc()

    def answered(self, method: str, route: str | None, status: str, seconds: float) -> None:
        """`status`: "none" if there was none, for the client had gone."""
        self._open.dec()
        self._requests.labels(self._method(method), route or f.OTHER, status).inc()
        self._took.labels(route or f.OTHER).observe(seconds)

    def closed(self, code: int | None) -> None:
        """A WebSocket, by us with this code, or not by us."""
        self._closes.labels(LEFT if code is None else str(code)).inc()
