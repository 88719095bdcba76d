"""Word error rate and speed of the Moonshine engine on whole clips, without a server.

    python benchmarks/offline.py DIR [--json FILE] [--threads N] [--batch N]

DIR holds manifest.jsonl and the clips it names. English clips whose words are known are transcribed whole, so clips
longer than 30 s, for which the model was not made, are skipped and counted. Clips are batched by length.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hark.audio.files import read_audio
from hark.bench.scoring import Score, by_kind, score
from hark.core.work import SAMPLE_RATE
from hark.models.base import LoadOptions, Utterance
from hark.models.files.pull import models_folder
from hark.models.moonshine.engine import Moonshine

LONGEST_S = 30.0
Clip = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Word error rate and speed of the Moonshine engine.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with manifest.jsonl")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1, help="clips transcribed at once")
    options = parser.parse_args()

    clips, skipped = choose(options.folder)
    engine = Moonshine(LoadOptions(folder=models_folder(None), threads=options.threads))
    scores: list[tuple[Clip, Score]] = []
    audio_s = busy_s = 0.0
    for group in groups(clips, options.batch):
        batch = [Utterance(read_audio(options.folder / clip["file"])) for clip in group]
        started = time.perf_counter()
        hypotheses = engine.transcribe(batch)
        busy_s += time.perf_counter() - started
        audio_s += sum(len(utterance.audio) for utterance in batch) / SAMPLE_RATE
        for clip, hypothesis in zip(group, hypotheses, strict=True):
            scored = score(clip, hypothesis.text)
            if scored is not None:
                scores.append((clip, scored))
    report(scores, skipped, audio_s, busy_s, options)


def choose(folder: Path) -> tuple[list[Clip], int]:
    """The clips to transcribe, shortest first, and how many were too long."""
    lines = (folder / "manifest.jsonl").read_text("utf-8").splitlines()
    known = [clip for clip in map(json.loads, lines) if clip["score"] in {"wer", "wer-lenient"}]
    english = [clip for clip in known if clip["language"].startswith("en")]
    fitting = [clip for clip in english if clip["duration_s"] <= LONGEST_S]
    return sorted(fitting, key=lambda clip: clip["duration_s"]), len(english) - len(fitting)


def groups(clips: list[Clip], size: int) -> Iterator[list[Clip]]:
    for start in range(0, len(clips), size):
        yield clips[start : start + size]


def report(
    scores: list[tuple[Clip, Score]], skipped: int, audio_s: float, busy_s: float, options: argparse.Namespace
) -> None:
    total = Score(0, 0, 0)
    table = Table(title="Moonshine tiny-en, whole clips", caption=f"{skipped} clips over {LONGEST_S:.0f} s skipped")
    for heading in ("kind", "score", "clips", "words", "word error rate"):
        table.add_column(heading, justify="left" if heading in {"kind", "score"} else "right")
    kinds = by_kind(scores)
    for (how, kind), one in kinds.items():
        total = total.plus(one)
        table.add_row(kind, how, str(one.clips), str(one.units), f"{one.rate:.1%}")
    table.add_section()
    table.add_row("all", "", str(total.clips), str(total.units), f"{total.rate:.1%}")
    factor = busy_s / audio_s if audio_s else 0.0
    console = Console()
    console.print(table)
    console.print(
        f"Real-time factor {factor:.4f}: {busy_s:.1f} s for {audio_s:.0f} s of audio, "
        f"{options.threads} thread(s), batches of {options.batch}."
    )
    if options.json:
        figures = {
            "model": "moonshine-tiny-en",
            "threads": options.threads,
            "batch": options.batch,
            "skipped": skipped,
            "audio_s": round(audio_s, 1),
            "real_time_factor": round(factor, 4),
            "all": row(total),
            "kinds": [{"kind": kind, "score": how, **row(one)} for (how, kind), one in kinds.items()],
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


def row(one: Score) -> dict[str, float]:
    return {"clips": one.clips, "words": one.units, "errors": one.wrong, "word_error_rate": round(one.rate, 4)}


if __name__ == "__main__":
    main()
