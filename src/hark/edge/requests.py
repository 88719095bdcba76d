"""Every request gets an id, which leads from an answer to the log: in the headers of the answer, in the line that the
log has of it, and in what is said of a fault. Beside it stand the other headers that clients of OpenAI's look at
(contract A.0). Metrics and traces count requests and closes of WebSockets here.

Rule: this layer is the outermost, so that refusals, preflights and faults carry them too, and a handshake its id. The
log shows the path and never the query, where a key may stand.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hark.edge import addresses
from hark.edge.ids import new_id
from hark.telemetry import context
from hark.telemetry.metrics import Metrics
from hark.telemetry.traces import Request as Span
from hark.telemetry.traces import Tracing

log = logging.getLogger("hark.http")

REQUEST_ID: Final = "x-request-id"
VERSION: Final = ("openai-version", "2020-10-01")
PROCESSING: Final = "openai-processing-ms"
# No answer is to be framed, guessed at, or told of to others; what is made to be shown says more of itself (console.py,
# reference.py). A script has no policy: it would count for what the script begins.
GUARDS: Final = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
)
# Browsers heed it, and do not complain, where nobody between could have written it.
ALONE: Final = ("cross-origin-opener-policy", "same-origin")
POLICY: Final = ("content-security-policy", "default-src 'none'; frame-ancestors 'none'")
# What pages may read of an answer beside its body.
EXPOSED: Final = ("Location", "Retry-After", REQUEST_ID, VERSION[0], PROCESSING)
_QUIET: Final = ("/health", "/ready", "/metrics")  # which are asked every few seconds


def id_of(connection: HTTPConnection) -> str:
    return str(connection.state.request_id)


def with_ids(app: ASGIApp, metrics: Metrics | None = None, tracing: Tracing | None = None) -> ASGIApp:
    counted = metrics or Metrics()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            await _Answer(scope, send, counted, tracing).by(app, receive)
        else:
            await app(scope, receive, send)

    return answer


class _Answer:
    """To one request or handshake. `status` and `close`: what was answered, None for nothing."""

    def __init__(self, scope: Scope, send: Send, metrics: Metrics, tracing: Tracing | None) -> None:
        self._scope = scope
        self._send = send
        self._metrics = metrics
        self._http = scope["type"] == "http"
        self._request_id = new_id("req")
        self._began = time.monotonic()
        self._status: int | None = None
        self._close: int | None = None
        scope.setdefault("state", {})["request_id"] = self._request_id
        self._known = context.begin(self._request_id)
        self._span: Span | None = tracing.request(scope) if tracing is not None else None

    async def by(self, app: ASGIApp, receive: Receive) -> None:
        if self._http:
            self._metrics.traffic.began()
        try:
            await app(self._scope, receive, self._tell)
        finally:
            self._end()

    async def _tell(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("http.response.start", "websocket.accept"):
            message.setdefault("headers", [])
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self._request_id
            if kind == "http.response.start":
                self._status = message["status"]
                headers[VERSION[0]] = VERSION[1]
                headers[PROCESSING] = str(self._ms())
                for name, value in GUARDS if "javascript" in headers.get("content-type", "") else (*GUARDS, POLICY):
                    headers.setdefault(name, value)
                if self._trustworthy():
                    headers.setdefault(*ALONE)
            elif self._span is not None:  # what follows is the session's
                self._span.answered(self._route(), 101, None)
        elif kind == "websocket.close":
            self._close = message.get("code", 1000)
        await self._send(message)

    def _end(self) -> None:
        metrics, code = self._metrics, self._known.error
        if code is not None:
            metrics.sessions.error("http" if self._http else "websocket", code)
        if self._http:
            self._log()
            status = "none" if self._status is None else str(self._status)
            metrics.traffic.answered(self._scope["method"], self._route(), status, time.monotonic() - self._began)
        else:
            metrics.traffic.closed(self._close)
        if self._span is not None:
            self._span.answered(self._route(), self._status, code)

    def _log(self) -> None:
        scope = self._scope
        level = logging.DEBUG if scope["path"] in _QUIET else logging.INFO
        path = scope["raw_path"].decode("ascii", "backslashreplace")
        status = "no answer" if self._status is None else str(self._status)
        said = f"{status} {self._known.error}" if self._known.error else status
        log.log(level, "%s %s: %s in %d ms (%s)", scope["method"], path, said, self._ms(), self._request_id)

    def _trustworthy(self) -> bool:
        host = Headers(scope=self._scope).get("host", "")
        return self._scope["scheme"] == "https" or addresses.is_loopback(f"http://{host}")

    def _ms(self) -> int:
        return round((time.monotonic() - self._began) * 1000)

    def _route(self) -> str | None:
        """The template that the path fits, as far as it was looked for."""
        return getattr(self._scope.get("route"), "path", None)
