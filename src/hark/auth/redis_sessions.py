"""Sessions at once by key and by address, of all nodes that share a Redis.

    hark:nodes             node -> until when its sessions count, by the clock of Redis (a sorted set)
    hark:open:key:ID       node -> how many sessions of the key it has
    hark:open:address:…    … from the address

Rule: a node says how many it has, never one more or one less, so that what is said twice or late does no harm. Its
numbers count while its lease does: LEASE_S, renewed every BEAT_S in one command for all of them. So those of a node
that was killed are free after its lease, and nobody has to clean up. A node whose lease has ended, because it stood
still or was cut off, says all of its numbers anew. Only what has a limit is counted. One thread asks Redis, in order.
Where it does not answer, a key with a limit opens no session, and an address counts on each node alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from msgspec import structs

from hark.auth.limits import Refusal, Sessions, too_many, too_many_from_address
from hark.auth.principal import Principal
from hark.auth.redis_server import PREFIX, RedisServer
from hark.errors import OperatorError, StorageError

log = logging.getLogger("hark.keys")

LEASE_S: Final = 15
BEAT_S: Final = 5.0
# What a dead node had of a key that nobody uses any more is forgotten after the first; a living one says all of its
# numbers again after so many beats, three times as often.
_KEPT_S: Final = 3_600
_BEATS: Final = int(_KEPT_S / 3 / BEAT_S)

_NODES: Final = f"{PREFIX}nodes"
_NOW: Final = "local time = redis.call('TIME'); local now = time[1] + time[2] / 1000000\n"
# The node and its lease. Whether its numbers counted until now.
_RENEW: Final = f"""{_NOW}
local until_ = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return until_ > now and 1 or 0
"""
# The nodes, and then what limits; the node, how long numbers are kept, and for each limit it and the node's number with
# one more. Which limit stands against it, from 1; 0 if none does and it counts; -1 if the node's numbers do not.
_ENTER: Final = f"""{_NOW}
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0) <= now then return -1 end
for place = 2, #KEYS do
    local open, counts = tonumber(ARGV[2 * place]), redis.call('HGETALL', KEYS[place])
    for field = 1, #counts, 2 do
        local node = counts[field]
        if node ~= ARGV[1] then
            if tonumber(redis.call('ZSCORE', KEYS[1], node) or 0) > now then
                open = open + counts[field + 1]
            else
                redis.call('HDEL', KEYS[place], node)
            end
        end
    end
    if open > tonumber(ARGV[2 * place - 1]) then return place - 1 end
end
for place = 2, #KEYS do
    redis.call('HSET', KEYS[place], ARGV[1], ARGV[2 * place])
    redis.call('EXPIRE', KEYS[place], ARGV[2])
