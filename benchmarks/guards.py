"""What the guards take away from real speech: every clip heard as a session hears it, told all that could mislead them.

    python benchmarks/guards.py DIR [--json FILE] [--threads N] [--echo PROMPT]

DIR holds manifest.jsonl (fields as in docs/accuracy.md) and the audio it names. Each clip with words is streamed to a
session with `server_vad`, whose prompt is the clip's own transcript and whose language is the clip's: everybody reads
the prompt aloud. Partial and final hypotheses of Moonshine pass the guards (session/guard.py); what each takes away is
counted. How near the fastest talkers come to its limits is shown as well.

With --echo, the engine is the worst that there can be: it says PROMPT whatever it hears. Counted is in how many turns
any of it is told, by how long the clips are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, deque
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from hark.audio.files import read_audio
from hark.audio.formats import encode
from hark.core.messages import AppendAudio, FinishSession, SessionView, TranscriptCompleted
from hark.core.settings import AudioFormat, ModelCard, SessionSettings, Transcription
from hark.core.work import (
    SAMPLE_RATE,
    Audio,
    Hypothesis,
    Result,
    ScoreVoice,
    Token,
    Transcribe,
    Transcribed,
    VoiceScored,
)
from hark.models.base import LoadOptions, Utterance
from hark.models.files.pull import models_folder
from hark.models.moonshine.engine import Moonshine
from hark.models.silero.scorer import Silero
from hark.session import guard, jobs
from hark.session.guard import SOFT_S, Voice, words
from hark.session.hints import Hints
from hark.session.session import Session

CARD = ModelCard("moonshine-tiny-en", "moonshine-tiny-en")


class Watch:
    """Stands in for guard.checked, and keeps count."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.taken: list[dict[str, str]] = []
        self.most = {"letters_s": 0.0, "words_s": 0.0}

    def __call__(self, hypothesis: Hypothesis, voice: Voice, hints: Hints) -> Hypothesis:
        self.counts["hypotheses"] += bool(hypothesis.tokens)
        if not guard.believable(hypothesis, voice):  # this one was here before, and knows of no hints
            return self._note("not believable", hypothesis, guard.NOTHING)
        if guard.foreign(hypothesis, hints):
            return self._note("another script", hypothesis, guard.NOTHING)
        said, seconds = words(hypothesis.text), voice.seconds + SOFT_S
        self.most["letters_s"] = max(self.most["letters_s"], sum(len(word.key) for word in said) / seconds)
        self.most["words_s"] = max(self.most["words_s"], len(said) / seconds)
        rest = guard.without_echo(hypothesis, voice, hints)
        if rest is not hypothesis:
            return self._note("echo", hypothesis, rest)
        rest = guard.without_loops(hypothesis, voice)
        return hypothesis if rest is hypothesis else self._note("loop", hypothesis, rest)

    def _note(self, why: str, hypothesis: Hypothesis, rest: Hypothesis) -> Hypothesis:
        self.counts[why] += bool(hypothesis.tokens)
        if hypothesis.tokens:
            self.taken.append({"why": why, "heard": hypothesis.text, "left": rest.text})
        return rest


class Models:
    """Answers a session's work at once."""

    def __init__(self, threads: int, echo: str | None = None) -> None:
        folder = models_folder(None)
        self._echo = Hypothesis(tuple(Token(f" {word}", -0.2) for word in (echo or "").split()))
        self._engine = Moonshine(LoadOptions(folder, threads))
        self._scorer = Silero(LoadOptions(folder))

    def answer(self, work: object) -> Result | None:
        if isinstance(work, ScoreVoice):
            ((scores, state),) = self._scorer.score([(work.audio, work.state)])
            return VoiceScored(work.id, scores, state)
        if isinstance(work, Transcribe) and self._echo.tokens:
            return Transcribed(work.id, self._echo)
        if isinstance(work, Transcribe):
            return Transcribed(work.id, self._engine.transcribe([Utterance(work.audio, draft=work.draft)])[0])
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--echo", metavar="PROMPT")
    options = parser.parse_args()
    clips = list(map(json.loads, (options.folder / "manifest.jsonl").read_text("utf-8").splitlines()))
    models, watch, console = Models(options.threads, options.echo), Watch(), Console()
    if options.echo:
        console.print_json(data=echoes(models, clips, options))
        return
    told = [clip for clip in clips if clip["score"] != "no-speech"]
    jobs.checked = watch  # type: ignore[attr-defined]
    start = time.process_time()
    for clip in track(told, console=Console(stderr=True), transient=True, disable=not console.is_terminal):
        hear(models, read_audio(options.folder / clip["file"]), clip["transcript"], clip["language"])
    report: dict[str, Any] = {
        "clips": len(told),
        "counts": dict(watch.counts),
        "most": {name: round(value, 1) for name, value in watch.most.items()},
        "cpu_s": round(time.process_time() - start, 1),
        "taken": watch.taken,
    }
    console.print_json(data={name: value for name, value in report.items() if name != "taken"})
    for one in watch.taken:
        console.print(f"{one['why']}: {one['heard']!r} -> {one['left']!r}", markup=False)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def echoes(models: Models, clips: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, str]:
    told, turns = Counter[str](), Counter[str]()
    for clip in clips:
        seconds = clip["duration_s"]
        kind = "up to 2 s" if seconds <= 2 else "up to 4 s" if seconds <= 4 else "longer"
        kind = "no speech" if clip["score"] == "no-speech" else kind
        for text in hear(models, read_audio(options.folder / clip["file"]), options.echo):
            turns[kind] += 1
            told[kind] += bool(text)
    return {kind: f"{told[kind]} of {turns[kind]}" for kind in turns}


def hear(models: Models, audio: Audio, prompt: str, language: str | None = None) -> list[str]:
    """The transcripts of a session with this prompt."""
    chosen = Transcription(CARD.name, language=language, prompt=prompt or None)
    settings = SessionSettings(format=AudioFormat("pcm16", SAMPLE_RATE), transcription=chosen)
    numbers = count(1)
    session = Session(
        SessionView("sess_1", 0, settings),
        find_model=lambda name: CARD,
        new_id=lambda prefix: f"{prefix}_{next(numbers)}",
        now=0.0,
    )
    step, said = SAMPLE_RATE // 10, list[str]()
    for at in range(0, len(audio), step):
        said += _run(session, models, AppendAudio(audio=encode(audio[at : at + step], "pcm16")))
    said += _run(session, models, FinishSession())
    return said


def _run(session: Session, models: Models, command: AppendAudio | FinishSession) -> list[str]:
    session.receive(command, 0.0)
    waiting, transcripts = deque(session.outputs()), []
    while waiting:
        output = waiting.popleft()
        if isinstance(output, TranscriptCompleted):
            transcripts.append(output.transcript)
        if (result := models.answer(output)) is not None:
            session.receive(result, 0.0)
            waiting.extend(session.outputs())
    return transcripts


if __name__ == "__main__":
    main()
