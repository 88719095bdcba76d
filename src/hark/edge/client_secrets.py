"""The three endpoints that mint client secrets: GA's one and the beta dialect's two (contract A.1 to A.3).

Rule: who may mint is who may connect with a key. The answer shows the session as it will be, with times that are true:
`session.expires_at` is when a session opened now would end, the secret's own `expires_at` until when one can be opened.
Refuses: client secrets, which cannot mint others; bodies past the size of a session update.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hark.auth.keys import Keys
from hark.core.messages import DEFAULT_SESSION_MODEL, SessionView
from hark.edge import guard
from hark.edge.calls import Calls, either
from hark.edge.ids import new_id
from hark.errors import TooLargeError
from hark.protocol import minting
from hark.protocol.minting import Endpoint
from hark.protocol.wire import MAX_UPDATE_CHARACTERS
from hark.session.configuration import FindModel

log = logging.getLogger("hark.http")

# Base URLs with and without /v1, and Azure's; each endpoint below each.
_BASES: Final = ("/v1/realtime", "/realtime", "/openai/v1/realtime", "/openai/realtime", "/openai/realtimeapi")


class ClientSecrets(Struct, frozen=True):
    """What minting needs: who may, which models there are, how long a session may last."""

    keys: Keys
    find_model: FindModel
    lifetime_s: float
    calls: Calls
    any_origin: bool = False
    session_model: str = DEFAULT_SESSION_MODEL

    def routes(self) -> Sequence[Route]:
        return [
            Route(f"{base}/{endpoint}{slash}", self._endpoint(endpoint), methods=["POST"])
            for base in _BASES
            for endpoint in minting.ENDPOINTS
            for slash in ("", "/")
        ]

    def _endpoint(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def mint(request: Request) -> Response:
            return await self._mint(request, endpoint)

        return either(mint, self.calls)

    async def _mint(self, request: Request, endpoint: Endpoint) -> Response:
        who = await guard.admit(request, self.keys, any_origin=self.any_origin)
        order = minting.read_order(endpoint, await _body(request))
        choice = minting.settle(order, self.find_model)
        # In a thread, for what is too large for a header waits for the disk, and for whoever else writes to the store.
        minted = await asyncio.to_thread(self.keys.mint, who, minting.pack(choice), order.seconds)
        log.info("client secret minted: %s %s by %s", choice.dialect, choice.settings.kind, who.name)
        expires_at = int(time.time() + self.lifetime_s)
        view = SessionView(new_id("sess"), expires_at, choice.settings, self.session_model)
        answer = minting.answer(choice.dialect, view, minted.value, minted.expires_at)
        return JSONResponse(answer, headers={"cache-control": "no-store"})


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_UPDATE_CHARACTERS:
            message = f"Expected a request body of at most {MAX_UPDATE_CHARACTERS} bytes; got more. Send less."
            raise TooLargeError(message, code="request_too_large")
    return bytes(body)
