"""One level of load, and the ramp over levels: playing, taking the server's CPU and memory, summing up.

Rule: a level's figures are those of its own sessions alone; the server stays up between levels, as it would.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from msgspec import Struct

from hark.bench.heard import Trouble
from hark.bench.measures import Played, Sums, percentile, sum_up
from hark.bench.player import Stock, Target, play
from hark.bench.processes import Usage, usage
from hark.bench.ramp import Ramp
from hark.bench.schedule import Plan, Script
from hark.core.work import SAMPLE_RATE

SHARES: Final = (0.5, 0.95, 0.99)
BREATH_S: Final = 1.0  # between two levels, for what is still waiting


class Level(Struct, frozen=True):
    """What a number of sessions came to. `cpu` in cores, of the server; `own_cpu` of the load generator."""

    sessions: int
    sums: Sums
    carried: bool
    seconds: float
    cpu: float | None
    memory: int | None
    own_cpu: float
    troubles: tuple[Trouble, ...] = ()
    broken_off: bool = False


class Limit(Struct, frozen=True):
    """Sessions are carried while this share of final latencies is under this many seconds."""

    seconds: float = 1.0
    share: float = 0.95


async def level(
    target: Target,
    stock: Stock,
    plan: Plan,
    sessions: int,
    limit: Limit,
    *,
    pid: int | None,
    patient: bool = False,
    scripts: Sequence[Script] | None = None,
    keep: list[Played] | None = None,
) -> Level:
    """Play one level, by these scripts if there are any. One that cannot be carried any more is broken off, unless
    `patient`. What was heard is put into `keep` too."""
    peak = 0

    def watch() -> None:
        nonlocal peak
        if pid is not None and (now := usage(pid)) is not None:
            peak = max(peak, now.memory)

    before, started, own = _usage(pid), time.monotonic(), time.process_time()
    played = await play(
        target, stock, plan, sessions,
        limit_s=None if patient else limit.seconds, patience_s=min(20.0, max(5.0, 2 * limit.seconds)), on_second=watch,
        scripts=scripts,
    )  # fmt: skip
    seconds, after = time.monotonic() - started, _usage(pid)
    if keep is not None:
        keep += played
    frame_s, frames = plan.frame_samples / SAMPLE_RATE, sum(len(one.sent) for one in played)
    sums = sum_up(played, stock.transcripts, silence_s=target.sending.silence_ms / 1000, frame_s=frame_s)
    return Level(
        sessions=sessions,
        sums=sums,
        carried=sums.carried(limit.seconds, limit.share),
        seconds=seconds,
        cpu=(after.cpu_s - before.cpu_s) / seconds if before is not None and after is not None else None,
        memory=peak or None,
        own_cpu=(time.process_time() - own) / seconds,
        broken_off=not patient and frames < sum(len(one.script.frames) for one in played),
        troubles=tuple(news for one in played for news in one.heard if isinstance(news, Trouble)),
    )


async def climb(
    play_level: Callable[[int], Coroutine[Any, Any, Level]],
    ramp: Ramp,
    on_level: Callable[[Level], None] = lambda _: None,
) -> list[Level]:
    """Every level that was tried. One that was not carried while the load generator was late is tried once more; if
    that happens again the climb ends there, for nothing can be said (`undecided`)."""
    levels: list[Level] = []
    while (sessions := ramp.next()) is not None and not undecided(levels):
        one = await play_level(sessions)
        levels.append(one)
        on_level(one)
        if one.carried or not one.sums.late:
            ramp.record(sessions, carried=one.carried)
        await asyncio.sleep(BREATH_S)
    return levels


def undecided(levels: Sequence[Level]) -> bool:
    """Whether the last level was tried twice in vain. Lateness only adds to latencies, so what was carried was."""
    vain = [one.sums.late and not one.carried for one in levels[-2:]]
    return len(vain) == 2 and all(vain) and levels[-1].sessions == levels[-2].sessions


def _usage(pid: int | None) -> Usage | None:
    return None if pid is None else usage(pid)


def figures(one: Level) -> dict[str, Any]:
    """A level as JSON: latencies in milliseconds, null where there are none or the answer never came."""
    sums = one.sums
    lists = {
        "final": sums.final,
        "end_to_stopped": sums.stopped,
        "stopped_to_completed": sums.done_after_stop,
        "started_to_first_delta": sums.words_after_start,
        "added_delay": sums.added,
        "frame_to_completed": sums.answered,
        "generator_late": sums.lateness,
    }
    return {
        "sessions": one.sessions,
        "carried": one.carried,
        "broken_off": one.broken_off,
        "valid": not sums.late,
        "turns": sums.turns,
        "missed": sums.missed,
        "failed": sums.failed,
        "refused": sums.refused,
        "behind": sums.behind,
        "said": sorted({news.message for news in one.troubles})[:5],
        **{f"{name}_ms": {f"p{round(100 * s)}": ms(percentile(v, s)) for s in SHARES} for name, v in lists.items()},
        "word_error_rate": round(sums.words.rate, 4) if sums.words.units else None,
        "server_cores": None if one.cpu is None else round(one.cpu, 2),
        "server_mb": None if one.memory is None else round(one.memory / 1e6),
        "generator_cores": round(one.own_cpu, 2),
        "seconds": round(one.seconds, 1),
    }


def ms(seconds: float) -> float | None:
    return round(1000 * seconds, 1) if math.isfinite(seconds) else None
