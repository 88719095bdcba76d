"""The page at /: people speak into it and read along. Its files are those of hark/console/, as they are.

Rule: a browser gets the page, and whoever does not ask for HTML gets where things are, as JSON. The page may load its
own files and speak to this server; its Content-Security-Policy allows nothing else. Every file is asked for anew and
answered with 304 while it is the same, so no browser runs the parts of two versions together.
Refuses: names that are no file of the page.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hark.auth.keys import Keys
from hark.edge import status
from hark.errors import OperatorError
from hark.protocol.answers import told

_FOLDER: Final = Path(__file__).parents[1] / "console"
_PAGE: Final = "index.html"
_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_HOST: Final = re.compile(r"[\w.-]+(:\d+)?|\[[\da-fA-F:.]+\](:\d+)?", re.ASCII)


class _File(Struct, frozen=True):
    content: bytes
    media_type: str
    etag: str


def _read(path: Path) -> _File:
    content = path.read_bytes()
    return _File(content, _TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


_FILES: Final = {path.name: _read(path) for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES}


class Console(Struct, frozen=True):
    """`keys` tell whether a credential is needed."""

    keys: Keys

    def routes(self) -> Sequence[Route]:
        return [Route("/", self.front), Route("/console/{name}", self.file)]

    async def front(self, request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return _answer(request, _FILES[_PAGE], {"vary": "accept", **_guards(request)})
        try:
            required = self.keys.required_at_once
        except OperatorError:  # whoever calls is told of it; here it is enough not to promise too much
            required = True
        return JSONResponse(told(status.where(request, credential_required=required)), headers={"vary": "accept"})

    async def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name == _PAGE or name not in _FILES:
            raise HTTPException(404)
        return _answer(request, _FILES[name], {})


def _answer(request: Request, file: _File, more: dict[str, str]) -> Response:
    headers = {"etag": file.etag, "cache-control": "no-cache", **more}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _guards(request: Request) -> dict[str, str]:
    host = request.headers.get("host", "")
    # Not every browser counts a WebSocket of the same host as 'self'.
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    allowed = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": f"'self'{sockets}",
        "media-src": "blob:",  # the length of a file that is to be transcribed
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in allowed.items()),
        "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    }
