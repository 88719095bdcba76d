"""One HTTP request as it stands: nothing is followed, retried or repaired, and every answer is an answer.

Rule: Python's own client in a thread, since what is examined is the server and no library's opinion of it.
"""

from __future__ import annotations

import asyncio
import http.client
import ssl
import time
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

import hark
from hark.doctor.rules import Answer
from hark.doctor.shapes import from_json, mapping

PATIENCE_S: Final = 15.0
# How long an answer may go on arriving, and how much of one is read.
BODY_S: Final = 15.0
MAX_BODY: Final = 4 * 1024 * 1024


class Reply(Struct, frozen=True):
    """`headers` by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes
    ms: float

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """None where it is none."""
        try:
            return from_json(self.body)
        except ValueError:
            return None

    @property
    def answer(self) -> Answer:
        """This, seen as a refusal."""
        return refusal(self.status, self.body)


async def ask(
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """Raises OSError, http.client.HTTPException."""
    return await asyncio.to_thread(_ask, method, url, headers or {}, body, tls)


def _ask(method: str, url: str, headers: dict[str, str], body: bytes | None, tls: ssl.SSLContext | None) -> Reply:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=PATIENCE_S, context=tls
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    began = time.monotonic()
    try:
        where = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, where, body, {"User-Agent": f"hark-doctor/{hark.__version__}", **headers})
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        ms = (time.monotonic() - began) * 1000
        return Reply(response.status, told, _body(response), ms)
    finally:
        connection.close()


def _body(response: http.client.HTTPResponse) -> bytes:
    """As much of it as came in time: a stream of events has no end."""
    until, body = time.monotonic() + BODY_S, b""
    while time.monotonic() < until and len(body) < MAX_BODY and (part := response.read1(1 << 16)):
        body += part
    return body


def refusal(status: int | None, body: bytes) -> Answer:
    """The error in a body, in the forms that servers of this API have."""
    try:
        parsed = from_json(body)
    except ValueError:
        return Answer(status=status, body=body.decode("utf-8", "replace").strip()[:2_000], envelope=not body.strip())
    error = parsed.get("error", parsed.get("detail")) if isinstance(parsed, dict) else None
    if isinstance(error, dict):
        return fault(error, status=status)
    return Answer(
        message=error if isinstance(error, str) else "", status=status, body=body.decode("utf-8", "replace")[:2_000]
    )


def fault(error: object, *, status: int | None = None, close_code: int | None = None) -> Answer:
    """The `error` of an envelope or of an `error` event: an object, of which what is not text is left out, or a
    message alone."""
    fields = {"message": error} if isinstance(error, str) else mapping(error)

    def text(name: str) -> str | None:
        value = fields.get(name)
        return value if isinstance(value, str) and value else None

    return Answer(
        message=text("message") or "",
        code=text("code"),
        type=text("type"),
        param=text("param"),
        status=status,
        close_code=close_code,
    )
