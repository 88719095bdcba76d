"""How often a word that was shown while one spoke is not in the final text, and what that costs in word error rate.

    python benchmarks/early_words.py DIR [--json FILE] [--threads N]

Each English clip of 1 to 13 s in DIR is heard as if it were spoken: Moonshine transcribes ever longer beginnings, in
the steps that a live session takes, and the hypotheses go through the session's own Transcript. Compared are the values
of `delay`, and two simpler rules: two hypotheses agree on the word and the next; and also the model is sure of it. A
session cannot take a word back: a wrong one stays in the transcript.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median
from typing import Any

from msgspec import structs
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hark.audio.files import read_audio
from hark.bench.scoring import Score, score
from hark.core.work import SAMPLE_RATE, Audio, Hypothesis
from hark.models.base import LoadOptions, Utterance
from hark.models.files.pull import models_folder
from hark.models.moonshine.engine import Moonshine
from hark.session.jobs import LEAD, PARTIAL_SHARE, PARTIAL_STEP
from hark.session.transcript import USUAL, WAITS, Transcript, Wait, units

Heard = list[tuple[float, Hypothesis]]  # (seconds of the clip, what was heard in them); the last is final
RULES = {
    "agreement alone": Wait(agreement=2, held_back=1, sure=-math.inf, patience=2),
    "and sure": structs.replace(USUAL, patience=10**9),
    **WAITS,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    engine = Moonshine(LoadOptions(models_folder(None), options.threads))
    lines = (options.folder / "manifest.jsonl").read_text("utf-8").splitlines()
    clips = [clip for clip in map(json.loads, lines) if clip["score"] == "wer" and clip["language"] == "en"]
    clips = [clip for clip in clips if 1 <= clip["duration_s"] <= 13]
    console = Console()
    heard = [
        (clip, list(hypotheses(engine, read_audio(options.folder / clip["file"]))))
        for clip in track(clips, console=Console(stderr=True), transient=True, disable=not console.is_terminal)
    ]
    figures = {name: judge(heard, rule) for name, rule in RULES.items()}
    table = Table(title=f"Words shown early, {len(clips)} clips")
    columns = ("rule", "early words", "of them wrong", "word error rate", "of finals alone", "delay s", "first word s")
    for column in columns:
        table.add_column(column, justify="left" if column == "rule" else "right")
    for name, row in figures.items():
        rates = [f"{row[key]:.2%}" for key in ("wrong_share", "word_error_rate", "final_word_error_rate")]
        table.add_row(name, str(row["early_words"]), *rates, f"{row['delay_s']:.2f}", f"{row['first_word_s']:.2f}")
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps({"clips": len(clips), "rules": figures}, indent=2) + "\n")


def hypotheses(engine: Moonshine, audio: Audio) -> Iterator[tuple[float, Hypothesis]]:
    """Of ever longer beginnings, from LEAD before the sound on (a tenth of its peak), as a job asks for them."""
    loud = abs(audio) > abs(audio).max() / 10
    audio = audio[max(0, int(loud.argmax()) - LEAD) :]
    length = LEAD + PARTIAL_STEP
    while length < len(audio):
        yield length / SAMPLE_RATE, engine.transcribe([Utterance(audio[:length])])[0]
        length += max(PARTIAL_STEP, length // PARTIAL_SHARE)
    yield len(audio) / SAMPLE_RATE, engine.transcribe([Utterance(audio)])[0]


def judge(heard: list[tuple[dict[str, Any], Heard]], rule: Wait) -> dict[str, float]:
    early = wrong = 0
    total = final_only = Score(0, 0, 0)
    delays: list[float] = []
    firsts: list[float] = []
    for clip, (*partial, (end, final)) in heard:
        transcript = Transcript(rule)
        shown: list[float] = []
        for at, hypothesis in partial:
            sent = transcript.add_partial(hypothesis)
            shown += [at] * len(units(sent))
        said = [unit.key for unit in units(final.tokens)]
        words = [unit.key for unit in units(transcript.tokens)]
        early += len(words)
        wrong += len(words) - sum(1 for a, b in zip(words, said, strict=False) if a == b)
        transcript.add_final(final)
        firsts.append(shown[0] if shown else end)
        times = (shown + [end] * len(said))[: len(said)]
        # Words are taken to be spread evenly over the clip.
        delays += [max(0.0, at - end * (place + 1) / len(said)) for place, at in enumerate(times)]
        total, final_only = _add(total, clip, transcript.text), _add(final_only, clip, final.text)
    return {
        "early_words": early,
        "wrong_share": round(wrong / early, 4),
        "word_error_rate": round(total.rate, 4),
        "final_word_error_rate": round(final_only.rate, 4),
        "delay_s": round(mean(delays), 2),
        "first_word_s": round(median(firsts), 2),
    }


def _add(total: Score, clip: dict[str, Any], text: str) -> Score:
    scored = score(clip, text)
    assert scored is not None
    return total.plus(scored)


if __name__ == "__main__":
    main()
