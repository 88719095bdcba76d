"""SQLite's share of who may call: long-lived keys, by their hashes, the audio that each sent in the last hour, and
configurations too large for a header.

Rule: a key itself is never kept; its 192 random bits need no slow hash. Every question opens the database anew, so that
what another process has changed, a revoked key above all, counts at once. Rows of revoked keys stay: a server that once
had keys must not open itself to everyone when the last of them goes. Nothing is made on disk until there is something
to keep.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from msgspec import Struct, convert, json

from hark import wal
from hark.auth import usage
from hark.errors import OperatorError, StorageError, UnavailableError

FILE: Final = "hark.db"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, created_at INTEGER NOT NULL,
    expires_at INTEGER, revoked_at INTEGER, origins TEXT NOT NULL, max_sessions INTEGER, audio_minutes_per_hour INTEGER
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS live_names ON keys (name) WHERE revoked_at IS NULL;
CREATE TABLE IF NOT EXISTS configurations (
    id BLOB PRIMARY KEY, body BLOB NOT NULL, expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS audio (
    key_id TEXT NOT NULL, minute INTEGER NOT NULL, samples INTEGER NOT NULL, PRIMARY KEY (key_id, minute)
) STRICT, WITHOUT ROWID;
"""
_PATIENCE_S: Final = 5.0  # with another connection that writes
_RETRY_AFTER_S: Final = 5  # for who is refused because of the file
# SQLite's words -> what callers are told of the file, and what to do.
_FAULTS: Final = (
    (("locked", "busy"), "is held by another program", "End the program that holds it: a shell or a backup, perhaps."),
    (
        ("full", "no space", "disk i/o"),
        "cannot be written to",
        "Make room on its disk; if there is some, see in the system's log whether the disk works.",
    ),
    (
        ("not a database", "malformed", "no such table", "no such column"),
        "is damaged",
        f"Put back a copy of it, without {FILE}-wal and {FILE}-shm beside it; or move it away, make keys anew with "
        "`hark keys create`, and start the server again.",
    ),
)
_ANY_FAULT: Final = ("cannot be read", "Check that it is a file, and that this user may read and write it.")
_VERSION: Final = 1  # of the schema; a file that says less, or nothing, is brought up to it
_COLUMNS: Final = "id, name, created_at, expires_at, revoked_at, origins, max_sessions, audio_minutes_per_hour"


class StoredKey(Struct, frozen=True):
    """A key without the key. `id` is 16 hexadecimal digits; times are in Unix seconds."""

    id: str
    name: str
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    origins: tuple[str, ...] = ()
    max_sessions: int | None = None
    audio_minutes_per_hour: int | None = None


