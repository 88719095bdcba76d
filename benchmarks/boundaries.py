"""Whether turn detection cuts off words: the first and the last word of each read clip, streamed and whole.

    python benchmarks/boundaries.py DIR [--url URL] [--json FILE] [--kind read] [--manual]

DIR holds manifest.jsonl (fields as in docs/accuracy.md) and the audio it names. Each clip is given whole to the model
that transcribes, and streamed to a server at its defaults, as fast as it takes it. Where the text of the whole clip has
the first (last) word of the reference and the streamed one has not, that word was lost if nothing stands in its place,
and changed if another word does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from accuracy import machine, measured_server, transcribe
from hark.audio.files import read_audio
from hark.bench.scoring import normalise
from hark.models.base import LoadOptions, Utterance
from hark.models.files.pull import models_folder
from hark.models.moonshine.engine import Moonshine
from offline import LONGEST_S

Clip = dict[str, Any]
SESSIONS: Final = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", help="a running server; otherwise one is started for this")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--kind", default="read", help="clips of this kind")
    parser.add_argument("--manual", action="store_true", help="no turn detection: one commit at the end of each clip")
    options = parser.parse_args()
    options.silence_ms, options.pace, options.gain = None, None, 1.0
    clips = [json.loads(line) for line in (options.folder / "manifest.jsonl").read_text().splitlines() if line.strip()]
    clips = [clip for clip in clips if clip["kind"] == options.kind and clip["language"] == "en"]
    clips = [clip for clip in clips if clip["score"].startswith("wer") and clip["duration_s"] <= LONGEST_S]
    streamed = asyncio.run(stream_all(clips, options))
    engine = Moonshine(LoadOptions(models_folder(None), threads=1))
    findings: list[dict[str, str]] = []
    compared = 0
    for clip in clips:
        whole = engine.transcribe([Utterance(read_audio(options.folder / clip["file"]))])[0].text
        said = normalise(clip["transcript"])
        for edge, place in (("first", 0), ("last", -1)):
            if not said or standing(said, normalise(whole))[place] != said[place]:
                continue
            compared += 1
            heard = standing(said, normalise(streamed[clip["id"]]))[place]
            if heard != said[place]:
                fate = "changed" if heard else "lost"
                findings.append({"id": clip["id"], "edge": edge, "word": said[place], "fate": fate, "heard": heard})
    report = {
        "machine": machine(),
        "clips": len(clips),
        "compared": compared,
        "lost": sum(finding["fate"] == "lost" for finding in findings),
        "changed": sum(finding["fate"] == "changed" for finding in findings),
        "findings": findings,
    }
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


async def stream_all(clips: Sequence[Clip], options: argparse.Namespace) -> dict[str, str]:
    heard: dict[str, str] = {}
    waiting = iter(clips)
    async with measured_server(options.url) as url:

        async def worker() -> None:
            for clip in waiting:
                heard[clip["id"]] = await transcribe(url, clip, options)

        await asyncio.gather(*(worker() for _ in range(SESSIONS)))
    return heard


def standing(said: Sequence[str], heard: Sequence[str]) -> list[str]:
    """For each word of `said` the word that stands for it in `heard`, "" for none: an alignment with fewest errors
    (Levenshtein), which prefers the same word, then another one in its place."""
    costs = [[0] * (len(heard) + 1) for _ in range(len(said) + 1)]
    for row in range(len(said) + 1):
        for column in range(len(heard) + 1):
            if not row or not column:
                costs[row][column] = row + column
                continue
            replaced = costs[row - 1][column - 1] + (said[row - 1] != heard[column - 1])
            costs[row][column] = min(replaced, costs[row - 1][column] + 1, costs[row][column - 1] + 1)
    aligned: list[str] = []
    row, column = len(said), len(heard)
    while row:
        here = costs[row][column]
        if column and here == costs[row - 1][column - 1] + (said[row - 1] != heard[column - 1]):
            row, column = row - 1, column - 1
            aligned.append(heard[column])
        elif here == costs[row - 1][column] + 1:
            row -= 1
            aligned.append("")
        else:
            column -= 1
    return aligned[::-1]


def show(report: dict[str, Any]) -> None:
    console = Console()
    for finding in report["findings"]:
        instead = f", heard '{finding['heard']}'" if finding["heard"] else ""
        console.print(f"{finding['id']}: {finding['edge']} word '{finding['word']}' {finding['fate']}{instead}")
    console.print(
        f"{report['compared']} first and last words of {report['clips']} clips compared: "
        f"{report['lost']} lost, {report['changed']} changed."
    )


if __name__ == "__main__":
    main()
