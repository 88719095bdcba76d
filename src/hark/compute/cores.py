"""How many cores this process may keep busy: by its affinity, and by the quota of its control group.

A container with a quota sees all cores of its host; with a thread for each it would use up its quota early in every
period of 100 ms and stand still for the rest of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
GROUPS: Final = Path("/proc/self/cgroup")


def usable_cores(root: Path = ROOT, groups: Path = GROUPS) -> int:
    """At least 1. A quota of a core and a half counts as one: the other half carries the sessions."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(int(quota) for quota in _quotas(root, groups))]))


def _quotas(root: Path, groups: Path) -> Iterator[float]:
    """In cores, of our group and those above it, as far as they can be seen: those of the kernel's second form, and of
    its first."""
    for line in _read(groups).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for group in _upwards(path):
            if not controllers:
                quota, _, period = _read(root / group / "cpu.max").partition(" ")
            else:
                folder = root / "cpu" / group
                quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
            if quota.isdecimal() and period.isdecimal() and int(period):
                yield int(quota) / int(period)


def _upwards(path: str) -> Iterator[str]:
    """The group and those above it, to the root, which inside of a container is often its own."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for length in range(len(parts), -1, -1):
        yield "/".join(parts[:length])


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