class Store:
    """The file `hark.db` in this folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    @property
    def where(self) -> str:
        return str(self.path)

    @property
    def emptied(self) -> str:
        return f"delete {self.path}*"

    def check(self) -> None:
        """A folder can be used, or who first needs it is told."""

    def has_keys(self, patience_s: float = _PATIENCE_S) -> bool:
        """Whether a key was ever made."""
        return bool(self._ask("SELECT 1 FROM keys LIMIT 1", patience_s=patience_s))

    def all(self) -> list[StoredKey]:
        return [_key(row) for row in self._ask(f"SELECT {_COLUMNS} FROM keys ORDER BY created_at, name")]  # noqa: S608

    def by_key(self, key: str) -> StoredKey | None:
        rows = self._ask(f"SELECT {_COLUMNS} FROM keys WHERE hash = ?", _hash(key))  # noqa: S608
        return _key(rows[0]) if rows else None

    def by_id(self, key_id: str) -> StoredKey | None:
        rows = self._ask(f"SELECT {_COLUMNS} FROM keys WHERE id = ?", key_id)  # noqa: S608
        return _key(rows[0]) if rows else None

    def add(self, entry: StoredKey, key: str) -> None:
        """Raises OperatorError if a key of this name is in use."""
        origins = json.encode(entry.origins).decode()
        limits = (entry.max_sessions, entry.audio_minutes_per_hour)
        row = (entry.id, entry.name, _hash(key), entry.created_at, entry.expires_at, origins, *limits)
        with self._open() as database:
            try:
                database.execute(
                    "INSERT INTO keys (id, name, hash, created_at, expires_at, origins, max_sessions, "
                    "audio_minutes_per_hour) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
            except sqlite3.IntegrityError as error:
                message = f"There is a key named '{entry.name}' already. Choose another name, or revoke that one first."
                raise OperatorError(message) from error

    def revoke(self, name: str, now: float) -> bool:
        """Whether there was a key of this name to revoke."""
        if not self.path.exists():
            return False
        with self._open() as database:
            asked = "UPDATE keys SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL"
            return database.execute(asked, (int(now), name)).rowcount > 0

    def revoked(self, key_ids: Sequence[str]) -> set[str]:
        """Those of these keys that count no more."""
        question = "SELECT id FROM keys WHERE revoked_at IS NOT NULL AND id IN (SELECT value FROM json_each(?))"
        return {str(row[0]) for row in self._ask(question, json.encode(key_ids).decode())}

    def keep(self, body: bytes, expires_at: int, now: float) -> bytes:
        """Keep a configuration until it expires; its reference."""
        reference = os.urandom(16)
        with self._open() as database:
            database.execute("DELETE FROM configurations WHERE expires_at <= ?", (int(now),))
            database.execute("INSERT INTO configurations VALUES (?, ?, ?)", (reference, body, expires_at))
        return reference

    def kept(self, reference: bytes) -> bytes | None:
        rows = self._ask("SELECT body FROM configurations WHERE id = ?", reference)
        return convert(rows[0][0], bytes) if rows else None

    def add_audio(self, heard: Mapping[tuple[str, int], int], now: float) -> None:
        """Add samples to what keys sent in minutes: (id of the key, minute since 1970) -> samples. What no hour holds
        any more is forgotten."""
        rows = [(key_id, minute, samples) for (key_id, minute), samples in heard.items()]
        asked = (
            "INSERT INTO audio VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET samples = audio.samples + excluded.samples"
        )
        with self._open() as database:
            database.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last seconds of the count
            database.executemany(asked, rows)
            database.execute("DELETE FROM audio WHERE minute NOT BETWEEN ? AND ?", usage.hour(now))

    def audio(self, now: float, key_ids: Sequence[str]) -> dict[str, dict[int, int]]:
        """What each of these keys sent in the last hour: minute since 1970 -> samples."""
        found: dict[str, dict[int, int]] = {key_id: {} for key_id in key_ids}
        question = (
            "SELECT key_id, minute, samples FROM audio "
            "WHERE key_id IN (SELECT value FROM json_each(?)) AND minute BETWEEN ? AND ?"
        )
        for row in self._ask(question, json.encode(key_ids).decode(), *usage.hour(now)):
            key_id, minute, samples = convert(row, tuple[str, int, int])
            found[key_id][minute] = samples
        return found

    def lost(self) -> StorageError:
        """What to say where there is no key any more, and there was one."""
        return self._fault("it held keys, and holds none any more. It was moved, emptied or replaced", _FAULTS[-1][2])

    def _ask(self, question: str, *values: object, patience_s: float = _PATIENCE_S) -> list[tuple[object, ...]]:
        if not self.path.exists():
            return []
        try:
            with self._open(patience_s) as database:
                return database.execute(question, values).fetchall()
        except StorageError as fault:
            if not _nothing_can_be_written(fault.__cause__) or self._has_log():
                raise
            try:
                with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?immutable=1", uri=True)) as database:
                    return database.execute(question, values).fetchall()
            except sqlite3.Error:
                raise fault from None

    def _has_log(self) -> bool:
        """Whether a write-ahead log holds what the file does not."""
        try:
            return self.path.with_name(f"{FILE}-wal").stat().st_size > 0
        except OSError:
            return False

    @contextmanager
    def _open(self, patience_s: float = _PATIENCE_S) -> Iterator[sqlite3.Connection]:
        """Raises StorageError."""
        try:
            self._create()
            with closing(sqlite3.connect(self.path, timeout=patience_s)) as database:
                wal.switch(database, patience_s)
                if database.execute("PRAGMA user_version").fetchone()[0] < _VERSION:
                    _upgrade(database)
                with database:
                    yield database
        except (sqlite3.Error, OSError) as error:
            raise self._fault(str(error)) from error

    def _fault(self, error: str, mend: str | None = None) -> StorageError:
        kinds = ((state, known) for parts, state, known in _FAULTS if any(part in error.lower() for part in parts))
        state, known = next(kinds, _ANY_FAULT)
        told = (
            f"This server cannot look up API keys: its key store {state}. Its log says what to do. Please try again in "
            f"{_RETRY_AFTER_S}s."
        )
        return StorageError(
            f"The key store {self.path} cannot be used: {error}. {mend or known}",
            UnavailableError(told, code="key_store_unavailable", retry_after_s=_RETRY_AFTER_S),
        )

    def _create(self) -> None:
        """The file, which only its owner may read. An existing one is left alone: to close any descriptor of a database
        gives up the locks that all of the process's other connections hold on it."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileExistsError):  # another process was faster
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _nothing_can_be_written(error: BaseException | None) -> bool:
    """Where a disk is full or may only be read, SQLite cannot make the files that it wants beside a database even for
    reading. The database alone tells all then, if nobody else has it open."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def _upgrade(database: sqlite3.Connection) -> None:
    """Make what is missing; several processes may try at once."""
    database.executescript(_SCHEMA)
    with database:
        database.execute("BEGIN IMMEDIATE")
        columns = [row[1] for row in database.execute("PRAGMA table_info(keys)")]
        if "audio_minutes_per_hour" not in columns:
            database.execute("ALTER TABLE keys ADD COLUMN audio_minutes_per_hour INTEGER")
        database.execute(f"PRAGMA user_version = {_VERSION}")


def _hash(key: str) -> bytes:
    return sha256(key.encode()).digest()


def _key(row: tuple[object, ...]) -> StoredKey:
    fields = dict(zip(_COLUMNS.split(", "), row, strict=True))
    return convert(fields | {"origins": json.decode(str(fields["origins"]))}, StoredKey)
