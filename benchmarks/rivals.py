"""What Hark is measured beside, under the same rules: moonshine-voice's own streaming, and sherpa-onnx's server.

Both come from the package index into environments of their own (`make bench` makes them from benchmarks/peers/).
sherpa-onnx takes the very files of Moonshine that Hark pulls; only its list of tokens is another form of the
vocabulary.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np

from hark.bench.clips import Clip
from hark.bench.heard import Heard, Started, Transcript, Words
from hark.bench.load import Level, Limit
from hark.bench.measures import Played, sum_up
from hark.bench.player import NOISE, padded
from hark.bench.processes import Running
from hark.bench.protocols import Sending
from hark.bench.schedule import PAUSE, Length, Plan, script
from hark.core.work import SAMPLE_RATE
from hark.models.files.pull import models_folder

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".clients" / "peers"
MOONSHINE_VOICE = PEERS / "moonshine-voice" / "bin" / "python"
SHERPA = PEERS / "sherpa-onnx" / "bin" / "sherpa-onnx-offline-websocket-server"
PATIENCE_S = 3.0


def why_not(program: Path) -> str | None:
    """Why this peer is not measured, if it is not."""
    folder = program.parent.parent
    if (reason := folder / "why-not").exists():
        return reason.read_text("utf-8")
    return None if program.exists() else f"{folder.name} is not installed: run it by `make bench`"


async def moonshine_voice(clips: list[Clip], sending: Sending, plan: Plan, sessions: int, limit: Limit) -> Level:
    """One level on moonshine-voice's streaming Transcriber."""
    sound = {number: padded(clip, sending) for number, clip in enumerate(clips)}
    lengths = [Length(len(sound[n]) // plan.frame_samples, clip.speech_end) for n, clip in enumerate(clips)]
    quiet = NOISE * np.random.default_rng(0).standard_normal(plan.frame_samples)
    sound[PAUSE] = quiet.astype(np.float32)
    scripts = [script(plan, lengths, number) for number in range(sessions)]
    with tempfile.TemporaryDirectory() as name:
        folder, place, where = Path(name), 0, []
        for number, audio in sound.items():
            where.append([number, place, place + len(audio)])
            place += len(audio)
        np.concatenate(list(sound.values())).astype("<f4").tofile(folder / "clips.f32")
        asked = {
            "clips": where,
            "frame_samples": plan.frame_samples,
            "seconds": plan.seconds,
            "patience_s": PATIENCE_S,
            "sessions": [{"frames": s.frames, "arrivals": s.arrivals, "offset": s.offset} for s in scripts],
        }
        (folder / "plan.json").write_text(json.dumps(asked))
        started = time.monotonic()
        player = Path(__file__).parent / "peers" / "play.py"
        process = await asyncio.create_subprocess_exec(MOONSHINE_VOICE, player, folder)
        await process.wait()
        seconds = time.monotonic() - started
        told = json.loads((folder / "heard.json").read_text())
    played = [
        Played(one, said["zero"], backlog_s=said["lag"] + 10 * said["unfinished"], heard=_heard(said["heard"]))
        for one, said in zip(scripts, told["sessions"], strict=True)
    ]
    texts = [clip.transcript for clip in clips]
    sums = sum_up(played, texts, silence_s=sending.silence_ms / 1000, frame_s=plan.frame_samples / SAMPLE_RATE)
    carried = sums.carried(limit.seconds, limit.share)
    return Level(sessions, sums, carried, seconds, told["cpu_s"] / seconds, None, 0.0)


def _heard(lines: list[list[object]]) -> list[Heard]:
    found: list[Heard] = []
    for kind, at, line, *rest in lines:
        moment, item = float(str(at)), str(line)
        if kind == "done":
            found.append(Transcript(moment, item, str(rest[0]), float(str(rest[1]))))
        else:
            found.append(Started(moment, item) if kind == "started" else Words(moment, item))
    return found


@asynccontextmanager
async def sherpa(cores: int) -> AsyncIterator[Running]:
    """sherpa-onnx's server with Moonshine tiny-en: a thread a core, each with a model of one thread."""
    model = models_folder(None) / "moonshine-tiny-en"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        tokens = Path(folder) / "tokens.txt"
        tokens.write_text(tokens_of((model / "tokenizer.bin").read_bytes()))
        process = await asyncio.create_subprocess_exec(
            SHERPA, f"--port={port}", f"--num-work-threads={cores}", "--num-threads=1",
            f"--moonshine-encoder={model / 'encoder_model.ort'}",
            f"--moonshine-merged-decoder={model / 'decoder_model_merged.ort'}",
            f"--tokens={tokens}", f"--log-file={Path(folder) / 'log.txt'}",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            for _ in range(200):
                await asyncio.sleep(0.1)
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
            else:
                raise RuntimeError("sherpa-onnx's server did not start")
            yield Running(f"ws://127.0.0.1:{port}", "", process.pid)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def tokens_of(vocabulary: bytes) -> str:
    """The vocabulary of tokenizer.bin, a row of entries behind their lengths, as lines of "base64 id"."""
    lines, place = [], 0
    while place < len(vocabulary):
        end = place + 1 + vocabulary[place]
        lines.append(f"{base64.b64encode(vocabulary[place + 1 : end]).decode()} {len(lines)}\n")
        place = end
    return "".join(lines)