end
return 0
"""


class RedisSessions:
    """Those of this node and of all others. `most_per_address`: so many at once, whoever has them; None for any number.
    `beside`: who counts for this node alone, and without limits of keys and addresses."""

    def __init__(
        self, server: RedisServer, most_per_address: int | None = None, beside: Sessions | None = None
    ) -> None:
        self._server = server
        self._most_per_address = most_per_address
        self._beside = beside
        self._node = os.urandom(8).hex()
        self._thread = ThreadPoolExecutor(1, "hark-sessions")
        # The thread's alone:
        self._open = Counter[str]()
        self._untold: set[str] = set()  # whose numbers Redis may not have
        self._beats = 0
        self._ended = False

    async def enter(self, who: Principal, address: str) -> None:
        """Raises RateLimitError where one more would be too many, and StorageError where that cannot be known."""
        limits = self._limits(who, address)
        if limits:
            asked = self._thread.submit(self._enter, limits)
            try:
                refusal = await asyncio.wrap_future(asked)
            except asyncio.CancelledError:  # it may have entered all the same, and nobody will leave
                self._thread.submit(self._take_back, asked, limits)
                raise
            if refusal == "key":
                assert who.max_sessions is not None
                raise too_many(who.max_sessions)
            if refusal == "address":
                assert self._most_per_address is not None
                raise too_many_from_address(self._most_per_address)
        if self._beside is not None:
            try:
                await self._beside.enter(_unlimited(who), "")
            except BaseException:
                if limits:
                    self._thread.submit(self._leave, limits)
                raise

    def leave(self, who: Principal, address: str) -> None:
        if limits := self._limits(who, address):
            self._thread.submit(self._leave, limits)
        if self._beside is not None:
            self._beside.leave(_unlimited(who), "")

    async def keep(self) -> None:
        """See that what is open here counts, until cancelled; then it does no more."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await loop.run_in_executor(self._thread, self._beat)
                await asyncio.sleep(BEAT_S)
        finally:
            await loop.run_in_executor(self._thread, self._end)

    def _limits(self, who: Principal, address: str) -> dict[str, int]:
        """What stands against this one, by its name in Redis."""
        limits = {}
        if who.max_sessions is not None:
            limits[f"{PREFIX}open:key:{who.key_id}"] = who.max_sessions
        if self._most_per_address is not None and address:
            limits[f"{PREFIX}open:address:{address}"] = self._most_per_address
        return limits

    # ---- in the thread -------------------------------------------------------------------------------------------

    def _enter(self, limits: dict[str, int]) -> Refusal:
        """Whose limit stands against it; "" if none does, and it counts."""
        told = [value for name, most in limits.items() for value in (most, self._open[name] + 1)]
        try:
            found = self._ask_to_enter(limits, told)
            if found < 0:
                self._renew()
                found = self._ask_to_enter(limits, told)
        except StorageError:
            self._untold.update(limits)  # it may have counted
            if any(_is_key(name) for name in limits):
                raise
            found = next((place for place, name in enumerate(limits, 1) if self._open[name] >= limits[name]), 0)
        if found < 0:
            self._untold.update(limits)
        if found <= 0:
            self._open.update(limits.keys())
            return ""
        return "key" if _is_key(list(limits)[found - 1]) else "address"

    def _ask_to_enter(self, limits: dict[str, int], told: list[int]) -> int:
        return int(self._server.run(_ENTER, [_NODES, *limits], self._node, _KEPT_S, *told))

    def _take_back(self, asked: Future[Refusal], limits: dict[str, int]) -> None:
        if not asked.cancelled() and asked.exception() is None and not asked.result():
            self._leave(limits)

    def _leave(self, limits: dict[str, int]) -> None:
        for name in limits:
            self._open[name] -= 1
        self._untold.update(limits)
        self._tell_or_wait()

    def _beat(self) -> None:
        self._beats += 1
        try:
            self._renew()
        except OperatorError as error:
            if not isinstance(error, StorageError):  # of which the log has heard
                log.error("%s", error.message)
            return  # the next beat tries again
        if self._beats % _BEATS == 0:
            self._untold.update(self._open)
        self._tell_or_wait()

    def _renew(self) -> None:
        if not self._server.run(_RENEW, [_NODES], self._node, LEASE_S):
            self._untold.update(self._open)
            self._tell()

    def _tell_or_wait(self) -> None:
        if not self._ended:
            with suppress(StorageError):  # a beat tells it
                self._tell()

    def _tell(self) -> None:
        """Redis the numbers that it may not have."""
        told = list(self._untold)
        commands: list[tuple[str | bytes | int, ...]] = []
        for name in told:
            if self._open[name] > 0:
                commands += [("HSET", name, self._node, self._open[name]), ("EXPIRE", name, _KEPT_S)]
            else:
                commands.append(("HDEL", name, self._node))
        self._server.ask_all(commands)
        self._untold.difference_update(told)
        for name in told:
            if self._open[name] <= 0:  # there are as many addresses as there are strangers
                del self._open[name]

    def _end(self) -> None:
        self._ended = True
        with suppress(StorageError):  # its lease ends
            self._server.ask("ZREM", _NODES, self._node)


def _is_key(name: str) -> bool:
    return name.startswith(f"{PREFIX}open:key:")


def _unlimited(who: Principal) -> Principal:
    return structs.replace(who, max_sessions=None)
