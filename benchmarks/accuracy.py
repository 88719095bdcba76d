"""Word error rate through the server: every clip of a manifest streamed over the realtime API, in 100 ms appends.

    python benchmarks/accuracy.py DIR [--url URL] [--json FILE] [--silence-ms MS | --manual] [--max-seconds S]

DIR holds manifest.jsonl (fields as in docs/accuracy.md) and the audio it names. Without --url a server of its own is
started. The transcript of a clip is what its `completed` events said, joined. Real-time factor: seconds of work for a
second of audio, all sessions together, so it includes what the machine's cores do side by side.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from hark.app import running
from hark.audio.files import read_audio
from hark.bench.scoring import Score, by_kind, score
from hark.client import connect, stream
from hark.config import Settings
from hark.core.settings import TurnDetectionPatch
from hark.core.work import SAMPLE_RATE

Clip = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", help="a running server; otherwise one is started for this")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument(
        "--silence-ms", type=int, help="silence_duration_ms of server_vad; otherwise the server's default"
    )
    parser.add_argument("--manual", action="store_true", help="no turn detection: one commit at the end of each clip")
    parser.add_argument("--sessions", type=int, default=4, help="clips streamed at once")
    parser.add_argument("--pace", type=float, help="1 is real time; otherwise as fast as the server takes it")
    parser.add_argument("--max-seconds", type=float, default=float("inf"), help="leave out longer clips with words")
    parser.add_argument("--gain", type=float, default=1.0, help="scale every sample: 0.99997 shows the noise")
    parser.add_argument("--all-languages", action="store_true", help="clips in other languages than English too")
    parser.add_argument("--texts", type=Path, help="write what was heard here, a clip a line")
    options = parser.parse_args()
    clips = [json.loads(line) for line in (options.folder / "manifest.jsonl").read_text().splitlines() if line.strip()]
    clips = [clip for clip in clips if options.all_languages or clip["language"] in ("en", "zxx")]
    clips = [clip for clip in clips if score(clip, "") is not None]
    clips = [clip for clip in clips if clip["duration_s"] <= options.max_seconds or clip["score"] == "no-speech"]
    report = asyncio.run(measure(clips, options))
    show(report, Console())
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


async def measure(clips: list[Clip], options: argparse.Namespace) -> dict[str, Any]:
    console = Console(stderr=True)
    heard: dict[str, str] = {}
    waiting = iter(clips)
    async with measured_server(options.url) as url:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("clips", total=len(clips))

            async def worker() -> None:
                for clip in waiting:
                    heard[clip["id"]] = await transcribe(url, clip, options)
                    progress.advance(bar)

            start = time.monotonic()
            await asyncio.gather(*(worker() for _ in range(options.sessions)))
            seconds = time.monotonic() - start
    if options.texts:
        lines = [
            json.dumps({"id": clip["id"], "said": clip["transcript"], "heard": heard[clip["id"]]}) for clip in clips
        ]
        options.texts.write_text("\n".join(lines) + "\n")
    audio = sum(clip["duration_s"] for clip in clips)
    scored = [(clip, found) for clip in clips if (found := score(clip, heard[clip["id"]])) is not None]
    kinds = {f"{kind} ({how})": _figures(total) for (how, kind), total in by_kind(scored).items()}
    silent = [total for clip, total in scored if clip["score"] == "no-speech"]
    words = [total for clip, total in scored if clip["score"].startswith("wer")]
    turns = "manual" if options.manual else f"server_vad {options.silence_ms or 'default'}"
    return {
        "machine": machine(),
        "turns": turns,
        "pace": options.pace,
        "kinds": kinds,
        "word_error_rate": round(_sum(words).rate, 6),
        "no_speech_clips": len(silent),
        "no_speech_empty": len(silent) - _sum(silent).wrong,
        "audio_s": round(audio, 1),
        "seconds": round(seconds, 1),
        "real_time_factor": round(seconds / audio, 4),
    }


async def transcribe(url: str, clip: Clip, options: argparse.Namespace) -> str:
    turn_detection = None
    if not options.manual:
        turn_detection = TurnDetectionPatch(type="server_vad")
        if options.silence_ms is not None:
            turn_detection = TurnDetectionPatch(type="server_vad", silence_duration_ms=options.silence_ms)
    audio = read_audio(options.folder / clip["file"]) * np.float32(options.gain)
    pieces = (audio[at : at + SAMPLE_RATE] for at in range(0, len(audio), SAMPLE_RATE))
    async with connect(url, turn_detection=turn_detection) as client:
        async for _ in stream(client, pieces, pace=options.pace):
            pass
        failed = [turn.failed for turn in client.conversation.turns if turn.failed]
        if failed:
            raise RuntimeError(f"{clip['id']}: {failed[0]}")
        return " ".join(turn.final for turn in client.conversation.turns if turn.final)


@asynccontextmanager
async def measured_server(url: str | None) -> AsyncIterator[str]:
    if url is not None:
        yield url
        return
    async with running(Settings(host="127.0.0.1", port=0, api_key=None)) as own:
        yield own


def machine() -> str:
    """Cores and processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {names[0] if names else platform.machine()}"


def _sum(scores: list[Score]) -> Score:
    total = Score(0, 0, 0)
    for one in scores:
        total = total.plus(one)
    return total


def _figures(total: Score) -> dict[str, Any]:
    return {"clips": total.clips, "wrong": total.wrong, "units": total.units, "rate": round(total.rate, 6)}


def show(report: dict[str, Any], console: Console) -> None:
    table = Table(title=f"Through the server, {report['turns']}")
    for title in ("kind (scored by)", "clips", "wrong", "of", "rate"):
        table.add_column(title, justify="left" if title.startswith("kind") else "right")
    for kind, row in report["kinds"].items():
        table.add_row(kind, str(row["clips"]), str(row["wrong"]), str(row["units"]), f"{row['rate']:.1%}")
    console.print(table)
    console.print(f"Word error rate {report['word_error_rate']:.1%} over all clips that are scored by words.")
    console.print(
        f"Clips without speech that stayed empty: {report['no_speech_empty']} of {report['no_speech_clips']}."
    )
    if report["pace"] is not None:
        console.print(f"{report['audio_s']:.0f} s of audio, played at {report['pace']:g} times its speed.")
        return
    speed = f"{report['audio_s']:.0f} s of audio in {report['seconds']:.0f} s: real-time factor"
    console.print(f"{speed} {report['real_time_factor']:.3f} on {report['machine']}.")


if __name__ == "__main__":
    main()
