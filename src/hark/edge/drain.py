"""Taking a server out of service without cutting anybody off: at SIGTERM, and by POST /drain.

    no new sessions: 503, and 1012 over a WebSocket; /ready answers 503, so that balancers go elsewhere
    sessions end at their next moment of quiet, with 1012 after their last transcript
    after --drain-seconds turns in hand are ended where they are, and finished

Rule: whoever comes while a server drains is told to come back, by a code after which clients do. Refuses: POST /drain
by anyone but the operator, who has the server's own key or, where there are no keys, sits at this machine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hark.auth.keys import Keys
from hark.auth.principal import OWN_KEY
from hark.edge import guard
from hark.edge.calls import Calls
from hark.edge.limits import Limits
from hark.edge.lives import Lives
from hark.errors import AuthError, DrainingError
from hark.protocol import answers

log = logging.getLogger("hark.serve")

# How often it is looked whether all sessions have ended.
LOOK_S: Final = 0.05


class Drain:
    """`tell_others`: says to all processes of the server whether it drains, this one included."""

    def __init__(
        self,
        keys: Keys,
        limits: Limits,
        lives: Lives,
        calls: Calls,
        *,
        seconds: float,
        tell_others: Callable[[bool], None] | None = None,
    ) -> None:
        self._keys = keys
        self._limits = limits
        self._lives = lives
        self._calls = calls
        self._seconds = seconds
        self._tell_others = tell_others or self.set
        self._waiting: asyncio.Task[None] | None = None
        self._stopping = False

    def routes(self) -> Sequence[Route]:
        return [
            Route("/ready", self.ready, methods=["GET"]),
            Route("/drain", self.begin, methods=["POST"]),
            Route("/drain", self.end, methods=["DELETE"]),
        ]

    @property
    def sessions(self) -> int:
        """Those that there are, uploads and sessions that wait for their client included."""
        return self._limits.open + self._lives.away

    # ---- HTTP ----------------------------------------------------------------------------------------------------

    async def ready(self, request: Request) -> Response:
        """200 while new sessions are welcome. Raises DrainingError."""
        if self._limits.draining:
            raise DrainingError
        return JSONResponse(answers.told(answers.Readiness("ready")), headers={"cache-control": "no-store"})

    async def begin(self, request: Request) -> Response:
        await self._admit(request)
        self._tell_others(True)
        return JSONResponse(answers.told(answers.Readiness("draining")), 202)

    async def end(self, request: Request) -> Response:
        """Back into service; who was asked to leave goes all the same."""
        await self._admit(request)
        self._tell_others(False)
        return JSONResponse(answers.told(answers.Readiness("ready")))

    async def _admit(self, request: Request) -> None:
        # a page that the operator looks at is not the operator
        who = await guard.admit(request, self._keys, any_origin=False)
        if self._keys.required_at_once:
            allowed = who.key_id == OWN_KEY and not who.by_secret
        else:
            allowed = request.client is not None and _is_here(request.client.host)
        if not allowed:
            raise AuthError(
                "Only the operator may drain this server: send the key of --api-key, or, where no key is set, ask from "
                "the machine that it runs on. SIGTERM drains it too.",
                code="not_the_operator",
            )

    # ---- what is done --------------------------------------------------------------------------------------------

    def set(self, draining: bool) -> None:
        """Begin, or go back into service, which a server that stops does not."""
        if draining == self._limits.draining or self._stopping:
            return
        self._limits.draining = draining
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if draining:
            log.info("draining: %d sessions are open", self.sessions)
            self._lives.leave()
            self._calls.leave()
            self._waiting = asyncio.create_task(self._wait())
        else:
            self._lives.stay()
            log.info("in service again")

    async def run(self) -> None:
        """To the end: no session is left."""
        self.set(True)
        self._stopping = True
        if self._waiting is not None:
            with suppress(asyncio.CancelledError):
                await asyncio.shield(self._waiting)

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                while True:
                    if not self.sessions:
                        break
                    await asyncio.sleep(LOOK_S)
        if self.sessions:
            log.info("draining: %d sessions go on; their turns are ended", self.sessions)
        await asyncio.gather(self._lives.stop(), self._calls.stop())


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
