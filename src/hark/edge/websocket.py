"""/v1/realtime over WebSocket.

Rule: the upgrade is never refused, since browsers cannot read an HTTP refusal and clients report only a status: whoever
may not come in gets 101, one `error` event, and a close with 3000 (who you are) or 4000 (what you ask), as at OpenAI
(contract B.3). Clients take those codes for final and do not reconnect. A limit that is reached and a key store that
cannot be asked close with 1013 and a defect of ours with 1011, after which they may: so OpenAI's SDKs have it, and a
limit passes by itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from msgspec import Struct, field
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from hark.auth.keys import Keys
from hark.auth.principal import Principal
from hark.core.messages import DEFAULT_SESSION_MODEL, SessionView
from hark.core.work import Compute
from hark.edge import addresses, guard, requests, sideband, status
from hark.edge.beat import Beat
from hark.edge.calls import Calls
from hark.edge.ids import new_id
from hark.edge.life import CLOSE_RESTART, Life
from hark.edge.limits import Limits
from hark.edge.line import SocketLine
from hark.edge.lives import Lives
from hark.edge.witness import Opened, Witnesses
from hark.errors import (
    AuthError,
    CallerError,
    DrainingError,
    InternalError,
    OperatorError,
    RateLimitError,
    StorageError,
    UnavailableError,
)
from hark.protocol import dialects, events, minting
from hark.session.configuration import FindModel
from hark.session.session import Session
from hark.telemetry import context

log = logging.getLogger("hark.session")

CLOSE_AUTH: Final = 3000
CLOSE_REQUEST: Final = 4000
CLOSE_FAULT: Final = 1011
CLOSE_BUSY: Final = 1013


class Realtime(Struct, frozen=True):
    """What the endpoint needs: who may come in, which models there are, who runs them, how long a session may last and
    its client be silent, and what a key may use."""

    keys: Keys
    find_model: FindModel
    compute: Compute
    lifetime_s: float
    any_origin: bool
    limits: Limits
    calls: Calls
    session_model: str = DEFAULT_SESSION_MODEL
    beat: Beat = field(default_factory=Beat)
    witnesses: Witnesses = field(default_factory=Witnesses)
    lives: Lives = field(default_factory=Lives)
    mint_id: Callable[[str], str] = new_id
    idle_s: float | None = None

    async def serve(self, websocket: WebSocket) -> None:
        """One connection, from its handshake to its close."""
        shown = guard.handshake(websocket)
        await websocket.accept(subprotocol=dialects.subprotocol(shown.subprotocols))
        try:
            who = await guard.admit(websocket, self.keys, any_origin=self.any_origin)
            minted = None if who.configuration is None else minting.unpack(who.configuration)
            if call_id := shown.query.get("call_id"):
                await self._attach(websocket, shown, call_id, who, minted)
                return
            back = shown.query.get("resume")
            life = self.lives.find(back, who) if back else None
            choice = None if life else dialects.choose(shown, self.find_model, minted)
            if life is not None and not self.limits.draining:
                await life.make_way()
            line: SocketLine | None = None
            try:
                async with self.limits.session(who, addresses.of(websocket)) as meter:
                    if life is None:
                        assert choice is not None
                        life, line = self._open(websocket, who, choice)
                    else:
                        line = self._go_on(websocket, who, life, shown.query.get("after"))
                    life.charge_to(meter)
                    ended = await line.serve()
            finally:
                if line is not None:
                    line.freed.set()
            if ended is not None:  # said when it is no session of its key any more, for the next one may follow at once
                await websocket.close(ended.code, ended.reason)
        except WebSocketDisconnect:
            pass  # while a frame was being sent
        except (CallerError, InternalError) as error:
            await refuse(websocket, error)
        except StorageError as error:
            await refuse(websocket, status.unavailable(requests.id_of(websocket), error))
        except OperatorError as error:
            log.error("%s", error.message)
            await refuse(websocket, InternalError("The server cannot tell who may connect. Its log says why."))
        except Exception as error:
            await refuse(websocket, status.failure(requests.id_of(websocket), error))

    async def _attach(
        self,
        websocket: WebSocket,
        shown: dialects.Handshake,
        call_id: str,
        who: Principal,
        minted: dialects.Choice | None,
    ) -> None:
        """Beside a call that goes on by WebRTC."""
        call = self.calls.find(call_id, who)
        beta = dialects.is_beta(shown) or (minted is not None and minted.dialect == "beta")
        log.info("%s is listened to by %s (%s)", call.session.id, who.name, requests.id_of(websocket))
        await sideband.attach(websocket, _frames(websocket), call, "beta" if beta else "ga")

    def _open(self, websocket: WebSocket, who: Principal, choice: dialects.Choice) -> tuple[Life, SocketLine]:
        """A session that begins, and its client's line to it."""
        expires_at = int(time.time() + self.lifetime_s)
        view = SessionView(self.mint_id("sess"), expires_at, choice.settings, self.session_model)
        request_id, kind = requests.id_of(websocket), choice.settings.kind
        log.info("%s opened: %s %s by %s (%s)", view.id, choice.dialect, kind, who.name, request_id)
        model, name = choice.settings.model, who.name
        opened = Opened(view.id, "websocket", who.key_id, model, key_name=name, position=lambda: life.position)
        life = self.lives.new(who.key_id, choice.dialect, self.witnesses.of(opened))
        session = Session(
            view,
            find_model=self.find_model,
            new_id=new_id,
            now=asyncio.get_running_loop().time(),
            lifetime_s=self.lifetime_s,
            charge=life.charge,
        )
        line = SocketLine(websocket, life, idle_s=self.idle_s)
        life.begin(session, self.compute, self.beat, line)
        self.lives.keep(life)
        return life, line

    def _go_on(self, websocket: WebSocket, who: Principal, life: Life, after: str | None) -> SocketLine:
        """The line of a client that was cut off. Raises NotFoundError if the session has ended meanwhile."""
        life = self.lives.find(life.session_id, who)
        log.info("%s goes on for %s (%s)", life.session_id, who.name, requests.id_of(websocket))
        line = SocketLine(websocket, life, idle_s=self.idle_s)
        life.resume(line, after)
        return line


