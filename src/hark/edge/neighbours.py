"""A node: one of several servers behind a load balancer, which reach each other for what only one of them has.

Whatever belongs to a call or a session lives on the node where it began, and requests about it may land on any. The id
says which node that is (homes.py); the one that is asked passes the request on to it, and the answer back, by the
relay that workers of one server use too (relay.py). Its messages go over a WebSocket to the other node's own port, each
in binary frames of at most PIECE_BYTES, whose first byte says whether more of it follows. The node that answers sends
an empty frame each BEAT_S: where nothing comes for SILENCE_S, it is gone or hangs.

Rule: nothing is told to a node that has not shown that it holds the signing keys, and nothing believed of one. What is
passed on is about what this node has, and is never passed on to another. A stranger finds no such URL here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final, Protocol

from msgspec import msgpack
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from hark.config import Settings
from hark.edge import homes, relay
from hark.edge.gateway import Gateway
from hark.edge.homes import Address, Home
from hark.edge.lookups import look_up
from hark.edge.websocket import wrong_path
from hark.errors import HarkError

log = logging.getLogger("hark.http")

PATH: Final = "/relay"
SCHEME: Final = "Node"
PROOF: Final = "hark-node"
# For a node to take a connection and to show what it is.
CONNECT_S: Final = 2.0
BEAT_S: Final = 1.0
SILENCE_S: Final = 5.0
PIECE_BYTES: Final = 1024 * 1024
# How often the key that signs is looked up; it is needed where nobody can wait for that.
LOOK_S: Final = 5.0
_LAST, _MORE = b"\0", b"\1"


class Signing(Protocol):
    """The signing keys that all nodes share. They may have to be asked for. Raises HarkError."""

    def to_sign(self) -> bytes: ...

    def to_verify(self) -> Sequence[bytes]: ...


class Node:
    """This server as others see it, at its `address`; `gateway`: this process is one of its workers. Raises
    OperatorError where there can be no signing keys."""

    def __init__(
        self,
        address: Address,
        keys: Signing,
        gateway: Gateway | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._address = address
        self._keys = keys
        self._gateway = gateway
        self._clock = clock
        self._here: ASGIApp | None = None
        self._trust = ssl.create_default_context() if address.tls else None
        self._key = keys.to_sign()

    async def keep(self) -> None:
        """Until cancelled, know which key signs."""
        while True:
            await asyncio.sleep(LOOK_S)
            with contextlib.suppress(HarkError):  # the last one does until there is another
                self._key = await look_up(self._keys.to_sign)

    def new_id(self, prefix: str) -> str:
        """Of a call or a session: one that says where it is."""
        home = Home(self._address, self._gateway.index if self._gateway else 0)
        return homes.seal(home, prefix, self._key)

    def around(self, app: ASGIApp) -> ASGIApp:
        """`app` as clients meet it: what other nodes or other workers have is there too."""
        gateway = self._gateway
        here = relay.passing(app, self._worker, lambda index: relay.reach(gateway, index)) if gateway else app
        self._here = here
        return relay.passing(here, self._elsewhere, self._reach)

    def routes(self) -> Sequence[BaseRoute]:
        return [WebSocketRoute(PATH, self.answer)]

    # ---- where things are ----------------------------------------------------------------------------------------

    async def _home(self, owned_id: str) -> Home | None:
        if not homes.is_sealed(owned_id):
            return None
        found = homes.unseal(owned_id, await self._keys_that_count())
        if found is None:
            log.info("an id that no signing key of this server has sealed: do the nodes share theirs?")
        return found

    async def _keys_that_count(self) -> Sequence[bytes]:
        try:
            return await look_up(self._keys.to_verify)
        except HarkError as error:  # what is here is found all the same
            log.error("%s", error.message)
            return []

    async def _elsewhere(self, owned_id: str) -> Address | None:
        home = await self._home(owned_id)
        return None if home is None or home.address == self._address else home.address

    async def _worker(self, owned_id: str) -> int | None:
        assert self._gateway is not None
        home = await self._home(owned_id)
        ours = home is not None and home.address == self._address and home.worker != self._gateway.index
        return home.worker if home is not None and ours else None

    # ---- asking --------------------------------------------------------------------------------------------------

    async def _reach(self, address: Address) -> relay.Line:
        """A line to this node; one that has ended, if it does not answer or is none of ours."""
        url = f"ws{str(address).removeprefix('http')}{PATH}"
        try:
            key = await look_up(self._keys.to_sign)
            token = homes.token(address, key, self._clock())
            connection = await _Connect(
                url,
                additional_headers={"authorization": f"{SCHEME} {token}"},
                compression=None,
                max_size=PIECE_BYTES + 1,
                open_timeout=CONNECT_S,
                ping_interval=None,  # behind what the other node does not read yet no ping is answered
                proxy=None,
                ssl=(self._trust or ssl.create_default_context()) if address.tls else None,
                user_agent_header=None,
            )
        except (OSError, WebSocketException, HarkError) as error:
            log.warning("the node at %s cannot be reached: %s", address, str(error) or type(error).__name__)
            return _Ended()
        if connection.response is None or connection.response.headers.get(PROOF) != homes.answer_to(token, key):
            connection.transport.abort()
            log.warning("the node at %s and this one do not know each other: do their signing keys differ?", address)
            return _Ended()
        return _Asking(connection, address)

    # ---- being asked ---------------------------------------------------------------------------------------------

    async def answer(self, websocket: WebSocket) -> None:
        """Another node asks; to anybody else there is nothing here."""
        scheme, _, shown = websocket.headers.get("authorization", "").partition(" ")
        keys = await self._keys_that_count() if scheme == SCHEME else []
        proof = homes.proof(shown, self._address, keys, self._clock())
        if proof is None:
            await wrong_path(websocket)
            return
        await websocket.accept(headers=[(PROOF.encode(), proof.encode())])
        line = _Answering(websocket)
        beating = asyncio.create_task(line.beat())
        try:
            await relay.answer(self._ours, line)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        with contextlib.suppress(OSError, RuntimeError, WebSocketDisconnect):
            await websocket.close()

    async def _ours(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request about what is here; any other has no business to come this way, and gets no answer."""
        home = await self._home(relay.owned(scope))
        if self._here is not None and home is not None and home.address == self._address:
            scope["state"] = {"request_id": str(scope["state"]["request_id"])}
            await self._here(scope, receive, send)


