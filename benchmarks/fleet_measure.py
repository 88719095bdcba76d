"""Two of the inputs of fleet.toml that no other benchmark gives: how people talk, and what it costs to verify a token.

    python benchmarks/fleet_measure.py DIR [--kinds conversation,disfluent] [--silence-ms 500]

DIR holds recordings, or a manifest.jsonl. Speech is what Silero VAD takes for it, window by window. A *run* is speech
up to a pause of TAIL or more, for there a session asks for an early transcript; a *turn* goes on to a pause of SILENCE,
the usual `silence_duration_ms`. What a recording ends in the middle of counts as a run, and as no pause.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import mean, median, pstdev

import numpy as np

from hark.audio.files import read_audio
from hark.auth import secrets
from hark.bench.clips import SUFFIXES, VOICED, silero
from hark.core.work import SAMPLE_RATE, WINDOW_SAMPLES, to_samples
from hark.models.base import Scorer
from hark.models.files.pull import models_folder
from hark.session.jobs import TAIL

VERIFIED = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--kinds", help="those of a manifest, with commas between")
    parser.add_argument("--silence-ms", type=int, default=500)
    options = parser.parse_args()
    scorer = silero(models_folder(None))
    kinds = set(options.kinds.split(",")) if options.kinds else None
    talks = [stretches(path, scorer) for path in recordings(options.folder, kinds)]
    print(
        json.dumps(
            shape([talk for talk in talks if talk], to_samples(options.silence_ms))
            | {"verify_us": round(verify_us(), 1)},
            indent=2,
        )
    )


def recordings(folder: Path, kinds: set[str] | None) -> Iterator[Path]:
    manifest = folder / "manifest.jsonl"
    if not manifest.is_file():
        yield from sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        return
    for row in map(json.loads, filter(str.strip, manifest.read_text("utf-8").splitlines())):
        if kinds is None or row.get("kind") in kinds:
            yield folder / row["file"]


def stretches(path: Path, scorer: Scorer) -> list[tuple[int, int]]:
    """Runs of speech, as samples [first, last)."""
    audio = read_audio(path)
    whole = len(audio) // WINDOW_SAMPLES * WINDOW_SAMPLES
    [(scores, _)] = scorer.score([(audio[:whole], None)])
    voiced = np.flatnonzero(scores >= VOICED)
    if not len(voiced):
        return []
    gaps = np.flatnonzero((np.diff(voiced) - 1) * WINDOW_SAMPLES >= TAIL)
    firsts, lasts = [0, *(gaps + 1)], [*gaps, len(voiced) - 1]
    runs = zip(firsts, lasts, strict=True)
    return [(int(voiced[a]) * WINDOW_SAMPLES, (int(voiced[b]) + 1) * WINDOW_SAMPLES) for a, b in runs]


def shape(talks: list[list[tuple[int, int]]], silence: int) -> dict[str, object]:
    """Seconds; of lengths their median and the standard deviation of their logarithm, and of all some quantiles."""
    runs = [(last - first) / SAMPLE_RATE for talk in talks for first, last in talk]
    pauses, turns, counts = [], [], []
    for talk in talks:
        begun, count = talk[0][0], 1
        for (_, last), (first, _) in pairwise(talk):
            pause = first - last
            if pause < silence:
                pauses.append(pause / SAMPLE_RATE)
                count += 1
                continue
            turns.append((last - begun) / SAMPLE_RATE)
            counts.append(count)
            begun, count = first, 1
        turns.append((talk[-1][1] - begun) / SAMPLE_RATE)
        counts.append(count)
    return {
        "recordings": len(talks),
        "runs": spread(runs),
        "pauses_within_turns": spread(pauses),
        "turns": spread(turns),
        "runs_a_turn": round(mean(counts), 2),
    }


def spread(values: list[float]) -> dict[str, float]:
    logs = [float(np.log(value)) for value in values]
    quantiles = {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (10, 25, 75, 90, 99)}
    least = {"count": len(values), "mean": round(mean(values), 2), "median": round(median(values), 2)}
    return least | {"log_sd": round(pstdev(logs), 2)} | quantiles


def verify_us() -> float:
    """Microseconds of CPU to verify a client secret."""
    key, now = b"k" * 32, 1_000_000.0
    content = b'{"session":{"type":"transcription"}}'
    text = secrets.sign(secrets.Secret(int(now) + 60, b"p" * secrets.PARENT_BYTES, content), key, b"salt")
    begun = time.process_time()
    for _ in range(VERIFIED):
        secrets.verify(text, [key], now)
    return (time.process_time() - begun) / VERIFIED * 1e6


if __name__ == "__main__":
    main()
