"""The door: connections are accepted here, as long as there are descriptors for them.

Theory. A process has so many descriptors (`ulimit -n`), and a connection takes one. When none is left, accept() fails,
and so does all else that those who are in need one for: the key store, a file that is uploaded, an engine's process,
the port of a call. So a quarter of them is kept back, and who comes meanwhile waits in the kernel until somebody
leaves. The lowest free descriptor is the next one to be given out (POSIX, 2.14), which tells how many are in use.

Rule: whatever accept() says, it is called again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Final

try:
    from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit
except ImportError:  # Windows, where sockets are no descriptors
    _LIMITED = False
else:
    _LIMITED = True

log = logging.getLogger("hark.serve")

SHARE: Final = 0.75
# What is tried for. Some systems allow a billion, and programs that go through all of them take long then.
WANTED: Final = 65_536
AGAIN_S: Final = 0.2
SAID_AGAIN_S: Final = 60.0


def most_connections() -> int | None:
    """How many a process may have before it takes no more, None for any number."""
    if not _LIMITED:
        return None
    limit = getrlimit(RLIMIT_NOFILE)[0]
    return None if limit == RLIM_INFINITY else int(limit * SHARE)


def allow_descriptors() -> None:
    """As many as the system lets this process have, and those that it starts: shells allow 1,024 as a rule."""
    if not _LIMITED:
        return
    soft, hard = getrlimit(RLIMIT_NOFILE)
    wanted = WANTED if hard == RLIM_INFINITY else min(hard, WANTED)
    if soft != RLIM_INFINITY and soft < wanted:
        try:
            setrlimit(RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:  # macOS has another bound of its own
            log.debug("%d descriptors, and no more: %s", soft, error)


class Door:
    """`listener` does not block, and stays its owner's."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._said = -SAID_AGAIN_S

    async def next(self) -> socket.socket:
        """The next connection, once there is room for it."""
        while True:
            if self._is_full():
                self._say("no more connections are accepted until some end: nearly all descriptors are in use")
                await asyncio.sleep(AGAIN_S)
                continue
            try:
                return (await self._loop.sock_accept(self._listener))[0]
            except ConnectionError:
                continue
            except OSError as error:
                self._say(f"cannot accept a connection: {error}")
                await asyncio.sleep(AGAIN_S)

    def _is_full(self) -> bool:
        most = most_connections()
        if most is None:
            return False
        try:
            lowest_free = os.dup(self._listener.fileno())
        except OSError:
            return True
        os.close(lowest_free)
        return lowest_free >= most

    def _say(self, what: str) -> None:
        now = self._loop.time()
        if now - self._said >= SAID_AGAIN_S:
            self._said = now
            log.error("%s; allow more of them (ulimit -n)", what)


async def keep(listener: socket.socket, adopt: Callable[[socket.socket], Awaitable[None]]) -> None:
    """Give every connection to `adopt`, until cancelled."""
    listener.setblocking(False)
    door, tasks = Door(listener), set[asyncio.Task[None]]()

    async def greet(connection: socket.socket) -> None:
        try:
            await adopt(connection)
        except OSError as error:  # it broke off, or speaks no TLS where it should
            logging.getLogger("hark.http").debug("a connection was not made: %s", error)
            connection.close()

    try:
        while True:
            task = asyncio.create_task(greet(await door.next()))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