def of(settings: Settings, keys: Signing, gateway: Gateway | None) -> Node | None:
    """None without --node-address. Raises OperatorError."""
    found = address_of(settings)
    return None if found is None else Node(found, keys, gateway)


def address_of(settings: Settings) -> Address | None:
    """Raises OperatorError where it is none."""
    return homes.address(settings.node_address, tls=settings.tls) if settings.node_address else None


async def keep(node: Node | None) -> None:
    """What `node` has to do meanwhile."""
    if node is not None:
        await node.keep()


def within(app: ASGIApp, gateway: Gateway | None, node: Node | None) -> ASGIApp:
    """`app`, and whatever other workers and other nodes have."""
    if node is not None:
        return node.around(app)
    return app if gateway is None else relay.between(app, gateway)


def pieces(message: Mapping[str, Any]) -> Iterator[bytes]:
    """A message as frames."""
    body = msgpack.encode(message)
    last = max(0, len(body) - 1) // PIECE_BYTES * PIECE_BYTES
    for at in range(0, last, PIECE_BYTES):
        yield _MORE + body[at : at + PIECE_BYTES]
    yield _LAST + body[last:]


class _Whole:
    """Frames, put together."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, frame: bytes) -> MutableMapping[str, Any] | None:
        """The message that ends with this frame, if one does. Raises msgspec.DecodeError."""
        if not frame:
            return None
        self._parts.append(frame[1:])
        if frame[:1] == _MORE:
            return None
        body, self._parts = b"".join(self._parts), []
        return msgpack.decode(body, type=dict[str, Any])


class _Connect(connect):
    """To this address and no other: what has it by now may be anybody's program, and leads nowhere."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Ended:
    """A line to nobody."""

    async def send(self, message: Mapping[str, Any]) -> None:
        raise ConnectionResetError

    async def receive(self) -> MutableMapping[str, Any] | None:
        return None

    def close(self) -> None:
        pass


class _Asking:
    """The line of the node that asks."""

    def __init__(self, connection: ClientConnection, address: Address) -> None:
        self._connection = connection
        self._address = address
        self._whole = _Whole()
        self._silent = False

    async def send(self, message: Mapping[str, Any]) -> None:
        try:
            for piece in pieces(message):
                await self._connection.send(piece)
        except ConnectionClosed:
            raise ConnectionResetError from None

    async def receive(self) -> MutableMapping[str, Any] | None:
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    frame = await self._connection.recv(decode=False)
                if (message := self._whole.add(frame)) is not None:
                    return message
        except ConnectionClosed:
            return None
        except TimeoutError:
            self._silent = True
            log.warning("the node at %s has been silent for %.0f s", self._address, SILENCE_S)
            return None

    def close(self) -> None:
        """What was sent is still read, but by one that hangs."""
        (self._connection.transport.abort if self._silent else self._connection.transport.close)()


class _Answering:
    """The line of the node that is asked."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._whole = _Whole()
        self._over = False

    async def send(self, message: Mapping[str, Any]) -> None:
        try:
            for piece in pieces(message):
                await self._websocket.send_bytes(piece)
        except (RuntimeError, WebSocketDisconnect):
            raise ConnectionResetError from None

    async def receive(self) -> MutableMapping[str, Any] | None:
        while not self._over:
            message = await self._websocket.receive()
            self._over = message["type"] != "websocket.receive"
            if not self._over and (whole := self._whole.add(message.get("bytes") or b"")) is not None:
                return whole
        return None

    def close(self) -> None:
        pass  # which takes a moment

    async def beat(self) -> None:
        with contextlib.suppress(OSError, RuntimeError, WebSocketDisconnect):
            while True:
                await asyncio.sleep(BEAT_S)
                await self._websocket.send_bytes(b"")
