"""What sessions cost that say nothing: memory of each, and CPU of all.

    python benchmarks/idle.py [--sessions 1000] [--seconds 20] [--json FILE]

`hark serve` runs in a process of its own, with Silero and the scripted engine: the memory that a large model takes and
keeps is no session's. What the process uses is read from /proc (Linux).

First all sessions are opened and left alone. Then each hears two seconds of a sample that comes with Hark, and two of
silence, so that a turn has come and gone, and is left alone again, as a session between two presses of a key to talk.
CPU is milliseconds of the process in a second, all sessions together.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import ClientConnection, connect

from accuracy import machine
from frontend import RATE, SAMPLE, append_frame
from hark.audio.files import read_audio
from hark.audio.intake import wire_bytes
from hark.core.work import SAMPLE_RATE
from hark.models.files.pull import models_folder

AT_ONCE: Final = 32  # that open or speak at the same time
TURN_S: Final = 2
SILENCE_S: Final = 2
COMPLETED: Final = "conversation.item.input_audio_transcription.completed"
PATIENCE_S: Final = 120
SETTLE_S: Final = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0, help="for how long CPU is measured, each time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    options = parser.parse_args()
    allow_files(2 * options.sessions + 200)
    rows = asyncio.run(measure(options.sessions, options.seconds))
    show(rows, options.sessions)
    if options.json:
        report = {"machine": machine(), "sessions": options.sessions, "rows": rows}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def allow_files(wanted: int) -> None:
    """A socket is an open file; a server that is started from here may have as many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


async def measure(sessions: int, seconds: float) -> list[dict[str, Any]]:
    with server() as (pid, url):
        rows = [await reading("none", pid, 0, 0, seconds)]
        before = rows[0]["resident_bytes"]
        sockets = await each(range(sessions), lambda _: opened(url))
        rows.append(await reading("opened", pid, before, sessions, seconds))
        frames = turn()
        await each(sockets, lambda socket: speak(socket, frames))
        rows.append(await reading("after a turn", pid, before, sessions, seconds))
        await each(sockets, lambda socket: socket.close())
        rows.append(await reading("closed again", pid, 0, 0, seconds))
    return rows


async def each(things: Any, act: Any) -> list[Any]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(thing: Any) -> Any:
        async with gate:
            return await act(thing)

    return await asyncio.gather(*(one(thing) for thing in things))


@contextlib.contextmanager
def server() -> Iterator[tuple[int, str]]:
    hark = Path(sys.executable).with_name("hark")
    command = [hark, "serve", "--port", "0", "--model", "scripted", "--log-level", "error"]
    command += ["--max-sessions", "100000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield process.pid, line.split()[3].replace("http", "ws") + "/v1/realtime?intent=transcription"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


async def opened(url: str) -> ClientConnection:
    socket = await connect(url, compression=None, ping_interval=None, max_queue=None)
    await socket.recv()
    return socket


def turn() -> list[str]:
    """The frames of a short turn at the defaults of a session."""
    spoken = read_audio(models_folder(None) / SAMPLE)[SAMPLE_RATE : (1 + TURN_S) * SAMPLE_RATE]
    wire = wire_bytes(np.pad(spoken, (0, SILENCE_S * SAMPLE_RATE)), "pcm16", RATE)
    step = 2 * RATE // 10
    return [append_frame(wire[at : at + step]) for at in range(0, len(wire), step)]


async def speak(socket: ClientConnection, frames: list[str]) -> None:
    for frame in frames:
        await socket.send(frame)
    async with asyncio.timeout(PATIENCE_S):
        while json.loads(await socket.recv())["type"] != COMPLETED:
            pass


async def reading(what: str, pid: int, before: int, sessions: int, seconds: float) -> dict[str, Any]:
    """Memory and CPU of the process, while nothing is asked of it."""
    await asyncio.sleep(SETTLE_S)
    cpu, wall = cpu_s(pid), time.monotonic()
    await asyncio.sleep(seconds)
    cpu, wall = cpu_s(pid) - cpu, time.monotonic() - wall
    resident = resident_bytes(pid)
    return {
        "sessions": what,
        "resident_bytes": resident,
        "kib_each": round((resident - before) / sessions / 1024, 1) if sessions else None,
        "cpu_ms_per_s": round(1000 * cpu / wall, 2),
    }


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """To the nanosecond, over all threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def show(rows: list[dict[str, Any]], sessions: int) -> None:
    table = Table(title=f"{sessions} sessions that say nothing", caption=machine())
    for heading in ("sessions", "resident MiB", "KiB each", "CPU ms a second, all"):
        table.add_column(heading, justify="left" if heading == "sessions" else "right")
    for row in rows:
        each = "" if row["kib_each"] is None else f"{row['kib_each']:.0f}"
        table.add_row(row["sessions"], f"{row['resident_bytes'] / 2**20:.0f}", each, f"{row['cpu_ms_per_s']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
