"""Every request gets an id, which leads from an answer to the log: in the headers of the answer, in the line that the
log has of it, and in what is said of a fault. Beside it stand the other headers that clients of OpenAI's look at
(contract A.0).

Rule: this layer is the outermost, so that refusals, preflights and faults carry them too, and a handshake its id. The
log shows the path and never the query, where a key may stand.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hark.edge.ids import new_id

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
    ("cross-origin-opener-policy", "same-origin"),
)
POLICY: Final = ("content-security-policy", "default-src 'none'; frame-ancestors 'none'")
# What pages may read of an answer beside its body.
EXPOSED: Final = ("Location", "Retry-After", REQUEST_ID, VERSION[0], PROCESSING)
_QUIET: Final = "/health"  # which is asked every few seconds


def id_of(connection: HTTPConnection) -> str:
    return str(connection.state.request_id)


def with_ids(app: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        request_id, began, status = new_id("req"), time.monotonic(), "no answer"
        scope.setdefault("state", {})["request_id"] = request_id

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.accept"):
                message.setdefault("headers", [])
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                if message["type"] == "http.response.start":
                    status = str(message["status"])
                    headers[VERSION[0]] = VERSION[1]
                    headers[PROCESSING] = str(_ms_since(began))
                    for name, value in GUARDS if "javascript" in headers.get("content-type", "") else (*GUARDS, POLICY):
                        headers.setdefault(name, value)
            await send(message)

        try:
            await app(scope, receive, tell)
        finally:
            if scope["type"] == "http":
                level = logging.DEBUG if scope["path"] == _QUIET else logging.INFO
                path = scope["raw_path"].decode("ascii", "backslashreplace")
                log.log(level, "%s %s: %s in %d ms (%s)", scope["method"], path, status, _ms_since(began), request_id)

    return answer


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
