"""SQLite's write-ahead log, for files that several processes open at once."""

from __future__ import annotations

import sqlite3
import time


def switch(database: sqlite3.Connection, patience_s: float) -> None:
    """Once a file is switched it stays so. Unlike any other statement, the switch does not wait for other connections,
    but fails at once (SQLite, "PRAGMA journal_mode"), so the first users of a new file would fail each other. Raises
    sqlite3.OperationalError if that lasts for longer than `patience_s`."""
    deadline = time.monotonic() + patience_s
    while database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
