"""Sessions of random life against a real server, for as long as told: what grows, what is lost, what goes wrong?

    python benchmarks/soak.py [DIR] [--minutes 30] [--sessions 50] [--workers 1] [--model NAME] [--seed 1] [--faults]

`hark serve` runs as a process with a store of keys, and SESSIONS lives go on at once; when one ends, another begins.
Most talk over WebSocket, in real time, with the samples that come with Hark or the recordings of DIR: in both
dialects, every mode and format, with resets and come-backs, nonsense, changes of settings, stalls and bursts; others
upload files, whole and broken ones, mint secrets, call by WebRTC, or stand at the door with a wrong key. With --faults
an engine's process is killed now and then. Which lives are lived follows from --seed; when what comes does not.

Clients keep the books (soak_accounts.py): every item that was announced or committed ends once and in order, or the
server's transcript says how. The server's processes are watched for memory, handles, threads, children and, by
/metrics, tasks. The last line says what was found; the exit status is 1 if anything was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import IO, Any, Final

import msgspec
import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

import soak_others as others
import soak_watch as watch
from accuracy import machine
from hark.auth.keys import create_key
from hark.bench.processes import Running, serving
from hark.errors import HarkError
from soak_world import SHOWN_FINDINGS, TROUBLE_S, Books, Finding, World, load_is_moderate, scripted_speech, speech

SCRIPTED: Final = ("--model", "scripted", "--voice-model", "scripted-vad", "--turn-model", "scripted-turns")
LIMITED_SESSIONS: Final = 3
LOOK_S: Final = 5.0
SAY_S: Final = 30.0
FAULT_S: Final = 60.0
# For lives to come to their end, and then for the server to be as it was.
END_S: Final = 120.0
SETTLE_S: Final = 60.0
# Pools of threads grow to their size, which is not more than this a process.
POOLS: Final = 24
LEAST_JUDGED_S: Final = 240.0  # under this, memory after the warm-up is not judged
# What no line of the server's log may hold.
WRONG: Final = re.compile(r"Traceback|unhandled|never retrieved|never awaited| ERROR | CRITICAL |\b5\d\d\b.*req_")


def main() -> None:
    options = arguments()
    sys.stdout.reconfigure(line_buffering=True)  # into a file, too
    try:
        found = uvloop.run(soak(options))
    except HarkError as error:
        sys.exit(str(error))
    sys.exit(1 if found else 0)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path, nargs="?", help="a folder with recordings of speech, or with a manifest")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--sessions", type=int, default=50, help="lives at once")
    parser.add_argument("--workers", type=int, default=1, help="the server's")
    parser.add_argument("--threads", type=int, help="the server's; by default as many as there are cores")
    parser.add_argument("--model", help="the server's; 'scripted' for deterministic ones, which hear no real speech")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", action="store_true", help="kill an engine's process now and then")
    parser.add_argument("--resume-seconds", type=float, default=5.0, help="the server's")
    parser.add_argument("--slow-seconds", type=float, default=5.0, help="an answer that takes longer is a finding")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and findings to FILE too")
    return parser.parse_args()


async def soak(options: argparse.Namespace) -> int:
    """How much was found. Raises HarkError if the server does not start."""
    console = Console(highlight=False, soft_wrap=True)
    scripted = options.model == "scripted"
    sounds = scripted_speech() if scripted else speech(options.dir)
    model = SCRIPTED if scripted else ("--model", options.model) if options.model else ()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        keys = {"stored": create_key(Path(folder), "stored", time.time())}
        keys["limited"] = create_key(Path(folder), "limited", time.time(), max_sessions=LIMITED_SESSIONS)
        command = ["--data-dir", folder, "--resume-seconds", f"{options.resume_seconds:g}"]
        command += ["--workers", str(options.workers), *model]
        command += ["--threads", str(options.threads)] if options.threads else []
        room = {"HARK_MAX_SESSIONS": ""}  # as it measures itself
        async with serving(*command, environment=room, log_level="warning", log=log) as server:
            keys["own"] = server.api_key
            world = World(server.url, keys, sounds, options.resume_seconds, options.slow_seconds)
            run = Run(options, server, world, console)
            await run.through()
            await world.close()
        run.look_through(log)
    return run.report()


class Run:
    """From the first idle reading to the last."""

    def __init__(self, options: argparse.Namespace, server: Running, world: World, console: Console) -> None:
        self._options = options
        self._server = server
        self._world = world
        self._console = console
        self._calls = others.Callers(world)
        self._numbers = count(1)
        self._seconds = options.minutes * 60
        self._readings: list[watch.Reading] = []
        self._before: watch.Reading
        self._after: watch.Reading
        self._crowded = 0
        self._shown = 0  # findings
        self._late_s = 0.0  # the loop of our own clients, at most
        self._lived_s = 0.0
        self._chance = Random(f"faults {options.seed}")

    @property
    def books(self) -> Books:
        return self._world.books

    async def through(self) -> None:
        await self._one_of_each()
        self._before = await self._at_rest(None)
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._world.ending.set)
        began = time.monotonic()
        watching = asyncio.gather(self._watch(began), self._listen_to_ourselves())
        slots = [asyncio.create_task(self._slot(index)) for index in range(self._options.sessions)]
        await self._world.pause(self._seconds)
        self._world.ending.set()
        self._lived_s = time.monotonic() - began
        watching.cancel()
        _, late = await asyncio.wait(slots, timeout=END_S)
        for task in late:
            self.books.find("the soak", f"a life did not end within {END_S:.0f} s")
            task.cancel()
        await asyncio.gather(watching, *late, return_exceptions=True)
        self._after = await self._at_rest(self._before)
        for leak in watch.leaks(self._before, self._after, threads=POOLS):
            self.books.find("the server at rest", leak)

    # ---- lives ---------------------------------------------------------------------------------------------------

    async def _one_of_each(self) -> None:
        kinds = [*others.KINDS, self._calls.call, *[others.talk] * 4]
        most, self._world.utterances = self._world.utterances, 1
        await asyncio.gather(*(self._life(kind) for kind in kinds))
        self._world.utterances = most

    async def _slot(self, index: int) -> None:
        await self._world.pause(index * 0.2)
        chance = Random(f"{self._options.seed} {index}")
        kinds = {**others.KINDS, self._calls.call: others.CALLS}
        while not self._world.ending.is_set():
            await self._life(chance.choices([*kinds], [*kinds.values()])[0])

    async def _life(self, kind: Any) -> None:
        number = next(self._numbers)
        name = f"{kind.__name__} {number}"
        try:
            await kind(self._world, name, Random(f"{self._options.seed} life {number}"))
        except Exception as error:
            where = traceback.format_exception(error)[-3:]
            self.books.find(name, f"the client met {error!r}", where)
            await asyncio.sleep(1)
        self.books.lives[kind.__name__] += 1

    # ---- watching ------------------------------------------------------------------------------------------------

    async def _read(self) -> watch.Reading:
        answer = await self._world.ask("GET", "/metrics", self._server.api_key)
        metrics = answer.text if answer.status_code == 200 else ""
        return await asyncio.to_thread(watch.read, self._server.pid, metrics)

    async def _watch(self, began: float) -> None:
        say_at, fault_at = began + SAY_S, began + FAULT_S
        while True:
            await asyncio.sleep(min(LOOK_S, self._seconds / 12))
            self._readings.append(await self._read())
            self._crowded += not load_is_moderate()
            for finding in self.books.findings[self._shown : SHOWN_FINDINGS]:
                self._console.print(_told(finding), markup=False)
            self._shown = max(self._shown, len(self.books.findings))
            now = time.monotonic()
            if now >= say_at:
                say_at += SAY_S
                self._console.print(self._line(now - began))
            if self._options.faults and now >= fault_at:
                fault_at = now + FAULT_S * self._chance.uniform(0.5, 1.5)
                self._kill()

    async def _listen_to_ourselves(self) -> None:
        while True:
            due = time.monotonic() + 0.25
            await asyncio.sleep(0.25)
            self._late_s = max(self._late_s, time.monotonic() - due)

    def _kill(self) -> None:
        engines = watch.engines_of(self._server.pid)
        if engines:
            self.books.counts["engines killed"] += 1
            self.books.trouble_until = time.monotonic() + TROUBLE_S
            watch.kill(self._chance.choice(engines))

    def _line(self, at_s: float) -> str:
        held = self._readings[-1].roles
        memory = ", ".join(f"{role} {each.resident:.0f} MiB" for role, each in sorted(held.items()))
        return (
            f"{at_s / 60:5.1f} min: {self.books.lives.total():,} lives, {self.books.items:,} items; {memory}; "
            f"{sum(each.handles for each in held.values())} handles; {len(self.books.findings)} findings"
        )

    async def _at_rest(self, before: watch.Reading | None) -> watch.Reading:
        """When nothing changes any more; or, at the end, when all is as it was."""
        step = min(1.0, self._options.resume_seconds)
        await asyncio.sleep(self._options.resume_seconds + step)
        until, last = time.monotonic() + SETTLE_S, await self._read()
        while time.monotonic() < until:
            await asyncio.sleep(step)
            reading = await self._read()
            if before is not None and not watch.leaks(before, reading, threads=POOLS):
                return reading
            if (
                before is None
                and not watch.leaks(last, reading, threads=0)
                and not watch.leaks(reading, last, threads=0)
            ):
                return reading
            last = reading
        return last

    # ---- what was found ------------------------------------------------------------------------------------------

    def look_through(self, log: IO[bytes]) -> None:
        """The server's log."""
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if WRONG.search(line):
                self.books.find("the server's log", line[:300], lines[number : number + 40])

    def report(self) -> int:
        """Print it all; how much was found."""
        books = self.books
        warm = max(60.0, self._seconds / 5)
        steady = [each for each in self._readings if each.at - self._readings[0].at >= warm]
        trends = watch.trends(steady) if self._lived_s >= LEAST_JUDGED_S else {}
        for role, trend in trends.items():
            if not trend.flat:
                books.find("memory", f"{role}: {trend.first:.1f} MiB and then {trend.last:.1f} ({trend.growth:+.1%})")
        crowded = self._crowded > len(self._readings) / 4
        if books.slow and not crowded:
            books.find("answers", f"{len(books.slow)} took over {self._options.slow_seconds:g} s", books.slow[:20])
        if lost := books.items - books.accounted - books.unknown:
            books.find("items", f"{lost:,} of {books.items:,} are not accounted for")
        self._console.print(self._table(trends, crowded))
        for finding in books.findings[:SHOWN_FINDINGS]:
            self._console.print(_told(finding), markup=False)
        if self._options.json:
            self._options.json.write_text(json.dumps(self._figures(trends, crowded), indent=2) + "\n", "utf-8")
        self._console.print(self._verdict(trends), markup=False)
        return len(books.findings)

    def _table(self, trends: dict[str, watch.Trend], crowded: bool) -> Table:
        table = Table(title=f"Soak of {self._lived_s / 60:.1f} min", caption=machine(), show_header=False)
        for name, value in self._rows(trends, crowded):
            table.add_row(name, value)
        return table

    def _rows(self, trends: dict[str, watch.Trend], crowded: bool) -> Iterator[tuple[str, str]]:
        books = self.books
        for name, number in [*books.lives.most_common(), *sorted(books.counts.items())]:
            yield name.replace("_", " "), f"{number:,}"
        if books.waits:
            p50, p95, most = np.percentile(books.waits, [50, 95, 100])
            yield "from the end of a turn to its transcript", f"{p50:.2f} s, p95 {p95:.2f} s, at most {most:.2f} s"
        because = ", which the rest of the machine may be to blame for" if crowded else ""
        yield f"answers over {self._options.slow_seconds:g} s", f"{len(books.slow)}{because}"
        yield "the clients' own loop was late by", f"at most {self._late_s:.2f} s"
        for role, trend in trends.items():
            yield f"memory of {role}", f"{trend.first:.1f} → {trend.last:.1f} MiB ({trend.growth:+.1%})"
        for role in sorted(self._after.roles):
            was, held = self._before.roles.get(role, watch.Held()), self._after.roles[role]
            shown = [
                f"{getattr(was, name)} → {getattr(held, name)} {name}" for name in ("processes", "handles", "threads")
            ]
            shown.append(f"{was.resident:.0f} → {held.resident:.0f} MiB")
            yield f"{role} at rest, before → after", ", ".join(shown)
        for name, value in sorted(self._after.gauges.items()):
            yield f"{name} at rest", f"{self._before.gauges.get(name, 0):g} → {value:g}"

    def _verdict(self, trends: dict[str, watch.Trend]) -> str:
        books = self.books
        head = (
            f"soak: {self._lived_s / 60:.4g} min, {self._options.sessions} sessions at once, "
            f"{books.lives.total():,} lives, {books.items:,} items"
        )
        memory = "memory not judged in so short a time"
        if trends:
            memory = "memory " + ", ".join(
                f"of {role} {each.first:.0f} → {each.last:.0f} MiB ({each.growth:+.1%})"
                for role, each in trends.items()
            )
        if not books.findings:
            return f"{head}, all accounted for; {memory}; nothing leaked"
        kinds = Counter(finding.who.rstrip("0123456789 ") for finding in books.findings)
        found = ", ".join(f"{number} of {who}" for who, number in kinds.most_common())
        return f"{head}; {memory}; {len(books.findings)} findings: {found}"

    def _figures(self, trends: dict[str, watch.Trend], crowded: bool) -> dict[str, Any]:
        books = self.books
        return {
            "machine": machine(),
            "minutes": round(self._lived_s / 60, 2),
            "sessions": self._options.sessions,
            "workers": self._options.workers,
            "seed": self._options.seed,
            "lives": dict(books.lives),
            "counts": dict(books.counts),
            "items": books.items,
            "accounted": books.accounted,
            "slow": books.slow,
            "crowded": crowded,
            "late_s": self._late_s,
            "memory": {role: {"first": each.first, "last": each.last} for role, each in trends.items()},
            "before": msgspec.to_builtins(self._before),
            "after": msgspec.to_builtins(self._after),
            "readings": msgspec.to_builtins(self._readings),
            "findings": msgspec.to_builtins(books.findings),
        }


def _told(finding: Finding) -> str:
    return f"  {finding.at_s:7.1f} s  {finding.who}: {finding.what}"


if __name__ == "__main__":
    main()
