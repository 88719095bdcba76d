"""What the journal adds to a transcript: how long `completed` waits for its record to be on disk.

    python benchmarks/journal.py [--folder FOLDER] [--seconds 20] [--json FILE]

The witness of `hark serve --journal` stands in one event loop, as in a server, and is shown the events of many
sessions: each ends a turn every `--turn` seconds on average, at moments drawn from a seed. What is measured is how long
the witness holds a TranscriptCompleted back, by the clock of the loop. Three loads: one session; 300; and 300 that all
end a turn in the same moment, over and over. Beside them stand one write and fsync of 16 KiB, alone, which is what the
disk takes, and 300 transactions one after another, which is what no grouping would make of the third.

The journal is made in a temporary folder inside `--folder` (the current one), for it is its disk that is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import uvloop
from rich.console import Console
from rich.table import Table

from accuracy import machine
from hark.bench.measures import percentile
from hark.core.messages import AudioCommitted, TranscriptCompleted, Usage, Word
from hark.edge.journal import Recorder
from hark.edge.witness import Opened
from hark.journal.records import Entry, ItemRecord, SessionRecord
from hark.journal.store import Store, put, transaction
from hark.journal.writer import Journal

SESSIONS: Final = 300
TEXT: Final = "It was the best of times, it was the worst of times, it was the age of wisdom"
ROUNDS: Final = 20
PROBES: Final = 200
WORDS: Final = tuple(Word(text, 300 * at, 300 * at + 250) for at, text in enumerate(TEXT.split()))
USAGE: Final = Usage("tokens", 5, 0, 50, 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk that is to be measured")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the first two loads")
    parser.add_argument("--turn", type=float, default=5.0, help="seconds from one turn of a session to its next")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    options = parser.parse_args()
    rows = {"a write and an fsync": _row(_fsyncs(options.folder))}
    for name, load in {
        "1 session": lambda journal: _live(journal, 1, options.seconds, 0.1),
        f"{SESSIONS} sessions": lambda journal: _live(journal, SESSIONS, options.seconds, options.turn),
        f"{SESSIONS} at once": _at_once,
    }.items():
        rows[name] = _measured(options.folder, load)
    rows[f"{SESSIONS} transactions"] = _row(_one_by_one(options.folder))
    show(rows)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


def _measured(folder: Path, load: Callable[[Journal], Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        journal = Journal(Store(Path(place) / "journal"))
        journal.start()
        waits = uvloop.run(load(journal))
        journal.stop()
        return _row(waits) | {"commits": journal.figures.commits}


async def _live(journal: Journal, sessions: int, seconds: float, turn_s: float) -> list[float]:
    waits: list[float] = []
    end = time.monotonic() + seconds
    await asyncio.gather(*(_talk(journal, number, turn_s, end, waits) for number in range(sessions)))
    return waits


async def _talk(journal: Journal, number: int, turn_s: float, end: float, waits: list[float]) -> None:
    recorder, drawn = _recorder(journal, number), random.Random(number)
    await asyncio.sleep(drawn.uniform(0, turn_s))
    for turn in range(1_000_000):
        if time.monotonic() > end:
            return
        await recorder.saw(AudioCommitted(f"item_{turn}", None))
        await asyncio.sleep(drawn.uniform(0.5, 1.5) * turn_s)
        waits.append(await _complete(recorder, turn))


async def _at_once(journal: Journal) -> list[float]:
    recorders = [_recorder(journal, number) for number in range(SESSIONS)]
    waits: list[float] = []
    for turn in range(ROUNDS):
        for recorder in recorders:
            await recorder.saw(AudioCommitted(f"item_{turn}", None))
        waits += await asyncio.gather(*(_complete(recorder, turn) for recorder in recorders))
    return waits


def _recorder(journal: Journal, number: int) -> Recorder:
    return Recorder(journal, Opened(f"sess_{number}", "websocket", "0123456789abcdef", "gpt-4o-transcribe"))


async def _complete(recorder: Recorder, turn: int) -> float:
    event = TranscriptCompleted(f"item_{turn}", TEXT, USAGE, 0, 5_000, words=WORDS, languages=("en",))
    started = time.perf_counter()
    await recorder.saw(event)
    return time.perf_counter() - started


def _one_by_one(folder: Path) -> list[float]:
    """How long all of SESSIONS take, in one transaction each."""
    with tempfile.TemporaryDirectory(dir=folder) as place, closing(Store(Path(place) / "journal").open()) as database:
        waits = []
        for turn in range(3):
            started = time.perf_counter()
            for number in range(SESSIONS):
                session = SessionRecord(f"sess_{number}", "websocket", "", "", None, None, 0.0)
                times = {"started_at": 0.0, "ended_at": 0.0, "recorded_at": 0.0}
                item = ItemRecord(
                    id=f"item_{turn}", previous_id=None, model=None, transcript=TEXT, words=WORDS, **times
                )
                with transaction(database):
                    put(database, Entry(session, item))
                waits.append(time.perf_counter() - started)
        return waits


def _fsyncs(folder: Path) -> list[float]:
    """Of a file that grows, as the write-ahead log does."""
    waits = []
    with tempfile.NamedTemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(PROBES):
            started = time.perf_counter()
            file.write(bytes(16 * 1024))
            os.fsync(file.fileno())
            waits.append(time.perf_counter() - started)
    return waits


def _row(waits: list[float]) -> dict[str, Any]:
    found = {f"p{share}_ms": round(percentile(waits, share / 100) * 1000, 2) for share in (50, 99)}
    return {"waits": len(waits), **found, "most_ms": round(max(waits) * 1000, 2)}


def show(rows: dict[str, dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("", "waits", "p50 ms", "p99 ms", "most ms", "commits"):
        table.add_column(title, justify="left" if not title else "right")
    for name, row in rows.items():
        table.add_row(
            name, *map(str, (row["waits"], row["p50_ms"], row["p99_ms"], row["most_ms"], row.get("commits", "")))
        )
    Console().print(table)


if __name__ == "__main__":
    main()
