"""Which engines to let go of where they take more memory than they may.

Rule: only those go that nobody uses, the one first that was used longest ago, and no more than it takes. What the
server cannot do without stays, whatever it takes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct

# A talker pauses, and a model that has gone has to be loaded anew.
IDLE_S: Final = 3.0


class Tenant(Struct, frozen=True):
    """An engine that is loaded: the bytes it takes, for how many seconds it has had nothing to do (None: it works), and
    whether it has to stay."""

    name: str
    size: int
    idle_s: float | None
    stays: bool = False


def to_let_go(tenants: Iterable[Tenant], limit: int) -> list[str]:
    """Names, in the order of their going, without which `limit` bytes are kept to, as far as they can be."""
    tenants = list(tenants)
    over = sum(tenant.size for tenant in tenants) - limit
    idle = [
        (tenant.idle_s, tenant)
        for tenant in tenants
        if tenant.idle_s is not None and tenant.idle_s >= IDLE_S and not tenant.stays and tenant.size
    ]
    going = []
    for _, tenant in sorted(idle, key=lambda pair: -pair[0]):
        if over <= 0:
            break
        going.append(tenant.name)
        over -= tenant.size
    return going


def resident(pid: int) -> int | None:
    """The bytes of memory that a process holds; None where the system does not tell, or it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
