"""How long transcripts take and how many sessions this machine carries, beside others: all of docs/performance.md.

    python benchmarks/capacity.py [DIR] [--json FILE] [--only PART,PART]     (make bench DIR=… JSON=…)

Without DIR the samples are played, whose words are not known, so there is no word error rate. DIR holds recordings, or
a manifest.jsonl, of which read speech is taken. Every server runs as its own process and is alone on the machine.
Parts:

    latency     one session: speech_stopped → completed, at 500 and at 200 ms of silence, by length of the turn
    capacity    the most sessions at 300 ms, and the words at that load and without it, clip by clip
    plain       the same with batching and early finish switched off
    moonshine   moonshine-voice's own streaming
    sherpa      sherpa-onnx's server
    ceiling     the CPU that it takes to transcribe each turn once
    frontend    all but transcription (frontend.py)
    scripted    500 sessions of the scripted model, on two cores
    idle        what a session costs that says nothing
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop
from msgspec import structs
from rich.console import Console

import costs
import hark
import rivals
from accuracy import machine
from hark.bench.clips import Wanted, find_clips, silero
from hark.bench.load import Level, Limit, climb, figures, level, ms, undecided
from hark.bench.measures import Played, answers, items_of, percentile
from hark.bench.peers import DIALECTS
from hark.bench.player import Stock, Target, play
from hark.bench.processes import Running, serving
from hark.bench.protocols import OpenAI, Sending
from hark.bench.ramp import Ramp
from hark.bench.schedule import PAUSE, Length, Plan, Script, script
from hark.bench.scoring import Score, score
from hark.compute.cores import usable_cores
from hark.core.work import SAMPLE_RATE
from hark.models.files.pull import models_folder

HERE = Path(__file__).parent
UNBATCHED = (sys.executable, str(HERE / "unbatched.py"))
PLAN = Plan(seconds=24.0)
FEW = 8  # sessions say too little in that time, and talk for twice as long
LIMIT = Limit(1.0)
SENDING = Sending(silence_ms=300)
LENGTHS = ((0, 3), (3, 6), (6, 10), (10, 16))
Figures = dict[str, Any]
console = Console(stderr=True, highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    options = parser.parse_args()
    started = time.monotonic()
    bench = Bench(options.folder)
    for part in options.only.split(","):
        console.rule(part)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(PARTS[part](bench))
        if options.json:  # what is known so far, should a later part fail
            options.json.write_text(json.dumps(bench.report(time.monotonic() - started), indent=2) + "\n", "utf-8")
    print(json.dumps({k: v for k, v in bench.report(time.monotonic() - started).items() if k != "levels"}, indent=2))


class Bench:
    """What the parts share, and what they found."""

    def __init__(self, folder: Path | None) -> None:
        models = models_folder(None)
        self.clips = find_clips(folder or models / "samples", Wanted(kind="read" if folder else None), silero(models))
        self.stock = Stock(self.clips, Target("", OpenAI, SENDING))
        self.found: Figures = {}
        self.levels: dict[str, list[Figures]] = {}

    def report(self, seconds: float) -> Figures:
        known = self.found | _ratios(self.found)
        return {
            "machine": machine(),
            "cores": usable_cores(),
            "python": platform.python_version(),
            "hark": hark.__version__,
            "clips": len(self.clips),
            "clip_seconds": round(sum(clip.seconds for clip in self.clips), 1),
            "run_seconds": round(seconds),
            **known,
            "levels": self.levels,
        }

    async def most(self, name: str, play_level: Callable[[int], Coroutine[Any, Any, Level]], start: int) -> int | None:
        """The most sessions that are carried; None where the load generator was late."""
        ramp = Ramp(start, 4096)
        tried = await climb(play_level, ramp, lambda one: _tell(name, one))
        self.levels[name] = [figures(one) for one in tried]
        return None if undecided(tried) else ramp.best


def _tell(name: str, one: Level) -> None:
    verdict = "carried" if one.carried else "broken off" if one.broken_off else "too many"
    final, late = ms(percentile(one.sums.final, 0.95)), ms(percentile(one.sums.lateness, 0.99))
    console.print(
        f"{name}: {one.sessions} sessions, p95 {final} ms, {verdict}"
        f" ({one.sums.missed} of {one.sums.turns} missed, {one.sums.behind} behind, {one.sums.refused} refused,"
        f" {one.cpu or 0:.2f} cores, generator: {one.own_cpu:.2f} cores, {late} ms late)"
    )


def _plan(sessions: int) -> Plan:
    return structs.replace(PLAN, seconds=2 * PLAN.seconds) if sessions < FEW else PLAN


def _target(running: Running, sending: Sending = SENDING, dialect: str = "openai") -> Target:
    return Target(running.url, DIALECTS[dialect], sending, running.api_key or None)


# ---- latency -------------------------------------------------------------------------------------------------------


async def latency(bench: Bench) -> None:
    for silence_ms, seconds in ((500, 120.0), (200, 70.0)):
        turns = await _one_session(bench, silence_ms, seconds)
        waits = [wait for _, wait in turns]
        key = "final_ms" if silence_ms == 500 else f"final_{silence_ms}_ms"
        bench.found[f"{key}_turns"] = len(turns)
        bench.found[f"{key}_median"] = ms(percentile(waits, 0.5))
        bench.found[f"{key}_p95"] = ms(percentile(waits, 0.95))
        bench.found[f"{key}_by_length"] = [
            {"from_s": low, "to_s": high, "turns": len(some), "median": ms(percentile(some, 0.5)), "max": ms(max(some))}
            for low, high in LENGTHS
            if (some := [wait for length, wait in turns if low <= length < high])
        ]
        short = [wait for length, wait in turns if length < 6]
        bench.found[f"{key}_median_to_6_s"] = ms(percentile(short, 0.5))


async def _one_session(bench: Bench, silence_ms: int, seconds: float) -> list[tuple[float, float]]:
    """Of each item: its length, and speech_stopped → completed, both in seconds."""
    async with serving() as running:
        target = _target(running, Sending(silence_ms=silence_ms))
        stock = Stock(bench.clips, target)
        one = _only(Plan(seconds=seconds + 60), stock, _spread(stock.lengths, seconds), 0)
        [played] = await play(target, stock, Plan(seconds=len(one.frames) / 10), 1, scripts=[one])
    items = [item for item in items_of(played.heard).values() if item.started and item.stopped and item.done]
    return [(_length(played, item.end_s or 0.0, item.started or 0.0), item.done - item.stopped) for item in items]  # type: ignore[operator]


def _spread(lengths: list[Length], seconds: float) -> list[int]:
    """Clips of all lengths, as many as there is time for."""
    order = sorted(range(len(lengths)), key=lambda clip: lengths[clip].frames)
    for count in range(len(order), 1, -1):
        chosen = [order[round(place * (len(order) - 1) / (count - 1))] for place in range(count)]
        if sum(lengths[clip].frames + 20 for clip in chosen) * PLAN.frame_samples / SAMPLE_RATE <= seconds:
            return chosen
    return order[:1]


def _length(played: Played, end_s: float, started: float) -> float:
    """About: speech_started comes a little after speech began."""
    return max(0.0, end_s - (started - played.zero))


# ---- capacity ------------------------------------------------------------------------------------------------------


async def capacity(bench: Bench) -> None:
    async with serving() as running:
        calm = await _each_clip_once(bench, running)
        _tell("each clip once", calm[0])
        target = _target(running)
        heard: dict[int, list[Played]] = {}

        async def one(sessions: int) -> Level:
            played: list[Played] = []
            tried = await level(target, bench.stock, _plan(sessions), sessions, LIMIT, pid=running.pid, keep=played)
            heard[sessions] = played
            return tried

        most = await bench.most("hark", one, 16)
    bench.levels["unloaded"] = [figures(calm[0])]
    bench.found["sessions_at_p95_1s"] = most
    if most:
        bench.found |= _words(bench, calm[1], heard[most])
        carried = next(row for row in bench.levels["hark"] if row["sessions"] == most and row["carried"])
        bench.found["server_mb_at_capacity"] = carried["server_mb"]
        bench.found["first_delta_ms_median_at_capacity"] = carried["started_to_first_delta_ms"]["p50"]


async def _each_clip_once(bench: Bench, running: Running, sessions: int = 6) -> tuple[Level, list[Played]]:
    """Six sessions among which every clip is said once."""
    shares = [list(range(number, len(bench.clips), sessions)) for number in range(sessions)]
    shares = [share for share in shares if share]
    frames = max(sum(bench.stock.lengths[clip].frames for clip in share) + 22 * len(share) for share in shares) + 200
    plan = Plan(seconds=frames / 10)
    scripts = [_only(plan, bench.stock, share, number) for number, share in enumerate(shares)]
    seconds = max(script_.turns[-1].until for script_ in scripts) / SAMPLE_RATE
    played: list[Played] = []
    one = await level(
        _target(running), bench.stock, Plan(seconds=seconds), len(shares), LIMIT,
        pid=running.pid, patient=True, scripts=scripts, keep=played,
    )  # fmt: skip
    return one, played


def _only(plan: Plan, stock: Stock, share: list[int], number: int) -> Script:
    """These clips, each once."""
    whole = script(plan, [stock.lengths[clip] for clip in share], number)
    turns = whole.turns[: len(share)]
    last = turns[-1].until // plan.frame_samples
    return Script(
        tuple(type(turn)(share[turn.clip], turn.start, turn.speech_end, turn.until) for turn in turns),
        tuple((clip if clip == PAUSE else share[clip], frame) for clip, frame in whole.frames[:last]),
        whole.arrivals[:last],
        whole.offset,
    )


def _words(bench: Bench, calm: list[Played], loaded: list[Played]) -> Figures:
    """Errors of the same clips with and without load, each clip counted as often as it was said under load."""
    once = _by_clip(bench, calm)
    under, without = Score(0, 0, 0), Score(0, 0, 0)
    for clip, scores in _by_clip(bench, loaded).items():
        for one in scores if clip in once else ():
            under, without = under.plus(one), without.plus(once[clip][0])
    if not under.units:
        return {}
    return {
        "words_under_load": under.units,
        "word_error_rate_loaded": round(under.rate, 4),
        "word_error_rate_unloaded": round(without.rate, 4),
    }


def _by_clip(bench: Bench, played: list[Played]) -> dict[int, list[Score]]:
    found: dict[int, list[Score]] = defaultdict(list)
    for one in played:
        for answer in answers(one):
            said = bench.clips[answer.turn.clip].transcript
            if said and (scored := score({"score": "wer", "transcript": said}, " ".join(answer.texts))):
                found[answer.turn.clip].append(scored)
    return found


async def plain(bench: Bench) -> None:
    async with serving(program=UNBATCHED) as running:
        start = max(2, (bench.found.get("sessions_at_p95_1s") or 16) // 4)
        target = _target(running)
        bench.found["plain_sessions_at_p95_1s"] = await bench.most(
            "plain", lambda n: level(target, bench.stock, _plan(n), n, LIMIT, pid=running.pid), start
        )


async def moonshine(bench: Bench) -> None:
    if why := rivals.why_not(rivals.MOONSHINE_VOICE):
        bench.found["peer_left_out"] = why
        return
    bench.found["peer_sessions_at_p95_1s"] = await bench.most(
        "moonshine-voice", lambda n: rivals.moonshine_voice(bench.clips, SENDING, _plan(n), n, LIMIT), 2
    )


async def sherpa(bench: Bench) -> None:
    if why := rivals.why_not(rivals.SHERPA):
        bench.found["sherpa_left_out"] = why
        return
    async with rivals.sherpa(usable_cores()) as running:
        target = _target(running, Sending(silence_ms=300, rate=16_000), "sherpa-offline")
        stock = Stock(bench.clips, target)
        start = max(2, (bench.found.get("sessions_at_p95_1s") or 16) // 2)
        bench.found["sherpa_sessions_at_p95_1s"] = await bench.most(
            "sherpa-onnx", lambda n: level(target, stock, _plan(n), n, LIMIT, pid=running.pid), start
        )


async def ceiling(bench: Bench) -> None:
    bench.found |= costs.ceiling(bench.clips, bench.stock.lengths, PLAN)


async def frontend(bench: Bench) -> None:
    bench.found |= await costs.frontend()


async def scripted(bench: Bench) -> None:
    found, one = await costs.scripted()
    _tell("scripted", one)
    bench.found |= found
    bench.levels["scripted"] = [figures(one)]


async def idle(bench: Bench) -> None:
    bench.found |= await costs.idle()


def _ratios(found: Figures) -> Figures:
    ours = found.get("sessions_at_p95_1s")
    others = {
        "times_peer": found.get("peer_sessions_at_p95_1s"),
        "times_sherpa": found.get("sherpa_sessions_at_p95_1s"),
        "times_plain": found.get("plain_sessions_at_p95_1s"),
        "share_of_ceiling": found.get("ceiling_sessions"),
    }
    # One that carries not even one session counts as one.
    return {name: round(ours / max(1, other), 3) for name, other in others.items() if ours and other is not None}


PARTS: dict[str, Callable[[Bench], Coroutine[Any, Any, None]]] = {
    part.__name__: part for part in (latency, capacity, plain, moonshine, sherpa, ceiling, frontend, scripted, idle)
}

if __name__ == "__main__":
    main()
