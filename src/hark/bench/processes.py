"""The server's processes: starting one to measure, and what its tree of processes takes of the machine.

Rule: a server that is started here runs as its own process, as its users start it, and ends with the measurement. CPU
and memory are read from /proc, so they are known on Linux only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import IO, Final

from msgspec import Struct

from hark.errors import OperatorError

PROGRAM: Final = (sys.executable, "-c", "from hark.cli.main import main; main()")
START_S: Final = 120.0
STOP_S: Final = 30.0


class Usage(Struct, frozen=True):
    """CPU in seconds since the start of the processes; resident memory in bytes."""

    cpu_s: float = 0.0
    memory: int = 0


def usage(pid: int) -> Usage | None:
    """Of a process and all below it; None where that cannot be known."""
    if not Path("/proc/self/stat").exists():
        return None
    cpu_s, memory = 0.0, 0
    for member in tree(pid):
        stat = _stat(member)
        if stat is not None:
            cpu_s += sum(map(int, stat[11:15])) / os.sysconf("SC_CLK_TCK")  # children that ended included
            memory += int(stat[21]) * os.sysconf("SC_PAGE_SIZE")
    return Usage(cpu_s, memory)


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    parents = {int(path.name): stat for path in Path("/proc").glob("[0-9]*") if (stat := _stat(int(path.name)))}
    found = [pid]
    for member in found:
        found += [child for child, stat in parents.items() if int(stat[1]) == member]
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on: a name may hold anything, brackets too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return None


class Running(Struct, frozen=True):
    url: str
    api_key: str
    pid: int


@contextlib.asynccontextmanager
async def serving(
    *arguments: str,
    program: Sequence[str] = PROGRAM,
    environment: dict[str, str] | None = None,
    log_level: str = "error",
    log: IO[bytes] | None = None,
) -> AsyncIterator[Running]:
    """`hark serve` with these arguments in a process of its own, on a free port. It lets in whoever comes, as
    what it can carry is the question. `log`: where its log goes; by default where ours does. Raises OperatorError."""
    key = secrets.token_hex(16)
    process = await asyncio.create_subprocess_exec(
        *program, "serve", "--port", "0", "--log-level", log_level, *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        env={"HARK_MAX_SESSIONS": "100000", **os.environ, **(environment or {})}
        | {"HARK_API_KEY": key, "HARK_API_KEY_FILE": "", "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        yield Running(await _address(process), key, process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_S):
            async for line in process.stdout:
                if found := re.search(rb"listens at (\S+) with", line):
                    return found[1].decode()
    raise OperatorError("The server that was to be measured did not start. Try `hark serve` by itself; it says why.")
