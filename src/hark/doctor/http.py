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

import msgspec
from msgspec import Struct

import hark
from hark.doctor.rules import Answer

PATIENCE_S: Final = 15.0
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
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
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
        return Reply(response.status, told, response.read(MAX_BODY), (time.monotonic() - began) * 1000)
    finally:
        connection.close()


def refusal(status: int | None, body: bytes) -> Answer:
    """The error in a body, in the forms that servers of this API have."""
    try:
        parsed = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return Answer(status=status, body=body.decode("utf-8", "replace").strip()[:2_000], envelope=not body.strip())
    error = parsed.get("error", parsed.get("detail")) if isinstance(parsed, dict) else None
    if isinstance(error, dict):
        return fault(error, status=status)
    return Answer(
        message=error if isinstance(error, str) else "", status=status, body=body.decode("utf-8", "replace")[:2_000]
    )


def fault(error: dict[str, Any], *, status: int | None = None, close_code: int | None = None) -> Answer:
    """The object `error` of an envelope or of an `error` event; what is not text in it is left out."""

    def text(name: str) -> str | None:
        value = error.get(name)
        return value if isinstance(value, str) and value else None

    return Answer(
        message=text("message") or "",
        code=text("code"),
        type=text("type"),
        param=text("param"),
        status=status,
        close_code=close_code,
    )
