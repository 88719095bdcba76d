"""What this machine has for models: its memory, and its CUDA GPUs, asked of the driver itself.

Rule: nothing is installed or imported for it, and what cannot be found out counts as not there.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Final

from msgspec import Struct

MEBIBYTE: Final = 1 << 20
DRIVER: Final = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


class Machine(Struct, frozen=True):
    """MiB of memory, and of each CUDA GPU's."""

    memory_mb: int
    gpus_mb: tuple[int, ...] = ()


def this_machine() -> Machine:
    return Machine(_memory_mb(), _gpus_mb())


def _memory_mb() -> int:
    """The machine's, or what the container that this is may take of it."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 1 << 20  # a system that does not say is a desktop with enough for any of these models
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            memory = min(memory, int(Path(limit).read_text("ascii")))
        except (OSError, ValueError):  # no such limit, or "max"
            continue
    return memory // MEBIBYTE


def _gpus_mb() -> tuple[int, ...]:
    """By CUDA's driver API, whose signatures these are; CUDA_VISIBLE_DEVICES counts. No context is made."""
    try:
        driver = ctypes.CDLL(DRIVER)
        count = ctypes.c_int()
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
            return ()
        found = []
        for ordinal in range(count.value):
            device, size = ctypes.c_int(), ctypes.c_size_t()
            if not driver.cuDeviceGet(ctypes.byref(device), ordinal) and not driver.cuDeviceTotalMem_v2(
                ctypes.byref(size), device
            ):
                found.append(size.value // MEBIBYTE)
    except (OSError, AttributeError):
        return ()
    return tuple(found)
