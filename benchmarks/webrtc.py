"""What a WebRTC call costs, and what a bad network costs its words.

    python benchmarks/webrtc.py load [--calls N] [--seconds S] [--json FILE]
    python benchmarks/webrtc.py words DIR [--loss 0.05] [--jitter-ms 50] [--kind read] [--json FILE]

`load`: so many calls at once with speech and pauses, each packet on time, against `hark serve` in a process of its own
on one core, with the real voice scorer and a transcriber that costs nothing. What is counted is the server's processor
time; the clients run beside it.

`words`: each English clip of that kind once over a WebSocket and once by a call whose packets go through a relay that
loses and delays them, both in real time. Packets are encoded once, at 32 kb/s with in-band FEC, as browsers do when
they are told of losses.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from accuracy import machine
from hark.app import running
from hark.audio.files import read_audio
from hark.bench.scoring import Score, score
from hark.bench.webrtc import Call, calls_url, packets, silence
from hark.client import connect, stream
from hark.config import Settings
from hark.core.settings import TurnDetectionPatch
from hark.core.work import SAMPLE_RATE
from hark.models.files.pull import models_folder

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from relay import Relay  # a bad network, which the tests have too

RATE = 48_000
FRAME = RATE // 50
TAIL_S = 1.0
PATIENCE_S = 30
SESSION = json.dumps({"type": "transcription", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}})
COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"
COMMITTED = "input_audio_buffer.committed"
Clip = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost and words of WebRTC calls.")
    what = parser.add_subparsers(dest="what", required=True)
    load = what.add_parser("load", help="processor time of calls")
    load.add_argument("--calls", type=int, default=30)
    load.add_argument("--seconds", type=float, default=20.0)
    words = what.add_parser("words", help="word error rate over a bad network")
    words.add_argument("folder", type=Path, metavar="DIR", help="folder with manifest.jsonl")
    words.add_argument("--loss", type=float, default=0.05)
    words.add_argument("--jitter-ms", type=float, default=50.0)
    words.add_argument("--kind", default="read")
    words.add_argument("--max-seconds", type=float, default=30.0)
    words.add_argument("--at-once", type=int, default=4)
    for each in (load, words):
        each.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    report = asyncio.run(measure_load(options) if options.what == "load" else measure_words(options))
    print(json.dumps(report, indent=2))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


class Talker:
    """One call: packets that were encoded before, one every 20 ms, then silence; over and over if they `repeat`."""

    def __init__(self, url: str, said: list[bytes], *, repeat: bool = False) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.call = Call(calls_url(url), None, None, lambda text, _: self.events.put_nowait(json.loads(text)))
        self.said = said
        self.repeat = repeat
        self.at = 0
        self.speaking = False
        self._talking: asyncio.Task[None] | None = None

    async def open(self, relay: Relay | None = None) -> None:
        if relay is None:
            await self.call.open([SESSION])
        else:
            # Without addresses in the offer, or the server would find a way around the relay.
            offer = re.sub(r"a=(candidate:|end-of-candidates)[^\r\n]*\r\n", "", await self.call.offer())
            await self.call.answer(await relay.between(await self.call.ask(offer, SESSION)))
        self._talking = asyncio.create_task(self._talk())

    async def _talk(self) -> None:
        began, sent = time.monotonic(), 0
        while True:
            await asyncio.sleep(max(0.0, began + sent * 0.02 - time.monotonic()))
            content = SILENCE
            if self.speaking and (self.repeat or self.at < len(self.said)):
                content = self.said[self.at % len(self.said)]
                self.at += 1
            self.call.write(content)
            sent += 1

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.events.get(), PATIENCE_S)

    def send(self, kind: str, **fields: Any) -> None:
        self.call.say(json.dumps({"type": kind, **fields}))

    async def close(self) -> None:
        if self._talking is not None:
            self._talking.cancel()
        await self.call.close()


def encoded(audio: np.ndarray[Any, np.dtype[np.float32]]) -> list[bytes]:
    """48 kHz as Opus packets of 20 ms."""
    whole = np.pad(audio, (0, -len(audio) % FRAME))
    return packets((np.clip(whole, -1, 1) * 32767).astype(np.int16))


SILENCE = silence()


# ---- load ----------------------------------------------------------------------------------------------------------


async def measure_load(options: argparse.Namespace) -> dict[str, Any]:
    said = encoded(np.pad(read_audio(models_folder(None) / "samples" / "beckett.wav", RATE), (0, RATE)))
    with _process() as (pid, url):
        calls = [Talker(url, said, repeat=True) for _ in range(options.calls)]
        began = _cpu_s(pid)
        for number, call in enumerate(calls):
            await call.open()
            call.at = number * len(said) // len(calls)
            call.speaking = True
        setup_s = _cpu_s(pid) - began
        await asyncio.sleep(3)
        cpu, wall = _cpu_s(pid), time.monotonic()
        await asyncio.sleep(options.seconds)
        cpu, wall = _cpu_s(pid) - cpu, time.monotonic() - wall
        turns = sum(_count(call) for call in calls)
        for call in calls:
            await call.close()
    share = cpu / wall
    return {
        "machine": machine(),
        "calls": options.calls,
        "seconds": round(wall, 1),
        "core_share": round(share, 3),
        "cpu_ms_per_call_second": round(1000 * share / options.calls, 2),
        "calls_per_core": int(options.calls / share),
        "setup_ms_per_call": round(1000 * setup_s / options.calls, 1),
        "turns_heard": turns,
    }


def _count(talker: Talker) -> int:
    events = [talker.events.get_nowait() for _ in range(talker.events.qsize())]
    assert talker.call.closed is None, f"a call broke off: {talker.call.closed}"
    assert not any(event["type"] == "error" for event in events), "a call broke off"
    return sum(event["type"] == COMPLETED for event in events)


@contextlib.contextmanager
def _process() -> Iterator[tuple[int, str]]:
    """`hark serve` on one core: its process and its address."""
    import subprocess  # noqa: PLC0415

    command = [Path(sys.executable).with_name("hark"), "serve", "--port", "0", "--model", "scripted", "--threads", "1"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        os.sched_setaffinity(server.pid, {0})
        for task in Path(f"/proc/{server.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {0})
        os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)) or {0})
        yield server.pid, line.split()[3]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- words ---------------------------------------------------------------------------------------------------------


async def measure_words(options: argparse.Namespace) -> dict[str, Any]:
    lines = (options.folder / "manifest.jsonl").read_text().splitlines()
    clips = [clip for clip in map(json.loads, lines) if clip["kind"] == options.kind and clip["language"] == "en"]
    clips = [clip for clip in clips if clip["score"].startswith("wer") and clip["duration_s"] <= options.max_seconds]
    rows: list[dict[str, Any]] = []
    waiting = iter(list(enumerate(clips)))
    async with _server() as url:

        async def worker() -> None:
            for number, clip in waiting:
                plain = await by_socket(url, options.folder / clip["file"])
                called, lost = await by_call(url, options.folder / clip["file"], options, number)
                rows.append({"clip": clip, "socket": plain, "call": called, "lost": lost})
                print(f"{len(rows)}/{len(clips)} {clip['id']}", file=sys.stderr)

        await asyncio.gather(*(worker() for _ in range(options.at_once)))
    report: dict[str, Any] = {
        "machine": machine(),
        "clips": len(rows),
        "audio_s": round(sum(row["clip"]["duration_s"] for row in rows), 1),
        "loss": options.loss,
        "jitter_ms": options.jitter_ms,
        "datagrams_lost": sum(row["lost"] for row in rows),
    }
    for way in ("socket", "call"):
        total = Score(0, 0, 0)
        for row in rows:
            total = total.plus(score(row["clip"], row[way]) or Score(0, 0, 0))
        report[way] = {"wrong": total.wrong, "of": total.units, "word_error_rate": round(total.rate, 4)}
        report[way]["clips_without_a_word"] = sum(not row[way] for row in rows)
    return report


async def by_socket(url: str, path: Path) -> str:
    audio = read_audio(path)
    pieces = (audio[at : at + SAMPLE_RATE // 10] for at in range(0, len(audio), SAMPLE_RATE // 10))
    async with connect(url, turn_detection=TurnDetectionPatch(type="server_vad")) as client:
        async for _ in stream(client, pieces, pace=1.0):
            pass
        return " ".join(turn.final for turn in client.conversation.turns if turn.final)


async def by_call(url: str, path: Path, options: argparse.Namespace, seed: int) -> tuple[str, int]:
    talker = Talker(url, encoded(read_audio(path, RATE)))
    relay = Relay(random.Random(seed).randrange(1 << 30))
    try:
        await talker.open(relay)
        while (await talker.next())["type"] != "session.created":
            pass
        relay.loss, relay.jitter_s = options.loss, options.jitter_ms / 1000
        talker.speaking = True
        await asyncio.sleep(len(talker.said) / 50 + TAIL_S)
        lost, relay.loss, relay.jitter_s = relay.lost, 0.0, 0.0
        talker.send("session.update", session={"type": "transcription", "audio": {"input": {"turn_detection": None}}})
        talker.send("input_audio_buffer.commit")  # ends a turn that is open
        events = [await talker.next()]
        while not _told(events):
            events.append(await talker.next())
    finally:
        await talker.close()
    relay.close()
    return " ".join(event["transcript"] for event in events if event["type"] == COMPLETED), lost


def _told(events: list[dict[str, Any]]) -> bool:
    """Whether the last commit has been answered, and each item has ended."""
    kinds = [event["type"] for event in events]
    if "session.updated" not in kinds or not {COMMITTED, "error"} & set(kinds[kinds.index("session.updated") :]):
        return False
    return kinds.count(COMMITTED) == kinds.count(COMPLETED) + kinds.count(FAILED)


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[str]:
    async with running(Settings(host="127.0.0.1", port=0, api_key=None, threads=2)) as url:
        yield url


if __name__ == "__main__":
    main()
