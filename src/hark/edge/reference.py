"""/openapi.json and /docs: the server describes itself, in terms of where and how it was reached.

Rule: both say the same, for the page is made of the document's own parts. The page needs no script and nothing from
elsewhere, and its Content-Security-Policy allows neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import hark
from hark.auth.keys import Keys
from hark.core.settings import Json
from hark.edge.reference_page import render
from hark.errors import OperatorError
from hark.protocol.openapi import describe

_STYLE: Final = Path(__file__).with_name("reference_page.css").read_text("utf-8")
_GUARDS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}


class Reference(Struct, frozen=True):
    """`keys` tell whether a credential is needed."""

    keys: Keys

    def routes(self) -> Sequence[Route]:
        return [
            Route("/openapi.json", self.openapi),
            Route("/docs", self.page),
            Route("/docs/style.css", self.style),
        ]

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(self._document(request))

    async def page(self, request: Request) -> Response:
        return HTMLResponse(render(self._document(request)), headers=_GUARDS)

    async def style(self, request: Request) -> Response:
        return Response(_STYLE, media_type="text/css", headers={"cache-control": "max-age=3600"})

    def _document(self, request: Request) -> dict[str, Json]:
        try:
            required = self.keys.required_at_once
        except OperatorError:  # whoever calls is told of it; here it is enough not to promise too much
            required = True
        return describe(str(request.base_url).rstrip("/"), hark.__version__, keys_required=required)
