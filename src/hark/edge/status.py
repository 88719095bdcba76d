"""What HTTP answers: health, and an explanation wherever else somebody asks.

Rule: every answer that is not 2xx is the error envelope with all four keys (contract A.0), and its message says what to
do instead.
"""

from __future__ import annotations

import logging
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route

import hark
from hark.core.settings import Json
from hark.edge import requests
from hark.errors import (
    CallerError,
    HarkError,
    InternalError,
    ModelError,
    RateLimitError,
    StorageError,
    TooLargeError,
    UnavailableError,
)
from hark.protocol.answers import Health, Index, told
from hark.telemetry import context

log = logging.getLogger("hark.http")

# Nobody reads it: the client has closed the connection.
CLIENT_GONE: Final = 499
_WHAT_THERE_IS: Final = (
    "There are: the WebSocket /v1/realtime?intent=transcription, POST /v1/realtime/calls for WebRTC, "
    "POST /v1/realtime/client_secrets, POST /v1/audio/transcriptions, GET /v1/models, GET /health, "
    "a page to speak into at /, and a description of all of them at /docs."
)


def fault(error: HarkError) -> dict[str, Json]:
    # A file that is too large has OpenAI's type for faults, and is the client's all the same.
    context.failed(error.code or ("request_too_large" if isinstance(error, TooLargeError) else error.type))
    return {"message": error.message, "type": error.type, "param": error.param, "code": error.code}


def envelope(
    error: HarkError, status: int | None = None, headers: dict[str, str] | None = None, **beside: Json
) -> JSONResponse:
    """`beside`: what else stands in the body."""
    if isinstance(error, RateLimitError | UnavailableError):
        headers = {**(headers or {}), "retry-after": str(error.retry_after_s)}
    return JSONResponse({"error": fault(error), **beside}, status or error.status, headers)


async def health(request: Request) -> Response:
    """200 once the server accepts sessions; it is not reached before."""
    return JSONResponse(told(Health()))


def where(request: Request, *, credential_required: bool) -> Index:
    """Where things are, in terms of how the server was reached."""
    base = str(request.base_url).rstrip("/")
    return Index(
        name="hark",
        version=hark.__version__,
        realtime=f"ws{base.removeprefix('http')}/v1/realtime?intent=transcription",
        transcriptions=f"{base}/v1/audio/transcriptions",
        models=f"{base}/v1/models",
        health=f"{base}/health",
        openapi=f"{base}/openapi.json",
        docs=f"{base}/docs",
        credential_required=credential_required,
    )


async def needs_websocket(request: Request) -> Response:
    """A plain HTTP request on the WebSocket's URL."""
    message = (
        f"{request.url.path} is a WebSocket: connect with ws:// or wss:// (this was a plain HTTP {request.method}). "
        "To call by WebRTC, POST an SDP offer as application/sdp to /v1/realtime/calls."
    )
    error = CallerError(message, code="upgrade_required")
    return envelope(error, 426, {"upgrade": "websocket", "connection": "upgrade"})


async def http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {404: f"There is nothing at '{request.url.path}'.", 405: f"{request.method} is not allowed here."}
    code = "method_not_allowed" if error.status_code == 405 else "unknown_url"
    wrong = CallerError(f"{known.get(error.status_code, error.detail)} {_WHAT_THERE_IS}", code=code)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 405:  # several routes may share a path, and the router names the methods of the first
        headers["allow"] = ", ".join(sorted(_methods(request)))
    return envelope(wrong, error.status_code, headers)


def _methods(request: Request) -> set[str]:
    matching = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in matching if isinstance(route, Route) for method in route.methods or ()}


async def raised(request: Request, error: Exception) -> Response:
    """What a request did wrong, in the envelope, and which model cannot serve it now; what else is wrong with the
    server, in its log."""
    assert isinstance(error, HarkError)
    if isinstance(error, StorageError):
        return envelope(unavailable(requests.id_of(request), error))
    if isinstance(error, ModelError):
        log.warning("%s: %s", requests.id_of(request), error)
        return envelope(error)
    return envelope(error) if isinstance(error, CallerError) else await crash(request, error)


async def client_gone(request: Request, error: Exception) -> Response:
    """The client closed the connection before its body had ended; nobody reads this."""
    return Response(status_code=CLIENT_GONE)


async def crash(request: Request, error: Exception) -> Response:
    """Our own defect: a reference that leads to the log, and no trace."""
    return envelope(failure(requests.id_of(request), error))


def unavailable(reference: str, error: StorageError) -> UnavailableError:
    """What to say of what the operator has to mend, which goes to the log."""
    log.error("%s: %s", reference, error.message)
    return error.told


def failure(reference: str, error: Exception) -> InternalError:
    """What to say of a defect, which goes to the log."""
    log.error("%s: unhandled fault", reference, exc_info=error)
    return InternalError(f"The server failed on this request. Its log has the details under {reference}.")
