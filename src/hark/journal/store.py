"""The file `journal.db`: SQLite in WAL mode, written durably, and read and erased by several processes.

Rule: a commit has returned when its rows are on disk (synchronous=FULL). What is deleted is overwritten
(secure_delete), and its space is given back (incremental vacuum). Only its owner may read the file, and the folder too
if it is made here.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import json

from hark import wal
from hark.core.messages import SpeakerSegment, Word
from hark.errors import OperatorError
from hark.journal.records import Closed, Entry, ItemRecord, Listed, SessionRecord, Transcript

FILE: Final = "journal.db"
_VERSION: Final = 1  # of the schema
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, transport TEXT NOT NULL, key_id TEXT NOT NULL, key_name TEXT NOT NULL, model TEXT,
    call_id TEXT, opened_at REAL NOT NULL, closed_at REAL
) STRICT;
CREATE INDEX IF NOT EXISTS opened ON sessions (opened_at);
CREATE TABLE IF NOT EXISTS items (
    number INTEGER PRIMARY KEY, session_id TEXT NOT NULL, id TEXT NOT NULL, previous_id TEXT, model TEXT,
    started_at REAL NOT NULL, ended_at REAL NOT NULL, recorded_at REAL NOT NULL, audio_start_ms INTEGER,
    audio_end_ms INTEGER, transcript TEXT, failure TEXT, languages TEXT, words TEXT, segments TEXT,
    UNIQUE (session_id, id)
) STRICT;
CREATE INDEX IF NOT EXISTS recorded ON items (recorded_at);
"""
_SESSION: Final = "id, transport, key_id, key_name, model, call_id, opened_at, closed_at"
_ITEM: Final = (
    "id, previous_id, model, started_at, ended_at, recorded_at, audio_start_ms, audio_end_ms, transcript, failure, "
    "languages, words, segments"
)
_PUT_SESSION: Final = f"INSERT OR IGNORE INTO sessions ({_SESSION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_PUT_ITEM: Final = (
    f"INSERT INTO items (session_id, {_ITEM}) VALUES (?{', ?' * 13}) ON CONFLICT (session_id, id) DO UPDATE SET "  # noqa: S608
    + ", ".join(f"{name} = excluded.{name}" for name in _ITEM.split(", ")[1:])
)
_LIST: Final = f"""
SELECT {", ".join(f"sessions.{name}" for name in _SESSION.split(", "))},
    count(items.number),
    count(items.number) - count(items.transcript),
    coalesce(sum(CASE WHEN items.transcript IS NOT NULL THEN items.audio_end_ms - items.audio_start_ms END), 0),
    coalesce((SELECT substr(transcript, 1, 200) FROM items WHERE session_id = sessions.id AND trim(transcript) <> ''
        ORDER BY number LIMIT 1), '')
FROM sessions LEFT JOIN items ON items.session_id = sessions.id
WHERE opened_at >= ? AND opened_at < ? AND (? IS NULL OR key_name = ?)
GROUP BY sessions.id ORDER BY opened_at, sessions.id
"""  # noqa: S608
# How long one statement waits for another connection that writes.
PATIENCE_S: Final = 1.0
# What is deleted in one transaction, so that those who write wait for a moment only.
STEP_ITEMS: Final = 200
_STEP_PAGES: Final = 200
_FOREVER: Final = 1e15

T = TypeVar("T")


