"""How long a connection may take to say what it wants: a client that sends a byte a second holds none for ever.

Theory. HTTP over one connection is in one of three stages. `head`: the head of a request is awaited, which has HEAD_S,
whatever has come of it. `body`: the rest of a request comes, which has to be LEAST_BYTES in each WINDOW_S, those aside
in which we ourselves did not read. `rest`: a request has come whole, and is answered or was; uvicorn ends a connection
that is silent then. A WebSocket's handshake is a head; what follows it is no business of this file.

Rule: what can still be answered is, with 408 and the envelope of an error. A connection that has not said anything yet
is closed without a word (RFC 9110, 15.5.9, leaves that open): browsers open some on suspicion. Many that say nothing
are pushed out by newer ones of their own address, so that they take no room from others.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final, Literal, TypeAlias

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from hark.edge import addresses, unreadable
from hark.errors import CallerError

# For the head of a request, for the handshake of TLS before it, and for that of a WebSocket, which is a head.
HEAD_S: Final = 20.0
WINDOW_S: Final = 20.0
LEAST_BYTES: Final = 10_000
# A connection whose request was answered may be silent for so long before the next one begins.
KEPT_S: Final = 5
# Connections of one address that have sent no head for so long; the next one pushes the oldest out.
MOST_STRANGERS: Final = 64
STRANGE_S: Final = 2.0

Stage: TypeAlias = Literal["head", "body", "rest"]


class Strangers:
    """The connections that have not sent a whole head yet, by address, the oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[Http, float]] = {}

    def come(self, one: Http, address: str, now: float) -> None:
        there = self._waiting.setdefault(address, {})
        there[one] = now
        oldest = next(iter(there))
        if address and len(there) > MOST_STRANGERS and now - there[oldest] > STRANGE_S:
            self.known(oldest, address)
            oldest.give_up()

    def known(self, one: Http, address: str) -> None:
        """It has said what it wants, or is gone."""
        there = self._waiting.get(address, {})
        there.pop(one, None)
        if not there:
            self._waiting.pop(address, None)


class Http(unreadable.Http):
    """One connection that HTTP comes over."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        strangers: Strangers,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.timeout_keep_alive = KEPT_S
        self._strangers = strangers
        self._address = ""
        self._stage: Stage = "head"
        self._begun = False  # whether a head has, and not ended
        self._requests = 0  # that have come whole
        self._timer: asyncio.TimerHandle | None = None
        self._received = 0  # bytes since the window began
        self._excused = False  # whether we did not read when it began
        self._answered = False  # whether its answer had been given then
        self._over = False  # it is a WebSocket by now, or gone

    # ---- what happens to the connection --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = addresses.counted(self.client[0]) if self.client else ""
        self._strangers.come(self, self._address, self.loop.time())
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._leave()
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        before = self._stage, self._requests
        steps = self._steps
        self._received += len(data)
        super().data_received(data)
        if self._over:
            return
        if self._stage == "rest" and self._steps == steps:
            self._stage = "head"  # such as empty lines before a request
        if (self._stage, self._requests) != before:
            self._wait()

    def on_message_begin(self) -> None:
        self._stage, self._begun = "head", True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._stage, self._begun = "body", False
        self._strangers.known(self, self._address)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stage = "rest"
        self._requests += 1
        super().on_message_complete()

    # ---- patience ------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """The stage has just begun, or its window."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stage == "rest" or self.transport.is_closing():
            return
        self._received, self._excused, self._answered = 0, self._is_excused(), self._is_answered()
        self._timer = self.loop.call_later(HEAD_S if self._stage == "head" else WINDOW_S, self._look)

    def _look(self) -> None:
        if self._stage == "head":
            if self._asked is not None and not self._asked.response_complete:
                self._wait()  # what we say to the request before is not cut off
            else:
                self.give_up()
            return
        excused = self._excused or self._is_excused()
        if self._answered or (self._received < LEAST_BYTES and not excused):
            self.give_up()
        else:
            self._wait()

    @property
    def _asked(self) -> RequestResponseCycle | None:
        """The last request whose head has come; none if that asks for a WebSocket."""
        return self.cycle

    def _is_excused(self) -> bool:
        asked = self._asked
        return self.flow.read_paused or (asked is not None and asked.waiting_for_100_continue)

    def _is_answered(self) -> bool:
        return self._asked is not None and self._asked.response_complete

    def give_up(self) -> None:
        """Hang up, and say why if somebody may be listening."""
        if self.transport.is_closing():
            return
        silent = self._stage == "head" and not self._begun and not self._incomplete_bytes
        if silent or (self._stage == "body" and self._asked is not None and self._asked.response_started):
            self.transport.close()
            return
        what = "head" if self._stage == "head" else "body"
        message = (
            f"The {what} of this request came too slowly: expected the head within {HEAD_S:.0f} s, and of the body at "
            f"least {LEAST_BYTES // WINDOW_S:.0f} bytes a second. Send it again, faster."
        )
        self.refuse(HTTPStatus.REQUEST_TIMEOUT, CallerError(message, code="request_timeout"))

    def _leave(self) -> None:
        self._over = True
        self._strangers.known(self, self._address)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
