"""Who writes the journal: one thread, which takes what many sessions have to say into one commit, and keeps the days.

A commit waits for the disk, some milliseconds, and what comes meanwhile is in the next one: so three hundred sessions
wait for two commits at most, and the event loop for none. What need not be waited for (an item is committed, a session
is over) goes along with what is, or by itself after NOTE_S.

Rule: what comes has one order, and is kept until it is on disk: after a fault it is tried again every RETRY_S. How long
to wait for that is up to who waits, and may be given up. Refuses: more than MAX_WAITING.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Final

from msgspec import Struct

from hark.errors import OperatorError
from hark.journal.records import Closed, Entry
from hark.journal.store import Store, delete_step, give_back, put, transaction

log = logging.getLogger("hark.journal")

NOTE_S: Final = 1.0
RETRY_S: Final = 0.25
STOP_S: Final = 10.0  # for a disk that does not answer at all
MAX_BATCH: Final = 1_000
MAX_WAITING: Final = 20_000
# How often old rows are looked for, and how often a fault that lasts is told again.
SWEEP_S: Final = 3_600.0
COMPLAIN_S: Final = 60.0
DAY_S: Final = 86_400
# What is wrong with one record, and would be so at any time.
_UNFIT: Final = (UnicodeError, OverflowError, sqlite3.DataError, sqlite3.IntegrityError)


class Figures(Struct, frozen=True):
    """Since the start: records on disk, commits that brought them there, waits that were given up, records that were
    refused or unfit, rows that were deleted for their age. Now: records that wait, and for how many seconds nothing
    could be written although something was to be."""

    written: int
    commits: int
    given_up: int
    lost: int
    expired: int
    waiting: int
    behind_s: float


class Pending:
    """Something to be written, and who waits for it."""

    def __init__(self, record: Entry | Closed, done: Callable[[bool], None] | None) -> None:
        self.record = record
        self.done = done
        self.abandoned = False


class Journal:
    """`keep_days`: how long to keep what is written, None for as long as nobody deletes it. `clock` gives Unix
    seconds."""

    def __init__(
        self,
        store: Store,
        *,
        keep_days: int | None = None,
        clock: Callable[[], float] = time.time,
        sweep_s: float = SWEEP_S,
    ) -> None:
        self.store = store
        self.keep_days = keep_days
        self._keep_s = None if keep_days is None else keep_days * DAY_S
        self._clock = clock
        self._sweep_s = sweep_s
        self._next_sweep = time.monotonic()
        self._changed = threading.Condition()
        self._waiting: deque[Pending] = deque()
        self._awaited = 0  # of those, how many somebody waits for
        self._first_note: float | None = None
        self._stopping = False
        self._database: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._busy_since: float | None = None
        self._trouble_since: float | None = None
        self._complained = 0.0
        self._given_up_before = 0
        self._written = self._commits = self._given_up = self._lost = self._expired = 0
        self._thread = threading.Thread(target=self._run, name="hark-journal", daemon=True)

    def start(self) -> None:
        """Raises OperatorError if the file cannot be had."""
        self.store.check()
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, once more if it fails, and let go. Blocks."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)

    def write(self, record: Entry | Closed, done: Callable[[bool], None]) -> Pending:
        """`done` is called in the journal's thread: True once the record is on disk, False if it never will be."""
        return self._put(Pending(record, done))

    def note(self, record: Entry | Closed) -> None:
        """Write it soon."""
        self._put(Pending(record, None))

    def give_up(self, pending: Pending) -> None:
        """Nobody waits any more. It may be on disk later all the same, if it was on its way."""
        with self._changed:
            pending.abandoned = True
            self._given_up += 1

    @property
    def behind_s(self) -> float:
        """For how long nothing could be written although something was to be: 0 while all is well."""
        since = [moment for moment in (self._busy_since, self._trouble_since) if moment is not None]
        return time.monotonic() - min(since) if since else 0.0

    @property
    def figures(self) -> Figures:
        return Figures(
            self._written,
            self._commits,
            self._given_up,
            self._lost,
            self._expired,
            len(self._waiting),
            self.behind_s if self._trouble_since is not None else 0.0,
        )

    def _put(self, pending: Pending) -> Pending:
        with self._changed:
            full = len(self._waiting) >= MAX_WAITING or self._stopping
            if full:
                self._lost += 1
            else:
                self._waiting.append(pending)
                if pending.done is not None:
                    self._awaited += 1
                elif self._first_note is None:
                    self._first_note = time.monotonic()
                if self._trouble_since is None:
                    self._changed.notify()
        if full and pending.done is not None:
            pending.done(False)
        return pending

    # ---- in the thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                while (wait := self._wait_s()) is None or wait > 0:
                    self._changed.wait(wait)
                stopping = self._stopping
                batch = list(islice(self._waiting, MAX_BATCH))
            well = self._try(partial(self._commit, batch)) if batch else True
            if well and self._sweep_due and not stopping:
                well = self._try(self._sweep)
            if stopping and (not well or not self._waiting):
                break
            if not well:
                self._pause()
        self._refuse_all()
        self._close()

    def _wait_s(self) -> float | None:
        """How long nothing is to be done; None for as long as nothing happens."""
        if self._stopping or self._awaited or self._sweep_due:
            return 0.0
        now = time.monotonic()
        due = [] if self._first_note is None else [self._first_note + NOTE_S - now]
        if self._keep_s is not None:
            due.append(self._next_sweep - now)
        return max(0.0, min(due)) if due else None

    @property
    def _sweep_due(self) -> bool:
        return self._keep_s is not None and time.monotonic() >= self._next_sweep

    def _pause(self) -> None:
        """After a fault; who stops the journal is not kept waiting."""
        until = time.monotonic() + RETRY_S
        with self._changed:
            while not self._stopping and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _try(self, step: Callable[[], None]) -> bool:
        self._busy_since = started = time.monotonic()
        try:
            self._reopen_if_moved()
            step()
        except (sqlite3.Error, OSError, OperatorError) as error:
            self._in_trouble(started, error)
        except Exception as error:
            log.exception("unhandled fault")
            self._in_trouble(started, error)
        else:
            self._out_of_trouble()
            return True
        finally:
            self._busy_since = None
        return False

    def _commit(self, batch: list[Pending]) -> None:
        assert self._database is not None
        unfit: set[Pending] = set()
        fresh = [pending for pending in batch if not pending.abandoned]
        with transaction(self._database):
            for pending in fresh:
                try:
                    put(self._database, pending.record)
                except _UNFIT as error:
                    unfit.add(pending)
                    log.error("a record that cannot be written: %s", type(error).__name__)
        with self._changed:
            for pending in batch:
                self._waiting.popleft()
                self._awaited -= pending.done is not None
            # Notes that came meanwhile have waited for less than a commit.
            self._first_note = time.monotonic() if self._waiting else None
            self._written += len(fresh) - len(unfit)
            self._lost += len(unfit)
            self._commits += 1
        for pending in fresh:
            if pending.done is not None:
                pending.done(pending not in unfit)

    def _sweep(self) -> None:
        """One step; while there is more, it is due again at once, after what came meanwhile."""
        assert self._database is not None
        assert self._keep_s is not None
        deleted = delete_step(self._database, self._clock() - self._keep_s)
        if deleted is None:
            self._next_sweep = time.monotonic() + self._sweep_s
            give_back(self._database)
        else:
            self._expired += deleted

    def _reopen_if_moved(self) -> None:
        """A file that was deleted or replaced takes what is written to it along: nobody would ever read it."""
        if self._database is not None and self._file != self._identity():
            log.warning("%s was moved or deleted; going on with the one that is there now", self.store.path)
            self._close()
        if self._database is None:
            self._database = self.store.open()
            self._file = self._identity()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self.store.path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _in_trouble(self, since: float, error: Exception) -> None:
        self._close()
        now = time.monotonic()
        if self._trouble_since is None:
            self._trouble_since, self._given_up_before = since, self._given_up
        if now - self._complained >= COMPLAIN_S:
            self._complained = now
            log.error(
                "%s cannot be written: %s. Until it can, items end in failed instead of completed.",
                self.store.path,
                error,
            )

    def _out_of_trouble(self) -> None:
        if self._trouble_since is not None:
            lasted, self._trouble_since = time.monotonic() - self._trouble_since, None
            given_up = self._given_up - self._given_up_before
            self._complained = 0.0
            log.warning("%s is written again, after %.1f s; items failed: %d", self.store.path, lasted, given_up)

    def _refuse_all(self) -> None:
        with self._changed:
            left, self._waiting = list(self._waiting), deque()
        self._lost += len(left)
        for pending in left:
            if pending.done is not None and not pending.abandoned:
                pending.done(False)
