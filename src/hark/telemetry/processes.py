"""What a process of an engine takes, where the system tells: Linux, by /proc."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct


class Usage(Struct, frozen=True):
    cpu_s: float
    descriptors: int


def usage(pid: int) -> Usage | None:
    """None where the system does not tell, or the process is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        # The second field is the name, which may hold anything; the 14th and 15th are ticks for itself and the kernel.
        fields = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        if fields[0] == "Z":  # it has ended, and the server has not looked after it yet
            return None
        descriptors = sum(1 for _ in (folder / "fd").iterdir())
        return Usage((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), descriptors)
    except (OSError, ValueError, IndexError):
        return None
