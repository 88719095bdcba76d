"""Bodies that are compressed are refused: nobody sends any, and a kilobyte of gzip may unpack to a gigabyte.

Rule: refused by the header, before any route reads a byte. Ignored, it would end in an error about a sound form.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from hark.edge import status
from hark.errors import MediaTypeError


def uncompressed(app: ASGIApp) -> ASGIApp:
    """`app`, for requests whose bodies are what they are."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            coding = Headers(scope=scope).get("content-encoding", "identity").strip().lower()
            if coding not in ("identity", ""):
                message = f"Expected a body without Content-Encoding; got {coding[:40]}. Send it uncompressed."
                refusal = status.envelope(MediaTypeError(message, code="unsupported_media_type"))
                refusal.headers["connection"] = "close"  # the body is not read
                await refusal(scope, receive, send)
                return
        await app(scope, receive, send)

    return answer
