"""What Ray costs on one machine: added latency, and the sessions that 1, 2 and 3 workers carry. Writes a table of
docs/scaling.md.

    python benchmarks/ray_cost.py [DIR] [--json FILE] [--write] [--only PART,PART]       (make bench-ray DIR=… JSON=…)

Without DIR the samples are played; DIR holds recordings, or a manifest.jsonl, of which read speech is taken. A Ray
cluster is started on this machine, the tests' own (tests/ray/cluster.py), in which each replica has one thread. Parts:

    latency     final results of a server that transcribes itself, and of one that asks a worker, pair by pair
    capacity    the most sessions of two gateways before 1, 2 and 3 replicas, and of one server with as many threads

With --only, figures of other parts that FILE has already are kept. With --short all is tried in two minutes, and means
nothing. Servers, cluster and load generator share the cores of the machine, which must have nothing else to do:
`others_cores` says what else it did.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import uvloop
from msgspec import Struct
from rich.console import Console

import hark
import ray_bed
import ray_latency
import ray_page
from accuracy import machine
from hark.bench.clips import Wanted, find_clips, silero
from hark.bench.load import Level, Limit, climb, figures, level, ms, undecided
from hark.bench.measures import Played, percentile
from hark.bench.player import Stock, Target
from hark.bench.processes import Running, serving
from hark.bench.protocols import OpenAI, Sending
from hark.bench.schedule import Plan
from hark.compute.cores import usable_cores
from hark.core.work import SAMPLE_RATE
from hark.models.files.pull import models_folder
from ray_bed import REAL, REAL_ENV, SCRIPTED, SCRIPTED_ENV

LIMIT: Final = Limit(1.0)
SENDING: Final = Sending(silence_ms=300)
SILENCES: Final = (500, 200)
OTHERS: Final = 20  # who talk while one session is timed
MOST: Final = 2048
STEP: Final = 1.3
GATEWAYS: Final = 2
GONE: Final = ("--resume-seconds", "0")  # who broke off a level does not come back, and shall not count in the next
DISTURBED: Final = 0.3  # cores that programs of others took while a level was played
Figures = dict[str, Any]
console = Console(stderr=True, highlight=False)


class Size(Struct, frozen=True):
    """How much is measured. Seconds."""

    pairs: int = 104
    loaded: int = 40
    stops_s: float = 14.0
    level_s: float = 14.0
    start: int = 112
    precision: float = 0.12


SHORT: Final = Size(pairs=16, loaded=8, stops_s=12.0, level_s=12.0, start=24, precision=0.5)


class Near:
    """A Ramp (hark.bench.ramp) that begins near the answer: by the factor STEP until it lies between two numbers, then
    by halves of the gap."""

    def __init__(self, start: int, precision: float) -> None:
        self.best = 0
        self._too_many: int | None = None
        self._start = start
        self._precision = precision

    def next(self) -> int | None:
        if self._too_many is None:
            return None if self.best >= MOST else min(MOST, round(STEP * self.best) or self._start)
        if self.best == 0:
            return int(self._too_many / STEP) if self._too_many > 1 else None
        gap = self._too_many - self.best
        return None if gap <= max(1, self.best * self._precision) else self.best + gap // 2

    def record(self, sessions: int, *, carried: bool) -> None:
        if carried:
            self.best = max(self.best, sessions)
        else:
            self._too_many = min(sessions, self._too_many or sessions)


class Bench:
    """What the parts share, and what they found."""

    def __init__(self, folder: Path | None, size: Size, known: Figures) -> None:
        models = models_folder(None)
        self.size, self.found = size, known
        self.scorer = silero(models)
        self.folder, self.kind = folder or models / "samples", "read" if folder else None
        self.clips = find_clips(self.folder, Wanted(shortest=2.0, longest=8.0, kind=self.kind), self.scorer)
        self.stock = Stock(self.clips, Target("", OpenAI, SENDING))
        self.bed = ray_bed.cluster()

    def report(self, seconds: float) -> Figures:
        return self.found | {
            "machine": machine(),
            "cores": usable_cores(),
            "python": platform.python_version(),
            "hark": hark.__version__,
            "clips": len(self.clips),
            "clip_seconds": round(sum(clip.seconds for clip in self.clips), 1),
            "run_seconds": round(seconds + self.found.get("run_seconds", 0)),
        }


# ---- latency -------------------------------------------------------------------------------------------------------


async def latency(bench: Bench) -> None:
    ray_bed.deploy(bench.bed, {SCRIPTED: 1, REAL: 1})
    whole = find_clips(bench.folder, Wanted(shortest=8.0, longest=600.0, kind=bench.kind), bench.scorer)
    said = ray_latency.utterances(whole, bench.scorer, bench.size.pairs)
    few, rows = said[: bench.size.loaded], {}
    async with _one(SCRIPTED_ENV) as embedded, _one(SCRIPTED_ENV, bench) as ray:
        rows["scripted"] = await _row("scripted", ray_latency.pairs(embedded, ray, said))
        told = ray_latency.beside(embedded, ray, few, bench.stock, OTHERS)
        rows["scripted_loaded"] = await _row("scripted, others talk", told)
    async with _one(REAL_ENV) as embedded, _one(REAL_ENV, bench) as ray:
        rows["real"] = await _row(REAL, ray_latency.pairs(embedded, ray, said))
        told = ray_latency.beside(embedded, ray, few, bench.stock, OTHERS)
        rows["real_loaded"] = await _row(f"{REAL}, others talk", told)
        for silence_ms in SILENCES:
            told = ray_latency.stops(embedded, ray, bench.clips, silence_ms, bench.size.stops_s)
            rows[f"stopped_{silence_ms}"] = await _row(f"server_vad, {silence_ms} ms", told)
    bench.found["latency"] = rows
    bench.found["others"] = OTHERS


def _one(environment: dict[str, str], bench: Bench | None = None) -> Any:
    """`hark serve`: with one thread of its own, or before the replica."""
    more = ("--threads", "1") if bench is None else ("--compute", ray_bed.address(bench.bed))
    return serving(*more, environment=environment)


async def _row(name: str, told: Coroutine[Any, Any, ray_latency.Waits]) -> Figures:
    row = (await told).figures()
    console.print(f"{name}: {row}")
    return row


# ---- capacity ------------------------------------------------------------------------------------------------------


async def capacity(bench: Bench) -> None:
    rows: dict[str, list[Figures]] = {"ray": [], "embedded": []}
    guess = bench.size.start
    for replicas in range(1, ray_bed.MOST + 1):
        if replicas == 1:
            ray_bed.deploy(bench.bed, {REAL: 1})
        else:
            bench.bed.scale(replicas)
            bench.bed.wait_until_healthy()
        two = ("--workers", str(GATEWAYS), "--compute", ray_bed.address(bench.bed), *GONE)
        async with serving(*two, environment=REAL_ENV) as running:
            rows["ray"].append(await _most(bench, running, f"{replicas} replicas", replicas, guess, ray=True))
        async with serving("--threads", str(replicas), *GONE, environment=REAL_ENV) as running:
            found = rows["ray"][-1]["sessions"] or guess
            rows["embedded"].append(await _most(bench, running, f"{replicas} threads", replicas, found, ray=False))
        guess = found  # and from there upwards: a level that is far too high has an aftermath
        bench.found["capacity"] = rows


async def _most(bench: Bench, running: Running, name: str, threads: int, start: int, *, ray: bool) -> Figures:
    """The most sessions that are carried, and who took how much CPU for it."""
    target = Target(running.url, OpenAI, SENDING, running.api_key)
    bed = bench.bed if ray else None
    cpu: dict[int, dict[str, float]] = {}

    async def one(sessions: int) -> Level:
        played: list[Played] = []
        before = ray_bed.spent(running.pid, bed)
        plan = Plan(seconds=bench.size.level_s)
        tried = await level(target, bench.stock, plan, sessions, LIMIT, pid=running.pid, keep=played)
        audio_s = sum(len(each.sent) for each in played) * SENDING.frame_samples / SAMPLE_RATE
        rates = ray_bed.rates(ray_bed.spent(running.pid, bed).since(before), audio_s)
        if tried.carried or sessions not in cpu:
            cpu[sessions] = rates
        return tried

    def tell(tried: Level) -> None:
        verdict = "carried" if tried.carried else "broken off" if tried.broken_off else "too many"
        console.print(
            f"{name}: {tried.sessions} sessions, p95 {ms(percentile(tried.sums.final, 0.95))} ms, {verdict} "
            f"(generator {ms(percentile(tried.sums.lateness, 0.99))} ms late; {cpu[tried.sessions]})"
        )

    ramp = Near(start, bench.size.precision)
    tried = await climb(one, ramp, tell)  # type: ignore[arg-type]
    levels = [figures(each) | {"cpu": cpu[each.sessions]} for each in tried]
    row: Figures = {"threads": threads, "sessions": None if undecided(tried) else ramp.best, "levels": levels}
    if best := [each for each in levels if each["carried"] and each["sessions"] == ramp.best]:
        row["final_ms"] = best[-1]["final_ms"]
        row["cpu"] = best[-1]["cpu"]
        row["limit"] = ray_bed.limited_by(row["cpu"], threads, GATEWAYS if ray else 1, usable_cores())
    return row


PARTS: Final[dict[str, Callable[[Bench], Coroutine[Any, Any, None]]]] = {"latency": latency, "capacity": capacity}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--write", action="store_true", help="write them into docs/scaling.md")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    parser.add_argument("--short", action="store_true", help="only see that it works")
    options = parser.parse_args()
    started = time.monotonic()
    kept = options.json and options.json.exists() and options.only != ",".join(PARTS)
    known = json.loads(options.json.read_text("utf-8")) if kept else {}
    bench = Bench(options.folder, SHORT if options.short else Size(), known)
    with bench.bed:
        for part in options.only.split(","):
            console.rule(part)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(PARTS[part](bench))
            if options.json:  # what is known so far, should a later part fail
                _save(options.json, bench.report(time.monotonic() - started))
    report = bench.report(time.monotonic() - started)
    if options.json:
        _save(options.json, report)
    print("\n".join(ray_page.lines(report)))
    if busy := [row for rows in report.get("capacity", {}).values() for row in rows if _disturbed(row)]:
        console.print(f"{len(busy)} of the rows above mean nothing: other programs took more than {DISTURBED} cores.")
    if options.write:
        ray_page.write(report)


def _disturbed(row: Figures) -> bool:
    return any(level["cpu"]["others_cores"] > DISTURBED for level in row["levels"])


def _save(file: Path, report: Figures) -> None:
    file.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
