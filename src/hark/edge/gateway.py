"""A gateway: one of several processes that serve one port, and what it shares with the others through the supervisor.

Rule: whatever is remembered in one process and must hold for all of them goes through here. Sessions at once are
counted by the supervisor, which forgets those of a process that died. A call stays in the process that took its offer;
its id says which that is, and requests about it are passed on there (relay.py). All else is signed, is in the store, or
belongs to one connection.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any, Final, TypeAlias

from hark.auth.limits import Refusal, too_many, too_many_from_address
from hark.auth.principal import Principal
from hark.edge.admission import no_room
from hark.edge.channel import (
    Answer,
    Channel,
    Connection,
    Draining,
    Enter,
    Failed,
    Leaving,
    Left,
    Load,
    Message,
    Pass,
    Quiet,
    Ready,
    Renew,
    Renewed,
    Request,
    Return,
)
from hark.edge.ids import new_id
from hark.errors import RateLimitError

# How often the supervisor hears how much is open here; what it gave since then it counts itself.
REPORT_S: Final = 0.25
# For what others wait for here, once this gateway ends.
PATIENCE_S: Final = 2.0
_OWNED_ID: Final = re.compile(r"(?:rtc|sess)_([0-9a-f]{2})[0-9a-f]{20}")

Stream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_Asked: TypeAlias = tuple[asyncio.Future[tuple[Refusal, int]], Left]


class Gateway:
    """The gateway number `index` at its `end` of the channel. `lost`: the supervisor is gone; `quiet`: it wants the log
    to leave out what becomes of sessions, or not any more; `renew`: it has read settings anew, to be looked at or, if
    True, applied; gives what stands against that."""

    def __init__(
        self,
        index: int,
        end: socket.socket,
        *,
        lost: Callable[[], None],
        quiet: Callable[[bool], None],
        renew: Callable[[dict[str, Any], bool], str],
    ) -> None:
        self.index = index
        self._tell_lost = lost
        self._quiet = quiet
        self._renew = renew
        self._channel = Channel(end, self._hear, self._lose)
        self._numbers = count()
        self._asked: dict[int, _Asked] = {}
        self._given = 0
        self._adopt: Callable[[socket.socket], Awaitable[None]] | None = None
        self._answer: Callable[[Stream], Awaitable[None]] | None = None
        self.drain: Callable[[bool], None] | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._requests: set[asyncio.Task[None]] = set()

    # ---- connections ---------------------------------------------------------------------------------------------

    async def serve(
        self,
        adopt: Callable[[socket.socket], Awaitable[None]],
        answer: Callable[[Stream], Awaitable[None]],
        how_many: Callable[[], int],
    ) -> None:
        """Until cancelled, say what is open here. `adopt` is given clients, `answer` requests of other gateways."""
        self._adopt, self._answer = adopt, answer
        self._channel.send(Ready())
        told = Load(0, 0)
        while True:
            await asyncio.sleep(REPORT_S)
            if (now := Load(self._given, how_many())) != told:
                self._channel.send(now)
                told = now

    def tell_draining(self, on: bool) -> None:
        """Say to all gateways, this one too, whether the server drains."""
        self._channel.send(Draining(on))

    def fail(self, message: str) -> None:
        """It cannot start."""
        self._channel.send(Failed(message))

    def leave_service(self) -> None:
        """No more clients; those that are on their way go to another gateway."""
        self._adopt = None
        self._channel.send(Leaving())

    async def stop(self) -> None:
        """When all calls have ended: let requests about them end too, and be gone for the supervisor."""
        tasks = self._clients | self._requests
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._channel.close()
        self._let_go()

    def _hear(self, message: Message, came: socket.socket | None) -> None:
        match message:
            case Connection():
                self._given += 1
                if came is not None:
                    self._start(self._clients, self._greet(came))
            case Request() if came is not None:
                self._start(self._requests, self._take(came))
            case Answer(number, refusal, most):
                reply, left = self._asked.pop(number)
                if not reply.cancelled():
                    reply.set_result((refusal, most))
                elif not refusal:
                    self._channel.send(left)
            case Quiet(on):
                self._quiet(on)
            case Draining(on) if self.drain is not None:
                self.drain(on)
            case Renew(number, settings, apply):
                self._channel.send(Renewed(number, self._renew(settings, apply)))
            case _:
                pass

    def _start(self, tasks: set[asyncio.Task[None]], work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _greet(self, came: socket.socket) -> None:
        if self._adopt is None:
            self._channel.send(Return(), came)
            return
        try:
            await self._adopt(came)
        except OSError as error:  # it broke off, or speaks no TLS where it should
            logging.getLogger("hark.http").debug("a connection was not made: %s", error)
            came.close()

    async def _take(self, came: socket.socket) -> None:
        if self._answer is None:
            came.close()
        else:
            await self._answer(await asyncio.open_unix_connection(sock=came))

    def _lose(self) -> None:
        for reply, _ in self._asked.values():
            if not reply.done():
                reply.set_exception(_stopped())
        self._asked.clear()
        self._let_go()
        self._tell_lost()

    def _let_go(self) -> None:
        while self._channel.carried:
            self._channel.carried.popleft()[1].close()

    # ---- sessions at once ----------------------------------------------------------------------------------------

    async def enter(self, who: Principal, address: str) -> None:
        """Raises RateLimitError where one more would be too many, for the key, the address or the server."""
        if not self._channel.open:  # nobody would ever answer
            raise _stopped()
        reply: asyncio.Future[tuple[Refusal, int]] = asyncio.get_running_loop().create_future()
        number = next(self._numbers)
        self._asked[number] = reply, Left(who.key_id, address)
        self._channel.send(Enter(number, who.key_id, address, who.max_sessions))
        refusal, most = await reply
        match refusal:
            case "key":
                raise too_many(most)
            case "address":
                raise too_many_from_address(most)
            case "server":
                raise no_room(f"--max-sessions allows {most}")
            case "":
                pass

    def leave(self, who: Principal, address: str) -> None:
        self._channel.send(Left(who.key_id, address))

    async def keep(self) -> None:
        """The supervisor does."""

    # ---- what is here alone --------------------------------------------------------------------------------------

    def new_id(self, prefix: str) -> str:
        """Of a call or a session: one that says where it is."""
        return new_id(prefix).replace("_", f"_{self.index:02x}")

    def owner(self, owned_id: str) -> int | None:
        """The index of the gateway that has this call or session, if it has one and is not this."""
        found = _OWNED_ID.fullmatch(owned_id)
        index = int(found[1], 16) if found else self.index
        return None if index == self.index else index

    async def reach(self, index: int) -> Stream:
        """A stream to the gateway of this index. It ends at once if there is none."""
        own, other = socket.socketpair()
        self._channel.send(Pass(index), other)
        return await asyncio.open_unix_connection(sock=own)


def _stopped() -> RateLimitError:
    return RateLimitError("The server is being stopped. Call again when it is back.", retry_after_s=5)
