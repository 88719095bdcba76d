"""What the Moonshine engine costs: CPU milliseconds a turn, by its length, the size of the batch and the threads.

    python benchmarks/engine.py [--json FILE] [--threads 1,4] [--rounds N] [--clip FILE]

The first table transcribes turns of 2, 5 and 10 s, cut from a sample recording that comes with Hark, in batches of 1, 4
and 8. The second lets one turn grow to 10 s as a session does, asking for a hypothesis at each of its steps: with the
draft of the hypothesis before, and without one. A figure is the median of the rounds, whose order goes round, so that
what else a shared machine does falls on all alike.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from accuracy import machine
from hark.audio.files import read_audio
from hark.core.work import SAMPLE_RATE, Audio
from hark.models.base import LoadOptions, Utterance
from hark.models.files.pull import models_folder
from hark.models.moonshine.engine import Moonshine
from hark.session.jobs import PARTIAL_SHARE, PARTIAL_STEP

SAMPLE = "samples/two_cities.wav"
LENGTHS_S = (2, 5, 10)
BATCHES = (1, 4, 8)
APART = SAMPLE_RATE // 2  # between the beginnings of a batch's turns
Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--threads", default="1,4", help="threads of the engine, several with commas between")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clip", type=Path, help="other speech than the sample, 16 s or more")
    options = parser.parse_args()

    folder = models_folder(None)
    audio = read_audio(options.clip or folder / SAMPLE)
    engines = {n: Moonshine(LoadOptions(folder, n)) for n in map(int, options.threads.split(","))}
    turns = measure_turns(engines, audio, options.rounds)
    growing = measure_growing(engines[min(engines)], audio[: 10 * SAMPLE_RATE], options.rounds)
    show(turns, growing)
    if options.json:
        figures = {"machine": machine(), "turns": turns, "growing": growing}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


def measure_turns(engines: dict[int, Moonshine], audio: Audio, rounds: int) -> list[Figures]:
    cases: list[tuple[int, int, int, Callable[[], Any]]] = []
    for threads, engine in engines.items():
        for length in LENGTHS_S:
            for size in BATCHES:
                batch = [Utterance(audio[place * APART :][: length * SAMPLE_RATE]) for place in range(size)]
                cases.append((threads, length, size, lambda engine=engine, batch=batch: engine.transcribe(batch)))
    times = timed([run for *_, run in cases], rounds)
    return [
        {"threads": threads, "turn_s": length, "batch": size, "cpu_ms_a_turn": cpu / size, "batch_takes_ms": wall}
        for (threads, length, size, _), (cpu, wall) in zip(cases, times, strict=True)
    ]


def measure_growing(engine: Moonshine, audio: Audio, rounds: int) -> dict[str, Figures]:
    ends = [PARTIAL_STEP]
    while ends[-1] < len(audio):
        ends.append(min(len(audio), ends[-1] + max(PARTIAL_STEP, ends[-1] // PARTIAL_SHARE)))

    def hear(drafting: bool) -> None:
        draft: tuple[int, ...] = ()
        for end in ends:
            (hypothesis,) = engine.transcribe([Utterance(audio[:end], draft=draft)])
            draft = hypothesis.draft if drafting else ()

    times = timed([lambda: hear(False), lambda: hear(True)], rounds)
    return {
        name: {"hypotheses": len(ends), "cpu_ms_a_hypothesis": cpu / len(ends)}
        for name, (cpu, _) in zip(("without drafts", "with drafts"), times, strict=True)
    }


def timed(runs: Sequence[Callable[[], Any]], rounds: int) -> list[tuple[float, float]]:
    """For each run its median CPU and wall time in milliseconds; the first round warms up."""
    samples: list[list[tuple[float, float]]] = [[] for _ in runs]
    for turn in range(rounds + 1):
        for run, sample in zip(runs, samples, strict=True):
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            took = ((time.process_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000)
            if turn:
                sample.append(took)
    return [(median(cpu for cpu, _ in sample), median(wall for _, wall in sample)) for sample in samples]


def show(turns: list[Figures], growing: dict[str, Figures]) -> None:
    console = Console()
    table = Table(title="Moonshine tiny-en, a turn")
    for heading in ("threads", "turn, s", "batch", "CPU, ms a turn", "the batch takes, ms"):
        table.add_column(heading, justify="right")
    for one in turns:
        cpu, wall = one["cpu_ms_a_turn"], one["batch_takes_ms"]
        table.add_row(str(one["threads"]), str(one["turn_s"]), str(one["batch"]), f"{cpu:.1f}", f"{wall:.1f}")
    console.print(table)
    table = Table(title="A turn that grows to 10 s")
    for heading in ("", "hypotheses", "CPU, ms a hypothesis"):
        table.add_column(heading, justify="right")
    for name, figures in growing.items():
        table.add_row(name, str(figures["hypotheses"]), f"{figures['cpu_ms_a_hypothesis']:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
