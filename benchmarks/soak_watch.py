"""What the server's processes hold, every few seconds: memory, handles, threads, children, tasks; and whether it grows.

Rule: memory is flat if the mean of the last third is within FLAT of that of the first third after the warm-up. All else
must be, when every session has ended, what it was before the first began. Known on Linux only, by /proc.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Final

from msgspec import Struct

from hark.bench.processes import tree

FLAT: Final = 0.05
ENGINE: Final = "hark.compute.process_main"
GATEWAY: Final = "hark.cli.gateway"
# A smaller part of the memory than this, in MiB, is noise to FLAT.
LEAST_MIB: Final = 5.0
# Metrics that tell what there is, and that must be as before in the end.
GAUGES: Final = re.compile(
    r"^(hark_(?:tasks|sessions|sessions_away|items|items_abandoned_total))(\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE
)


class Held(Struct):
    """By the processes of a role. MiB; `shared_out`: memory with what is shared divided among those that share it."""

    processes: int = 0
    resident: float = 0.0
    shared_out: float = 0.0
    handles: int = 0
    threads: int = 0


class Reading(Struct):
    """`gauges`: what the server's own metrics say, where it has any."""

    at: float
    roles: dict[str, Held]
    gauges: dict[str, float]


class Trend(Struct):
    """Means in MiB: of the first third after the warm-up, of the last."""

    first: float
    last: float

    @property
    def growth(self) -> float:
        return self.last / self.first - 1

    @property
    def flat(self) -> bool:
        return self.growth <= FLAT or self.last - self.first < LEAST_MIB


def can_watch() -> bool:
    return Path("/proc/self/smaps_rollup").exists()


def read(pid: int, metrics: str = "") -> Reading:
    """Of the server's process and all below it. `metrics`: what /metrics answered."""
    roles: dict[str, Held] = {}
    for member in tree(pid):
        try:
            line = Path(f"/proc/{member}/cmdline").read_text("utf-8", "replace")
            role = "engines" if ENGINE in line else "gateways" if GATEWAY in line else "server" if line else "zombies"
            held = _held(member) if line else Held(1)
        except OSError:  # it has ended
            continue
        sums = roles.setdefault(role, Held())
        for name in Held.__struct_fields__:
            setattr(sums, name, getattr(sums, name) + getattr(held, name))
    gauges: dict[str, float] = {}
    for name, labels, value in GAUGES.findall(metrics):
        if "abandoned" in name and "upload" in labels:  # who leaves in the middle of one wants no answer
            continue
        gauges[name] = gauges.get(name, 0.0) + float(value)
    return Reading(time.monotonic(), roles, gauges)


def engines_of(pid: int) -> list[int]:
    """The processes of engines."""
    found = []
    for member in tree(pid):
        try:
            if ENGINE in Path(f"/proc/{member}/cmdline").read_text("utf-8", "replace"):
                found.append(member)
        except OSError:
            continue
    return found


def _held(pid: int) -> Held:
    """Raises OSError."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8")
    threads = int(_number(status, "Threads"))
    handles = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Held(1, _number(rollup, "Rss") / 1024, _number(rollup, "Pss") / 1024, handles, threads)


def _each(held: Held) -> Held:
    """What one of these processes has."""
    many = max(1, held.processes)
    return Held(1, held.resident / many, held.shared_out / many, held.handles // many, held.threads // many)


def _number(text: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def trends(readings: Sequence[Reading]) -> dict[str, Trend]:
    """Of resident memory after the warm-up: of the server's processes together, and of an engine's process."""
    third = max(1, len(readings) // 3)
    found = {}
    for role in sorted({role for each in readings for role in each.roles}):
        a_process = role == "engines"  # of which there are more or fewer as there is work
        values = [
            held.resident / (held.processes if a_process else 1) for each in readings if (held := each.roles.get(role))
        ]
        if len(values) >= 3:
            found[f"{role}, a process" if a_process else role] = Trend(fmean(values[:third]), fmean(values[-third:]))
    return found


def leaks(before: Reading, after: Reading, *, threads: int) -> list[str]:
    """What there is more of than before, each with its numbers. `threads`: how many more a process may have, since
    pools grow to their size and stay there."""
    found = []
    for role in after.roles:
        was, held = before.roles.get(role, Held()), after.roles[role]
        if role == "engines":  # more of them are started for more work, so what counts is what each has
            was, held = _each(was), _each(held)
        spare = {"processes": 0, "handles": 0, "threads": threads * held.processes}
        found += [
            f"{role}: {getattr(was, name)} {name} before and {getattr(held, name)} after"
            for name, more in spare.items()
            if getattr(held, name) > getattr(was, name) + more
        ]
    found += [
        f"{name}: {before.gauges.get(name, 0):g} before and {value:g} after"
        for name, value in after.gauges.items()
        if value > before.gauges.get(name, 0)
    ]
    return found


def kill(pid: int) -> None:
    """At once, as the kernel does where memory is short."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
