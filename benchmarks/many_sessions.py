"""How long a server of many sessions keeps each of them waiting, apart from what models take: the delay it adds.

    python benchmarks/many_sessions.py [--sessions 500] [--seconds 20] [--cpus 0,1] [--json FILE]

`hark serve` runs with the scripted models, which answer at once, on the cores that --cpus names. Every session sends
24 kHz pcm16 in real time, words and pauses, with server_vad and a silence of 300 ms. What one of them is told follows
from its audio alone, so the same audio is first played to a session without a server, a clock or a model's time: that
says which append completes the audio that an event needs. The added delay of that event is the time from the moment
this append was handed to the socket to the moment the event was read. Sessions are opened over one cycle of their
audio, so that turns are spread evenly, and events count from when all are open.

Frames are made before the run, and one loop sends and reads them all. It says how late it was itself: where that comes
near the delays, the figures are the generator's.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gc
import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console

from accuracy import machine
from hark.audio.formats import encode
from hark.audio.resample import Resampler
from hark.core import messages as m
from hark.core.settings import AudioFormat, ModelCard, SessionSettings, TurnDetection
from hark.core.work import Result, ScoreVoice, Transcribe, Transcribed, VoiceScored
from hark.models.base import Utterance
from hark.models.scripted import ScriptedEngine, ScriptedScorer, amplitude
from hark.session.session import Session

RATE: Final = 24_000
# Four words, a hesitation that ends no turn, three words, and a pause that does.
CYCLE: Final = ("echo", "golf", "alpha", "delta", 200, "hotel", "bravo", "india", 900)
WORD_MS: Final = 200
SILENCE_MS: Final = 300
UPDATE: Final = {
    "type": "session.update",
    "session": {
        "type": "transcription",
        "audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": SILENCE_MS}}},
    },
}
KINDS: Final = {
    b"input_audio_buffer.speech_started": "started",
    b"input_audio_buffer.speech_stopped": "stopped",
    b"conversation.item.input_audio_transcription.completed": "completed",
}
TYPE: Final = re.compile(rb'"type":"([a-z_.]+)"')
MASK: Final = bytes.fromhex("a5c3960f")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long events count")
    parser.add_argument("--append-ms", type=int, default=100, help="audio in an append")
    parser.add_argument("--cpus", default="0,1", help="cores of the server, with commas between")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    options = parser.parse_args()
    cores = {int(core) for core in options.cpus.split(",")}
    room_for(options.sessions)
    with server(cores) as (pid, port):
        report = {"machine": machine(), "server_cores": len(cores)} | measure(pid, port, options)
    Console(highlight=False).print_json(data=report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def room_for(sessions: int) -> None:
    """A socket a session, here and in the server."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * sessions + 256
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


