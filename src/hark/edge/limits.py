"""The limits of a key and of an address, at the door and on the way: sessions at once, and audio in an hour; and those
of the server.

Rule: all transports ask here. The audio of a key is counted in the store, so that it outlasts the process and holds
for all processes that share the store; what was heard is written every few seconds of it, in a thread of its own, and
until then this process counts it alone. If it cannot be written, sessions go on, and it is tried again a little later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar

from hark.auth.limits import OpenSessions, Sessions
from hark.auth.places import KeyStore
from hark.auth.principal import Principal
from hark.auth.usage import Account
from hark.core.work import SAMPLE_RATE
from hark.edge.admission import Admission
from hark.edge.lookups import look_up
from hark.errors import CallerError, DrainingError, OperatorError, OverloadedError, RateLimitError

log = logging.getLogger("hark.session")

T = TypeVar("T")
SAVED_EVERY_SAMPLES: Final = 5 * SAMPLE_RATE
AGAIN_S: Final = 5.0  # after the store could not be written to


class Meter:
    """The audio of one session. Without a stored key nothing is counted. `over` is called when no more will come."""

    def __init__(self, limits: Limits, account: Account | None = None, over: Callable[[], None] = lambda: None) -> None:
        self._limits = limits
        self._account = account
        self._over = over
        self._holders = 1
        self._unsaved_samples = 0
        self._reserved = 0
        self._samples = 0

    def position(self) -> int:
        """How many samples the session has taken in."""
        return self._samples

    def charge(self, samples: int) -> CallerError | None:
        """Count samples that were taken in; what to say if they were too many, or of a key that was revoked."""
        self._samples += samples
        if self._account is None:
            return None
        now = self._limits.clock()
        self._account.add(samples, now)
        if self._reserved:
            self._reserve(max(0, self._reserved - samples))
        self._unsaved_samples += samples
        if self._unsaved_samples >= SAVED_EVERY_SAMPLES:
            self._unsaved_samples = 0
            self._limits.save()
        return self._account.overdrawn(now)

    def expect(self, samples: int) -> None:
        """So many will come, and nobody else of this process may have them. Raises CallerError if they are too many."""
        if self._account is not None:
            self._account.expect(samples, self._limits.clock())
            self._reserve(samples)

    def hold(self) -> None:
        """Audio will be charged by one more, who closes it too: a session goes on when its connection is lost."""
        self._holders += 1

    def close(self) -> None:
        """No more will come, from one of those that hold it."""
        self._holders -= 1
        if not self._holders:
            self._reserve(0)
            self._over()

    def _reserve(self, samples: int) -> None:
        if self._account is not None:
            self._account.reserved += samples - self._reserved
            self._reserved = samples


class Limits:
    """Those of every key, for this process. `clock` gives Unix seconds; `admission`: whether the server has room;
    `sessions`: who counts those at once, if not this process alone; `refused` is told what there was too little of."""

    def __init__(
        self,
        store: KeyStore,
        clock: Callable[[], float] = time.time,
        admission: Admission | None = None,
        sessions: Sessions | None = None,
        refused: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._refused = refused
        self.clock = clock
        self.open = 0  # sessions, for this process
        self.draining = False  # whether no more begin
        self._admission = admission
        self._store = store
        self._sessions = sessions or OpenSessions()
        self._accounts: dict[str, Account] = {}
        self._users: dict[str, int] = {}
        self._thread = ThreadPoolExecutor(1, "hark-usage")
        self._saving: asyncio.Task[None] | None = None
        self._again = False
        self._later: asyncio.TimerHandle | None = None  # the store could not be written to
        self._stopped = False

    @asynccontextmanager
    async def session(self, who: Principal, address: str = "", *, live: bool = True) -> AsyncIterator[Meter]:
        """One session of theirs, while it lasts. Raises RateLimitError, and OperatorError if the store is broken.
        `address`: where they call from, as edge/addresses.py writes it; `live`: somebody speaks now."""
        if self.draining:
            with self._told("draining"):
                raise DrainingError
        async with self._entered(who, address, live=live):
            meter = await self._meter(who)
            try:
                yield meter
            finally:
                meter.close()

    async def _meter(self, who: Principal) -> Meter:
        """Raises RateLimitError if nothing is left of the hour."""
        if not who.stored:
            return Meter(self)
        self._users[who.key_id] = self._users.get(who.key_id, 0) + 1

        def over() -> None:
            self._users[who.key_id] -= 1
            self.save()

        try:
            with self._told("audio"):
                return Meter(self, await self._account(who), over)
        except BaseException:
            over()
            raise

    @asynccontextmanager
    async def _entered(self, who: Principal, address: str, *, live: bool) -> AsyncIterator[None]:
        with self._told("at_once"):
            await self._sessions.enter(who, address)
        self.open += 1
        try:
            if self._admission is None:
                yield
                return
            with self._told("server"):
                self._admission.enter(live=live)
            try:
                yield
            finally:
                self._admission.leave()
        finally:
            self.open -= 1
            self._sessions.leave(who, address)

    @contextmanager
    def _told(self, limit: str) -> Iterator[None]:
        """Who is turned away here is for want of this, if nothing more exact is known."""
        try:
            yield
        except RateLimitError as error:
            self._refused(error.limit if isinstance(error, OverloadedError) else limit)
            raise

    def save(self) -> None:
        """Write down soon what was heard since the last time."""
        if self._stopped or self._later is not None:
            return
        if self._saving is None:
            self._saving = asyncio.create_task(self._save())
        else:
            self._again = True

    def _save_again(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self.save()

    async def stop(self) -> None:
        """Write down the rest. No session begins after this."""
        self._save_again()
        self._stopped = True
        while self._saving is not None:
            await asyncio.wait({self._saving})
        self._thread.shutdown(wait=False)

    async def _account(self, who: Principal) -> Account:
        """With what other processes have written meanwhile. Raises RateLimitError if nothing is left of the hour."""
        hours = await look_up(lambda: self._store.audio(self.clock(), [who.key_id]))
        account = self._accounts.setdefault(who.key_id, Account(who.audio_minutes_per_hour))
        account.learn(hours[who.key_id], {})
        account.check(self.clock())
        return account

    async def _save(self) -> None:
        """All keys in one go, and again if more was heard meanwhile."""
        try:
            while True:
                self._again = False
                await self._save_once()
                if not self._again:
                    return
        except OperatorError as error:
            log.error("audio is not counted in the store: %s", error.message)
            # Or what nobody adds to would never be.
            self._later = asyncio.get_running_loop().call_later(AGAIN_S, self._save_again)
        finally:
            self._saving = None

    async def _save_once(self) -> None:
        batch = {key_id: dict(account.unsaved) for key_id, account in self._accounts.items() if account.unsaved}
        if batch:
            heard = {(key, minute): samples for key, buckets in batch.items() for minute, samples in buckets.items()}

            def write() -> tuple[dict[str, dict[int, int]], set[str]]:
                now = self.clock()
                self._store.add_audio(heard, now)
                return self._store.audio(now, list(batch)), self._store.revoked(list(batch))

            hours, revoked = await self._in_thread(write)
            for key_id, saved in batch.items():
                self._accounts[key_id].learn(hours[key_id], saved)
                self._accounts[key_id].revoked = key_id in revoked
        for key_id in [key_id for key_id, users in self._users.items() if not users]:
            del self._users[key_id]
            account = self._accounts.get(key_id)
            if account is not None and not account.unsaved:
                del self._accounts[key_id]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