async def refuse(websocket: WebSocket, error: CallerError | InternalError) -> None:
    """Say why, and close: for good, if it is the caller's fault. The socket has been accepted."""
    match error:
        case AuthError():
            code = CLOSE_AUTH
        case DrainingError():
            code = CLOSE_RESTART
        case RateLimitError() | UnavailableError():
            code = CLOSE_BUSY
        case CallerError():
            code = CLOSE_REQUEST
        case InternalError():
            code = CLOSE_FAULT
    context.failed(error.code or error.type)
    log.info("connection refused: %s (%s)", error.code or error.message, requests.id_of(websocket))
    try:
        await websocket.send_text(events.error(error, None, new_id))
        await websocket.close(code, ".".join(part for part in (error.type, error.code) if part))
    except WebSocketDisconnect:
        pass


async def _frames(websocket: WebSocket) -> AsyncIterator[str | bytes]:
    while websocket.client_state is not WebSocketState.DISCONNECTED:
        message = await websocket.receive()
        if message["type"] != "websocket.receive":
            return
        text: str | None = message.get("text")
        yield text if text is not None else bytes(message["bytes"])


async def wrong_path(websocket: WebSocket) -> None:
    """Any other WebSocket URL: say which one is right."""
    await websocket.accept(subprotocol=dialects.subprotocol(guard.subprotocols(websocket)))
    message = f"There is no WebSocket at '{websocket.url.path}'. Connect to /v1/realtime?intent=transcription."
    await refuse(websocket, CallerError(message, code="unknown_url"))
