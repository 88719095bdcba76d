"""What noise reduction does to the words and to false starts, through Hark's own session, server_vad at its defaults.

    python benchmarks/denoise.py DIR [--json FILE] [--noises N] [--jobs N]

DIR holds manifest.jsonl (fields as in docs/accuracy.md) and the audio it names. Heard without noise reduction, with
near_field and with far_field are:

    clean     English clips of kind "read", scored by words, up to 30 s
    pairs     clips recorded with noise, kind "read-noisy", that have a clean twin (`pair`)
    15 … 0    the clean clips, each with N clips of kind "noise" in turn, so many dB below the speech (root mean squares
              over the clip). There is no noise before the clip begins that the suppressor could learn from.
    starts    `speech_started` in noise alone: each noise clip as it is and at -20 and -30 dBFS
    … mixed   … and each two of them added, equally loud, at those levels and at 3/4, 1 and 4/3 of their speed, 20 s

A session is driven without a server or a clock: the voice scores of all audio come first, then the transcripts. So each
figure depends on the clips alone, and the same clips give the same figure again. The clips are also split in two halves
by the checksum of their name: what holds in one half only is chance.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import zlib
from collections.abc import Iterator
from functools import cache
from itertools import combinations, count
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hark.audio.denoise import Denoiser
from hark.audio.files import read_audio
from hark.audio.formats import encode
from hark.bench.scoring import Score, score
from hark.core import messages as m
from hark.core.settings import AudioFormat, ModelCard, NoiseReduction, SessionSettings
from hark.core.work import SAMPLE_RATE, ScoreVoice, Transcribe, Transcribed, VoiceScored
from hark.models.base import LoadOptions, Utterance
from hark.models.files.pull import models_folder
from hark.models.moonshine.engine import Moonshine
from hark.models.silero.scorer import Silero
from hark.session.session import Session

Clip = dict[str, Any]
Audio = NDArray[np.float32]

LONGEST_S = 30.0
LEVELS_DB = (15, 10, 5, 0)
MODES: dict[str, NoiseReduction | None] = {
    "off": None,
    "near_field": NoiseReduction("near_field"),
    "far_field": NoiseReduction("far_field"),
}
STARTS = ("starts", "starts, mixed")


class Sample(NamedTuple):
    """`group` as in the head of this file; `clip` is None where there are no words in `audio`."""

    group: str
    half: int
    clip: Clip | None
    audio: Audio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--noises", type=int, default=2, metavar="N", help="noise clips for each clip and level")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes, one thread each")
    options = parser.parse_args()
    samples = list(collect(options.folder, options.noises))
    with get_context("fork").Pool(options.jobs) as pool:
        results = pool.map(_one, samples, 4)
    report = {"machine": _machine(), "noises": options.noises, "groups": _figures(samples, results), "cpu": cpu()}
    show(report, Console())
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


def collect(folder: Path, noises: int) -> Iterator[Sample]:
    clips = [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines() if line.strip()]
    sounds = [read_audio(folder / clip["file"]) for clip in clips if clip["kind"] == "noise"]
    if not sounds:
        raise SystemExit(f"Expected clips of the kind 'noise' in {folder / 'manifest.jsonl'}; there are none.")
    spoken = [clip for clip in clips if clip["language"].startswith("en") and clip["score"] == "wer"]
    read = [clip for clip in spoken if clip["kind"] == "read" and clip["duration_s"] <= LONGEST_S]
    for clip in spoken:
        if clip["kind"] == "read-noisy" and clip.get("pair"):
            yield Sample("pairs", _half(clip), clip, read_audio(folder / clip["file"]))
    for number, clip in enumerate(read):
        speech = read_audio(folder / clip["file"])
        yield Sample("clean", _half(clip), clip, speech)
        for turn in range(noises):
            place = (number + turn * max(1, len(sounds) // noises)) % len(sounds)
            for level_db in LEVELS_DB:
                seed = zlib.crc32(f"{clip['id']} {place}".encode())
                yield Sample(f"{level_db} dB", _half(clip), clip, mix(speech, sounds[place], level_db, seed))
    for sound in sounds:
        for heard in (sound, _levelled(sound, -20), _levelled(sound, -30)):
            yield Sample(STARTS[0], 0, None, heard)
    for one, other in combinations(sounds, 2):
        length = 20 * SAMPLE_RATE
        for speed in (3 / 4, 1, 4 / 3):
            first, second = (np.resize(_at_speed(_levelled(each, -30), speed), length) for each in (one, other))
            for level in (-20, -30):
                yield Sample(STARTS[1], 0, None, _levelled(first + second, level))


def mix(speech: Audio, noise: Audio, level_db: float, seed: int) -> Audio:
    """`noise`, repeated as needed and from a place that `seed` decides, so far below `speech`."""
    part = np.resize(np.roll(noise, -(seed % len(noise))), len(speech)).astype(np.float64)
    power = max(float(np.mean(part**2)), 1e-12)
    part *= np.sqrt(float(np.mean(speech.astype(np.float64) ** 2)) / power * 10 ** (-level_db / 10))
    mixed = speech + part
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)


def _levelled(audio: Audio, dbfs: float) -> Audio:
    rms = np.sqrt(np.mean(audio.astype(np.float64) ** 2))
    return np.clip(audio * (10 ** (dbfs / 20) / rms), -1, 1).astype(np.float32)


def _at_speed(audio: Audio, speed: float) -> Audio:
    return np.interp(np.arange(0, len(audio) - 1, speed), np.arange(len(audio)), audio).astype(np.float32)


def _half(clip: Clip) -> int:
    return zlib.crc32(clip["id"].encode()) % 2


@cache
def _models() -> tuple[Silero, Moonshine]:
    options = LoadOptions(folder=models_folder(None), threads=1)
    return Silero(options), Moonshine(options)


def _one(sample: Sample) -> list[tuple[int, int]]:
    """Errors (or starts) and words (or recordings) of a sample in each mode."""
    found = []
    for noise in MODES.values():
        text, starts = hear(sample.audio, noise)
        scored = score(sample.clip, text) if sample.clip else Score(1, starts, 1)
        assert scored is not None
        found.append((scored.wrong, scored.units))
    return found


def hear(audio: Audio, noise: NoiseReduction | None) -> tuple[str, int]:
    """What a session hears in `audio`, and how often it says that speech started."""
    scorer, engine = _models()
    settings = SessionSettings(format=AudioFormat("pcm16", SAMPLE_RATE), noise_reduction=noise)
    card, numbers = ModelCard("moonshine-tiny-en", "moonshine-tiny-en"), count()
    session = Session(
        m.SessionView("sess", 0, settings),
        find_model=lambda name: card,
        new_id=lambda kind: f"{kind}_{next(numbers)}",
        now=0.0,
    )
    session.receive(m.AppendAudio(audio=encode(audio, "pcm16")), 0.0)
    session.receive(m.FinishSession(), 0.0)
    texts, starts, waiting = [], 0, session.outputs()
    while waiting:
        waiting.sort(key=lambda output: isinstance(output, Transcribe))
        match waiting.pop(0):
            case ScoreVoice() as work:
                [(probabilities, state)] = scorer.score([(work.audio, work.state)])
                session.receive(VoiceScored(work.id, probabilities, state), 0.0)
            case Transcribe() as work:
                [hypothesis] = engine.transcribe([Utterance(work.audio)])
                session.receive(Transcribed(work.id, hypothesis), 0.0)
            case m.SpeechStarted():
                starts += 1
            case m.TranscriptCompleted() as done:
                texts.append(done.transcript)
        waiting += session.outputs()
    return " ".join(texts), starts


def cpu() -> dict[str, float]:
    """Milliseconds of one core for a second of audio in appends of 100 ms."""
    audio = np.random.default_rng(0).normal(0, 0.05, 60 * SAMPLE_RATE).astype(np.float32)
    chunk = SAMPLE_RATE // 10
    figures = {}
    for name, setting in MODES.items():
        if setting is not None:
            denoiser = Denoiser(setting.type, setting.strength)
            start = time.process_time()
            for at in range(0, len(audio), chunk):
                denoiser.push(audio[at : at + chunk])
            figures[name] = round((time.process_time() - start) * 1000 * SAMPLE_RATE / len(audio), 2)
    return figures


def _figures(samples: list[Sample], results: list[list[tuple[int, int]]]) -> dict[str, Any]:
    """By group and mode: errors in each half, and the standard error of the difference to "off", clips being drawn."""
    groups: dict[str, Any] = {}
    for group in dict.fromkeys(sample.group for sample in samples):
        rows = [
            (sample.half, np.array(found))
            for sample, found in zip(samples, results, strict=True)
            if sample.group == group
        ]
        groups[group] = {"samples": len(rows)}
        for place, mode in enumerate(MODES):
            halves = [[found[place] for half, found in rows if half == wanted] for wanted in (0, 1)]
            sums = [np.sum(half, axis=0, initial=0) if half else np.zeros(2) for half in halves]
            wrong, units = (int(value) for value in np.sum(sums, axis=0))
            error = np.sqrt(sum(int(found[place, 0] - found[0, 0]) ** 2 for _, found in rows)) / units
            groups[group][mode] = {
                "wrong": wrong,
                "units": units,
                "rate": round(wrong / units, 4),
                "halves": [round(float(half[0] / max(half[1], 1)), 4) for half in sums],
                "error_of_difference": round(float(error), 4),
            }
    return groups


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {names[0] if names else platform.machine()}"


def show(report: dict[str, Any], console: Console) -> None:
    table = Table(title="Word error rate by noise reduction: all, ± of the difference to off; the two halves")
    table.add_column("what is heard")
    for title in ("words", *MODES):
        table.add_column(title, justify="right")
    for group, rows in report["groups"].items():
        if group in STARTS:
            continue
        cells = []
        for mode in MODES:
            row = rows[mode]
            spread = "" if mode == "off" else f" ±{row['error_of_difference']:.1%}"
            cells.append(f"{row['wrong'] / row['units']:.1%}{spread}\n{row['halves'][0]:.1%}, {row['halves'][1]:.1%}")
        table.add_row(group, str(rows["off"]["units"]), *cells)
    console.print(table)
    for group in STARTS:
        if starts := report["groups"].get(group):
            said = ", ".join(f"{mode} {starts[mode]['wrong']}" for mode in MODES)
            console.print(f"False {group}: {said}, in {starts['samples']} recordings of noise alone.")
    for mode, figure in report["cpu"].items():
        console.print(f"{mode}: {figure} ms of one core for a second of audio, on {report['machine']}.")


if __name__ == "__main__":
    main()
