"""GET /metrics: what the server tells of itself, for Prometheus.

Rule: whichever of several workers is asked answers for all. It asks the others, and who does not answer within a second
is left out and counted. Where keys are set it takes a whole API key, as Authorization: Bearer; without keys it answers
whom all else answers. Refuses: client secrets, which are in the hands of strangers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hark.auth.keys import Keys
from hark.edge import guard, relay
from hark.edge.gateway import Gateway
from hark.edge.lookups import look_up
from hark.errors import AuthError
from hark.telemetry import exposition
from hark.telemetry.metrics import Metrics

PATH: Final = "/metrics"
PATIENCE_S: Final = 1.0
# In the state of a scope, which no client can write: another worker asks.
_OWN: Final = "hark.own_metrics"
_PACKED: Final = "application/msgpack"


class Scrape(Struct, frozen=True):
    """`gateway`: this process is one of `workers`."""

    keys: Keys
    metrics: Metrics
    any_origin: bool = False
    gateway: Gateway | None = None
    workers: int = 1

    def routes(self) -> Sequence[Route]:
        return [Route(PATH, self.show)]

    async def show(self, request: Request) -> Response:
        """All workers' metrics. Raises AuthError."""
        if request.scope.get("state", {}).get(_OWN):  # whoever asks has looked at the key
            return Response(exposition.packed(self.metrics.collect()), media_type=_PACKED)
        await self._admit(request)
        others = await asyncio.gather(*(self._of(index, request) for index in self._others()))
        answers = [families for families in others if families is not None]
        self.metrics.missed.inc(len(others) - len(answers))
        own = self.metrics.collect()
        # In a thread: that of many workers takes a while to write.
        body = await asyncio.to_thread(exposition.text, [own, *answers])
        return Response(body, headers={"content-type": exposition.CONTENT_TYPE})

    async def _admit(self, request: Request) -> None:
        await guard.admit(request, self.keys, any_origin=self.any_origin)
        if not self.keys.required_at_once:
            return
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        shown = [key.strip()] if scheme.lower() == "bearer" else []
        if (await look_up(lambda: self.keys.admit(shown))).by_secret:
            message = "A client secret cannot read metrics. Send the API key, as Authorization: Bearer."
            raise AuthError(message, code="invalid_api_key")

    def _others(self) -> list[int]:
        return [] if self.gateway is None else [n for n in range(self.workers) if n != self.gateway.index]

    async def _of(self, index: int, request: Request) -> list[exposition.Family] | None:
        assert self.gateway is not None
        scope = {**request.scope, "state": {"request_id": request.scope["state"]["request_id"], _OWN: True}}
        try:
            async with asyncio.timeout(PATIENCE_S):
                body = await relay.fetch(await self.gateway.reach(index), scope)
            return None if body is None else exposition.unpacked(body)
        except (TimeoutError, OSError, msgspec.DecodeError):
            return None
