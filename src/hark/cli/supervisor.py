"""The supervisor of `hark serve --workers N`: the process that a person starts, above N gateways.

It alone listens. Each connection goes to the gateway with the least to do, for sessions last long: kernels that share a
port among processes do it by chance, or by who is quickest to wake. What holds for all gateways is asked here
(edge/channel.py).

Rule: none of them starts without all of them; after that, one that ends is started again, ever later if it goes on
ending, and nobody else notices. They are started as programs of their own and never forked. Refuses: systems on which
processes cannot hand each other a socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from itertools import count
from typing import Any, Final

from msgspec import json

from hark.app import check
from hark.auth.limits import Register
from hark.cli.reload import plain
from hark.config import Settings
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
from hark.edge.door import Door, most_connections
from hark.edge.nodes import keys_of
from hark.edge.server import listen, url_of
from hark.errors import OperatorError

log = logging.getLogger("hark.serve")

PROGRAM: Final = (sys.executable, "-P", "-c", "from hark.cli.gateway import main; main()")
# A gateway that ended is replaced after this time, twice as long each time that it does not live for SOUND_S.
FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0
SOUND_S: Final = 60.0
# For all to be gone, when told to stop and after their drain time.
STOP_S: Final = 20.0
# Connections on their way to one gateway.
MOST_CARRIED: Final = 64
# For a gateway to say whether it can serve with settings that were read anew.
RENEW_S: Final = 20.0


class _Gateway:
    """A process, from its start to its end."""

    def __init__(self, index: int, process: Process) -> None:
        self.index = index
        self.process = process
        self.channel: Channel
        self.ready = False
        self.failure: str | None = None
        self.began = asyncio.get_running_loop().time()
        self.given = 0
        self.last = -1  # when it was given one, in connections of the server
        self.load = Load(0, 0)

    @property
    def open(self) -> int:
        """What it has to do, as far as is known here."""
        return self.load.open + self.given - self.load.given

    def takes(self, most: int) -> bool:
        """Whether it can be given a connection; `most` open ones are enough."""
        return self.ready and len(self.channel.carried) < MOST_CARRIED and self.open < most

    def give(self, connection: socket.socket, number: int) -> None:
        self.given += 1
        self.last = number
        self.channel.send(Connection(), connection)


@contextlib.asynccontextmanager
async def supervised(settings: Settings) -> AsyncIterator[Supervisor]:
    """Serve in `settings.workers` gateways while the context lasts; all are ready by then. Raises OperatorError if the
    system, the options, the port or whatever a gateway needs stand in the way."""
    if not hasattr(socket, "send_fds"):
        raise OperatorError(
            f"--workers {settings.workers}: on this system one process cannot hand a connection to another. Leave the "
            "option out, or run Hark on Linux or macOS."
        )
    check(settings, keys_of(settings))  # which makes the certificate too, so that gateways find one and the same
    supervisor = Supervisor(settings, listen(settings))
    try:
        await supervisor.start()
        yield supervisor
    finally:
        await supervisor.stop()


class Supervisor:
    """`listener` is closed by `stop`."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self.url = url_of(settings, listener)
        self._settings = settings
        self._listener = listener
        self._register = Register(settings.max_sessions, settings.max_sessions_per_address)
        self._gateways: dict[int, _Gateway] = {}
        self._starting = [asyncio.get_running_loop().create_future() for _ in range(settings.workers)]
        self._changed = asyncio.Event()
        self._numbers = count()
        self._tasks: list[asyncio.Task[None]] = []
        self._handing: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._renewing: dict[int, asyncio.Future[str]] = {}
        self._draining = Draining(on=False)

    async def start(self) -> None:
        """Raises OperatorError if a gateway cannot start."""
        self._listener.setblocking(False)
        self._tasks = [asyncio.create_task(self._keep(index)) for index in range(self._settings.workers)]
        await asyncio.gather(*self._starting)
        self._tasks.append(asyncio.create_task(self._accept()))

    async def stop(self) -> None:
        """End all gateways; those that are not done STOP_S after their drain time are killed. Meanwhile newcomers are
        answered, by whichever gateway still drains."""
        self._stopping.set()
        gateways = list(self._gateways.values())
        try:
            for gateway in gateways:
                with contextlib.suppress(ProcessLookupError):
                    (gateway.process.terminate if gateway.ready else gateway.process.kill)()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.drain_seconds + STOP_S):
                    await asyncio.gather(*(gateway.process.wait() for gateway in gateways))
        finally:
            self._listener.close()
            for gateway in gateways:
                with contextlib.suppress(ProcessLookupError):
                    gateway.process.kill()
            tasks = [*self._tasks, *self._handing, *self._starting]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def hush(self, on: bool) -> None:
        """Whether the gateways shall leave out of the log what becomes of sessions."""
        for gateway in self._gateways.values():
            gateway.channel.send(Quiet(on))

    async def renew(self, settings: Settings) -> None:
        """Serve with these settings. Raises OperatorError where any gateway cannot, and then none does."""
        keys_of(self._settings).keep_locked(settings.own_key)
        check(settings, keys_of(settings))  # which makes the certificate anew that a server makes for itself
        values = plain(settings)
        failures = await asyncio.gather(
            *(self._renew(each, values, apply=False) for each in self._gateways.values() if each.ready)
        )
        if failure := next(filter(None, failures), ""):
            raise OperatorError(failure)
        self._settings = settings  # those of gateways that start from now on
        self._register.allow(settings.max_sessions)
        for failure in await asyncio.gather(
            *(self._renew(each, values, apply=True) for each in self._gateways.values())
        ):
            if failure:
                log.error("a gateway goes on with the former settings: %s", failure)

    async def _renew(self, gateway: _Gateway, values: dict[str, object], *, apply: bool) -> str:
        """What the gateway has against it. One that ends has nothing: the next one starts with what is in force."""
        number = next(self._numbers)
        reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._renewing[number] = reply
        gateway.channel.send(Renew(number, values, apply))
        ended = asyncio.create_task(gateway.process.wait())
        try:
            either: set[asyncio.Future[Any]] = {reply, ended}
            await asyncio.wait(either, timeout=RENEW_S, return_when=asyncio.FIRST_COMPLETED)
            if reply.done():
                return await reply
            return "" if ended.done() else f"gateway {gateway.index} did not answer within {RENEW_S:.0f} s."
        finally:
            ended.cancel()
            del self._renewing[number]

    # ---- processes -----------------------------------------------------------------------------------------------

    async def _keep(self, index: int) -> None:
        """See that there is a gateway of this index."""
        wait_s = FIRST_WAIT_S
        while not self._stopping.is_set():
            try:
                gateway = await self._start(index)
            except OSError as error:
                if not self._starting[index].done():
                    message = (
                        f"A worker cannot be started: {error}. Allow more processes and files (ulimit -u, ulimit -n)."
                    )
                    self._starting[index].set_exception(OperatorError(message))
                    return
                log.error("gateway %d cannot be started: %s; tried again in %.1f s", index, error, wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                continue
            code = await gateway.process.wait()
            self._end(gateway)
            if self._stopping.is_set():
                return
            if not self._starting[index].done():
                how = f"One of the --workers ended {_how(code)} while it started. The log may say why."
                self._starting[index].set_exception(OperatorError(gateway.failure or how))
                return
            why = gateway.failure or f"ended {_how(code)}"
            if asyncio.get_running_loop().time() - gateway.began > SOUND_S:
                wait_s = FIRST_WAIT_S
            log.error(
                "gateway %d (process %d): %s; another one starts in %.1f s", index, gateway.process.pid, why, wait_s
            )
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _start(self, index: int) -> _Gateway:
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                *PROGRAM, stdin=asyncio.subprocess.PIPE, pass_fds=[theirs.fileno()]
            )
        except BaseException:
            ours.close()
            raise
        finally:
            channel = theirs.fileno()
            theirs.close()
        gateway = _Gateway(index, process)
        gateway.channel = Channel(
            ours, lambda message, came: self._hear(gateway, message, came), lambda: self._lose(gateway)
        )
        self._gateways[index] = gateway
        assert process.stdin is not None
        order = {"index": index, "channel": channel, "settings": plain(self._settings)}
        process.stdin.write(json.encode(order) + b"\n")  # and it stays open: its end is ours
        return gateway

    def _lose(self, gateway: _Gateway) -> None:
        """Its channel is closed: it takes no more, and its sessions are over or soon will be."""
        gateway.ready = False
        self._register.forget(gateway.index)
        while gateway.channel.carried:
            message, carried = gateway.channel.carried.popleft()
            if isinstance(message, Connection):
                self._again(carried)
            else:
                carried.close()
        self._changed.set()

    def _again(self, connection: socket.socket) -> None:
        """Give it to another gateway."""
        if self._stopping.is_set():
            connection.close()
            return
        task = asyncio.create_task(self._hand_over(connection))
        self._handing.add(task)
        task.add_done_callback(self._handing.discard)

    def _end(self, gateway: _Gateway) -> None:
        del self._gateways[gateway.index]
        gateway.channel.close()
        self._lose(gateway)

    # ---- connections ---------------------------------------------------------------------------------------------

    async def _accept(self) -> None:
        door = Door(self._listener)
        while True:
            await self._idlest()  # until there is one, who comes waits in the kernel
            await self._hand_over(await door.next())

    async def _hand_over(self, connection: socket.socket) -> None:
        try:
            gateway = await self._idlest()
        except asyncio.CancelledError:
            connection.close()
            raise
        gateway.give(connection, next(self._numbers))

    async def _idlest(self) -> _Gateway:
        """The gateway with the least to do, and of several the one that has waited longest for a connection. A gateway
        is allowed as many descriptors as this process."""
        most = most_connections() or sys.maxsize
        while True:
            fit = [each for each in self._gateways.values() if each.takes(most)]
            if fit:
                return min(fit, key=lambda each: (each.open, each.last))
            self._changed.clear()
            await self._changed.wait()

    # ---- messages ------------------------------------------------------------------------------------------------

    def _hear(self, gateway: _Gateway, message: Message, came: socket.socket | None) -> None:
        match message:
            case Ready():
                gateway.ready = True
                gateway.channel.send(self._draining)
                if not self._starting[gateway.index].done():
                    self._starting[gateway.index].set_result(None)
                else:
                    log.info("gateway %d (process %d) is there", gateway.index, gateway.process.pid)
            case Failed(why):
                gateway.failure = why
            case Leaving():
                gateway.ready = False
            case Load():
                gateway.load = message
            case Enter(number, key_id, address, most):
                refusal = self._register.enter(gateway.index, key_id, address, most)
                limits = {"key": most, "address": self._settings.max_sessions_per_address}
                limit = limits.get(refusal, self._settings.max_sessions)
                gateway.channel.send(Answer(number, refusal, limit or 0))
            case Left(key_id, address):
                self._register.leave(gateway.index, key_id, address)
            case Draining():
                self._draining = message  # for those that start from now on, too
                for each in self._gateways.values():
                    each.channel.send(message)
            case Renewed(number, failure) if number in self._renewing:
                self._renewing[number].set_result(failure)
            case Return() if came is not None:
                self._again(came)
            case Pass(to) if came is not None:
                self._pass(came, to)
            case _:
                pass
        self._changed.set()

    def _pass(self, came: socket.socket, to: int) -> None:
        owner = self._gateways.get(to)
        if owner is not None and owner.ready:
            owner.channel.send(Request(), came)
        else:
            came.close()


def _how(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"