@contextlib.contextmanager
def server(cores: set[int]) -> Iterator[tuple[int, int]]:
    """`hark serve` on these cores, and ourselves on the others: its process and its port."""
    models = ["--model", "scripted", "--voice-model", "scripted-vad", "--turn-model", "none"]
    hark = str(Path(sys.executable).with_name("hark"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HARK_")}
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # which the server inherits
    process = subprocess.Popen(
        [hark, "serve", "--port", "0", "--log-level", "warning", "--max-sessions", "100000", *models],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    os.sched_setaffinity(0, (everywhere - cores) or everywhere)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        found = re.search(r":(\d+)", said)
        if found is None:
            raise SystemExit(f"the server did not start: {said}{process.stdout.read()}")
        yield process.pid, int(found[1])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


# ---- what is said, and what it must be answered with -----------------------------------------------------------------


def appends(seconds: float, append_ms: int) -> list[bytes]:
    """The audio, an append each."""
    pieces = []
    for part in CYCLE:
        if isinstance(part, int):
            pieces.append(np.zeros(part * 16, np.float32))
        else:
            sign = np.where(np.arange(WORD_MS * 16) % 40 < 20, 1, -1)
            pieces.append((amplitude(part) * sign).astype(np.float32))
    cycle = np.concatenate(pieces)
    resampler = Resampler(16_000, RATE)
    repeats = int(seconds * 16_000 / len(cycle)) + 2
    audio = encode(resampler.push(np.tile(cycle, repeats)), "pcm16")
    size = RATE * append_ms // 1_000 * 2
    return [audio[at : at + size] for at in range(0, len(audio) - size, size)]


def cycle_s() -> float:
    return sum(part if isinstance(part, int) else WORD_MS for part in CYCLE) / 1_000


def causes(audio: list[bytes]) -> dict[str, list[int]]:
    """By kind of event: the append that completes the audio of each, in order."""
    new_id = count()
    detection = TurnDetection(type="server_vad", silence_duration_ms=SILENCE_MS)
    settings = SessionSettings(turn_detection=detection, format=AudioFormat("pcm16", RATE))
    session = Session(
        m.SessionView("sess", 2_000_000_000, settings),
        find_model=lambda name: ModelCard("scripted", "scripted"),
        new_id=lambda prefix: f"{prefix}_{next(new_id)}",
        now=0.0,
    )
    kinds = {m.SpeechStarted: "started", m.SpeechStopped: "stopped", m.TranscriptCompleted: "completed"}
    found: dict[str, list[int]] = {kind: [] for kind in kinds.values()}
    for index, data in enumerate(audio):
        session.receive(m.AppendAudio(audio=data), 0.0)
        while outputs := session.outputs():
            for output in outputs:
                if type(output) in kinds:
                    found[kinds[type(output)]].append(index)
                elif isinstance(output, ScoreVoice | Transcribe):
                    session.receive(answer(output), 0.0)
    return found


def answer(work: ScoreVoice | Transcribe) -> Result:
    if isinstance(work, ScoreVoice):
        ((probabilities, state),) = ScriptedScorer().score([(work.audio, work.state)])
        return VoiceScored(work.id, probabilities, state)
    return Transcribed(work.id, ScriptedEngine().transcribe([Utterance(work.audio)])[0])


# ---- sockets ---------------------------------------------------------------------------------------------------------


def frame(payload: bytes) -> bytes:
    """A masked text frame."""
    size = len(payload)
    if size < 126:
        head = bytes((0x81, 0x80 | size))
    elif size < 1 << 16:
        head = b"\x81\xfe" + size.to_bytes(2, "big")
    else:
        head = b"\x81\xff" + size.to_bytes(8, "big")
    repeated = (MASK * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
    return head + MASK + masked


def frames(data: bytes) -> tuple[list[bytes], bytes]:
    """The server's whole frames in `data`, and what is left of it."""
    found, at = [], 0
    while len(data) - at >= 2:
        size, begins = data[at + 1], at + 2
        if size >= 126:
            extra = 2 if size == 126 else 8
            size, begins = int.from_bytes(data[begins : begins + extra], "big"), begins + extra
        if len(data) < begins + size or begins > len(data):
            break
        if data[at] != 0x81:
            raise SystemExit(f"the server sent a frame that begins with {data[at]:#x}: {data[begins:][:200]!r}")
        found.append(data[begins : begins + size])
        at = begins + size
    return found, data[at:]


class Talker:
    """One session: when it sends what, and how long it waited for each event."""

    def __init__(self, port: int, needs: dict[str, list[int]]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /v1/realtime?intent=transcription HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.socket.recv(65_536)
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise SystemExit(f"the server refused a session: {head!r}")
        self._rest = head.partition(b"\r\n\r\n")[2]
        self.socket.sendall(frame(json.dumps(UPDATE).encode()))
        self.socket.setblocking(False)
        self.sent: list[float] = []
        self._needs = {kind: iter(needs[kind]) for kind in needs}
        self._unsent = b""
        self.held_back = 0

    def send(self, data: bytes, now: float) -> None:
        self.sent.append(now)
        if self._unsent:
            self.held_back += 1
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        if self._unsent:
            with contextlib.suppress(BlockingIOError):
                self._unsent = self._unsent[self.socket.send(self._unsent) :]

    def read(self, now: float) -> Iterator[tuple[str, float]]:
        """(kind of event, added delay in seconds) of what has come."""
        data = self.socket.recv(65_536)
        if not data:
            raise SystemExit("the server ended a session")
        whole, self._rest = frames(self._rest + data)
        for text in whole:
            found = TYPE.search(text)
            if found is None or b"error" in found[1]:
                raise SystemExit(f"the server said {text!r}")
            if kind := KINDS.get(found[1]):
                yield kind, now - self.sent[next(self._needs[kind])]


def measure(pid: int, port: int, options: argparse.Namespace) -> dict[str, Any]:
    append_s = options.append_ms / 1_000
    spread = max(cycle_s(), options.sessions / 250)
    audio = appends(spread + options.seconds + 1, options.append_ms)
    needs = causes(audio)
    said = [frame(b'{"type":"input_audio_buffer.append","audio":"%s"}' % base64.b64encode(each)) for each in audio]
    talkers = [Talker(port, needs) for _ in range(options.sessions)]
    start = time.monotonic() + 0.5
    steps = sorted(
        (start + spread * index / len(talkers) + step * append_s, step, index)
        for index in range(len(talkers))
        for step in range(len(audio))
    )
    due = deque((at, said[step], talkers[index]) for at, step, index in steps)
    counts_from = start + spread + 0.5
    gc.freeze()
    gc.disable()
    run = Run(pid, counts_from, counts_from + options.seconds)
    run.play(talkers, due)
    heard = options.sessions * options.seconds
    pooled = [delay for each in run.delays.values() for delay in each]
    return {
        "sessions": options.sessions,
        "append_ms": options.append_ms,
        "seconds": options.seconds,
        "events": len(pooled),
        "added_ms": {kind: figures(values) for kind, values in run.delays.items()},
        "added_ms_p99": figures(pooled)["p99"],
        "held_back": sum(talker.held_back for talker in talkers),
        "generator_late_ms": figures(run.late),
        "server_cpu_ms_per_audio_s": round(1_000 * sum(run.used) / heard, 3),
        "server_cores_busy": {
            name: round(used / options.seconds, 3) for name, used in zip(("loop", "threads"), run.used, strict=True)
        },
    }


class Run:
    """The time in which events count, and what was seen in it."""

    def __init__(self, pid: int, counts_from: float, until: float) -> None:
        self._pid = pid
        self._counts_from = counts_from
        self._until = until
        self.delays: dict[str, list[float]] = {kind: [] for kind in KINDS.values()}
        self.late: list[float] = []
        self.used = (0.0, 0.0)

    def play(self, talkers: list[Talker], due: deque[tuple[float, bytes, Talker]]) -> None:
        poll = select.epoll()
        by_fd = {talker.socket.fileno(): talker for talker in talkers}
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        before: tuple[float, float] | None = None
        while (now := time.monotonic()) < self._until:
            if before is None and now >= self._counts_from:
                before = cpu_seconds(self._pid)
            while due and due[0][0] <= now:
                at, data, talker = due.popleft()
                talker.send(data, now)
                self.late.append(now - at)
                now = time.monotonic()
            for fd, _ in poll.poll(max(0.0, min(due[0][0] - now, 0.05)) if due else 0.05, 64):
                now = time.monotonic()
                for kind, delay in by_fd[fd].read(now):
                    if now >= self._counts_from:
                        self.delays[kind].append(delay)
                by_fd[fd].flush()
        loop, threads = cpu_seconds(self._pid)
        if before is not None:
            self.used = (loop - before[0], threads - before[1])


def figures(values: list[float]) -> dict[str, float]:
    if not values:
        return {"p50": float("nan"), "p99": float("nan"), "max": float("nan")}
    p50, p99, most = np.percentile(values, [50, 99, 100]) * 1_000
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(float(most), 2)}


def cpu_seconds(pid: int) -> tuple[float, float]:
    """Of the thread that carries all sessions, and of all others."""
    used = {task.name: int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()}
    loop = used.pop(str(pid))
    return loop / 1e9, sum(used.values()) / 1e9


if __name__ == "__main__":
    main()