class Store:
    """The file `journal.db` in this folder. Every method raises OperatorError where it cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def listed(
        self, since: float | None = None, until: float | None = None, key_name: str | None = None
    ) -> list[Listed]:
        """The sessions opened in this time with this key, the oldest first."""
        asked = (since or 0, _FOREVER if until is None else until, key_name, key_name)
        if not self.path.exists():
            return []
        with self._using() as database:
            rows = database.execute(_LIST, asked).fetchall()
        return [Listed(_session(row[:8]), row[8], row[9], row[10] / 1000, " ".join(row[11].split())) for row in rows]

    def find(self, session_id: str, key_id: str | None = None) -> Transcript | None:
        """The session, if it is there; with a `key_id`, only if it is that key's."""
        if not self.path.exists():
            return None
        with self._using() as database:
            database.execute("BEGIN")  # one state of the file, whoever writes meanwhile
            asked = f"SELECT {_SESSION} FROM sessions WHERE id = ?"  # noqa: S608
            row = database.execute(asked, (session_id,)).fetchone()
            if row is None or (key_id is not None and row[2] != key_id):
                return None
            asked = f"SELECT {_ITEM} FROM items WHERE session_id = ? ORDER BY number"  # noqa: S608
            return Transcript(_session(row), tuple(map(_item, database.execute(asked, (session_id,)))))

    def delete(self, session_ids: Sequence[str]) -> list[str]:
        """Those of them that were there, and are not any more."""
        gone: list[str] = []
        if not self.path.exists():
            return gone
        with self._using() as database:
            for session_id in session_ids:
                with transaction(database):
                    database.execute("DELETE FROM items WHERE session_id = ?", (session_id,))
                    if database.execute("DELETE FROM sessions WHERE id = ?", (session_id,)).rowcount:
                        gone.append(session_id)
            give_back(database)
        return gone

    def purge(self, before: float) -> int:
        """Delete what was recorded before this time, in steps; how many items that were."""
        deleted = 0
        if not self.path.exists():
            return deleted
        with self._using() as database:
            while (step := delete_step(database, before)) is not None:
                deleted += step
            give_back(database)
        return deleted

    def open(self) -> sqlite3.Connection:
        """A connection for who writes, in autocommit, to a file that is there. Raises sqlite3.Error or OSError, and
        OperatorError for a file that another program or a newer Hark made."""
        self._create()
        database = sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None)
        try:
            _prepare(database, self.path)
        except BaseException:
            database.close()
            raise
        return database

    def check(self) -> None:
        """Find out whether it can be used, and make it if it is not there."""
        with self._telling():
            self.open().close()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._telling(), closing(self.open()) as database:
            yield database

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, msgspec.MsgspecError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or error
            message = (
                f"The journal {self.path} cannot be used: {why}. Check that it is a journal that this user may write."
            )
            raise OperatorError(message) from error

    def _create(self) -> None:
        """The file, which only its owner may read. An existing one is left alone: to close any descriptor of a database
        gives up the locks that all of the process's other connections hold on it."""
        if self.path.exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):  # another process was faster
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        if os.name == "posix":
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, and on disk when it is left."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # some faults have rolled back by themselves
            database.execute("ROLLBACK")
        raise


def put(database: sqlite3.Connection, record: Entry | Closed) -> None:
    """Inside a transaction."""
    match record:
        case Entry(session=session, item=item):
            database.execute(_PUT_SESSION, msgspec.structs.astuple(session))
            plain = msgspec.structs.astuple(item)[:10]
            lists = (item.languages, item.words, item.segments)
            written = [None if value is None else json.encode(value).decode() for value in lists]
            database.execute(_PUT_ITEM, (session.id, *plain, *written))
        case Closed(session_id=session_id, at=at):
            database.execute("UPDATE sessions SET closed_at = ? WHERE id = ?", (at, session_id))


def delete_step(database: sqlite3.Connection, before: float) -> int | None:
    """Delete some of what was recorded before this time, and give back their space: how many items, None if there was
    nothing left to delete."""
    with transaction(database):
        asked = "DELETE FROM items WHERE number IN (SELECT number FROM items WHERE recorded_at < ? LIMIT ?)"
        items = database.execute(asked, (before, STEP_ITEMS)).rowcount
        asked = (
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE opened_at < ? AND NOT EXISTS "
            "(SELECT 1 FROM items WHERE session_id = sessions.id) LIMIT ?)"
        )
        sessions = database.execute(asked, (before, STEP_ITEMS)).rowcount
    database.executescript(f"PRAGMA incremental_vacuum({_STEP_PAGES})")  # `execute` would stop after a page
    return items if items or sessions else None


def give_back(database: sqlite3.Connection) -> None:
    """Free pages to the file system; and what was deleted shall not stand in the write-ahead log either. Where others
    read meanwhile, the log is left until the next time."""
    database.executescript("PRAGMA incremental_vacuum")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        message = (
            f"The journal {path} was made by a newer Hark (its schema is {version}). Use that one, or another folder."
        )
        raise OperatorError(message)
    if version < _VERSION:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")  # which only an empty file takes
        wal.switch(database, PATIENCE_S)
        with transaction(database):
            for statement in _SCHEMA.split(";\n"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {_VERSION}")
    for name, value in (("synchronous", "FULL"), ("fullfsync", "ON"), ("secure_delete", "ON")):
        database.execute(f"PRAGMA {name} = {value}")


def _session(row: Sequence[object]) -> SessionRecord:
    return msgspec.convert(dict(zip(_SESSION.split(", "), row, strict=True)), SessionRecord)


def _item(row: Sequence[object]) -> ItemRecord:
    fields = dict(zip(_ITEM.split(", "), row, strict=True))
    fields["languages"] = _list(fields["languages"], str)
    fields["words"] = _list(fields["words"], Word)
    fields["segments"] = _list(fields["segments"], SpeakerSegment)
    return msgspec.convert(fields, ItemRecord)


def _list(text: object, kind: type[T]) -> tuple[T, ...] | None:
    return None if text is None else json.decode(str(text), type=tuple[kind, ...])  # type: ignore[valid-type]
