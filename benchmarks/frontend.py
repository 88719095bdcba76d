"""What a live session costs apart from transcription: CPU milliseconds for a second of its audio, by stage.

    python benchmarks/frontend.py [--json FILE] [--sessions 1,200] [--chunk-ms 100] [--noise off] [--seconds S]

Everything that `hark serve` does to audio is done here with the same code, in one thread and without a socket: frames
are decoded from JSON and base64, the session resamples, detects turns and keeps its audio, voice scores are computed
in batches over the sessions, events are encoded. Transcription is answered at once with nothing. Sessions append in
turn, a chunk each, and the scores of a round are batched as the server batches what waits. The audio is a sample that
comes with Hark, at 24 kHz pcm16, each session starting at another place of it.
"""

from __future__ import annotations

import hark  # noqa: F401  (before numpy: it keeps numpy to one thread, as in the server)

# isort: split
import argparse
import json
import time
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pybase64
from rich.console import Console
from rich.table import Table

from accuracy import machine
from hark.audio.files import read_audio
from hark.audio.intake import wire_bytes
from hark.core import messages as m
from hark.core.settings import ModelCard, NoiseReduction, SessionSettings, TurnDetection
from hark.core.work import (
    SAMPLE_RATE,
    Audio,
    Hypothesis,
    Result,
    ScoreVoice,
    Transcribe,
    Transcribed,
    Urge,
    VoiceScored,
)
from hark.models.base import LoadOptions
from hark.models.files.pull import models_folder
from hark.models.silero.scorer import Silero
from hark.protocol import ga
from hark.protocol.wire import decode
from hark.session.session import Session

SAMPLE = "samples/two_cities.wav"
RATE = 24_000
BATCH = 64  # what the scorer's spec says
STAGES = ("decode", "session", "voice scores", "encode")
VARIANTS: dict[str, NoiseReduction | None] = {
    "off": None,
    "near_field": NoiseReduction("near_field"),
    "far_field": NoiseReduction("far_field"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--sessions", default="1,200", help="how many at once, several with commas between")
    parser.add_argument("--chunk-ms", default="20,100", help="audio in an append, several with commas between")
    parser.add_argument("--seconds", type=float, default=20.0, help="audio of each session")
    parser.add_argument("--clip", type=Path, help="other audio than the sample")
    parser.add_argument("--noise", default=",".join(VARIANTS), help="noise reduction, several with commas between")
    options = parser.parse_args()
    clip = read_audio(options.clip or models_folder(None) / SAMPLE)
    rows = [
        measure(clip, int(sessions), int(chunk_ms), noise, options.seconds)
        for noise in options.noise.split(",")
        for chunk_ms in options.chunk_ms.split(",")
        for sessions in options.sessions.split(",")
    ]
    show(rows)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


def measure(clip: Audio, sessions: int, chunk_ms: int, noise: str, seconds: float) -> dict[str, Any]:
    """CPU milliseconds for a second of audio, in all and by stage."""
    stages = Stages()
    scorer = Silero(LoadOptions(models_folder(None), threads=1))
    talkers = [Talker(stages, played(clip, at / sessions, seconds), chunk_ms, noise) for at in range(sessions)]
    for talker in talkers:
        talker.settle()
    started = time.process_time()
    for chunk in range(round(seconds * 1000 / chunk_ms)):
        waiting = [(talker, work) for talker in talkers for work in talker.append(chunk)]
        while waiting:
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            began = time.perf_counter()
            scored = scorer.score([(work.audio, work.state) for _, work in batch])
            stages.add("voice scores", began)
            for (talker, work), (scores, state) in zip(batch, scored, strict=True):
                waiting += [(talker, more) for more in talker.receive(VoiceScored(work.id, scores, state))]
    spent = time.process_time() - started
    audio_s = sessions * seconds
    return {
        "noise_reduction": noise,
        "chunk_ms": chunk_ms,
        "sessions": sessions,
        "turns": sum(talker.turns for talker in talkers),
        "cpu_ms_per_audio_s": round(1000 * spent / audio_s, 2),
        "stages": {name: round(1000 * busy / audio_s, 2) for name, busy in stages.busy.items()},
    }


class Stages:
    """Seconds by stage. One thread does everything, so its wall clock is its CPU, but for what others take from it;
    the total is measured apart, by the process's own CPU clock."""

    def __init__(self) -> None:
        self.busy = dict.fromkeys(STAGES, 0.0)

    def add(self, name: str, started: float) -> None:
        """What began at `started` is done."""
        self.busy[name] += time.perf_counter() - started


class Talker:
    """One session and its client's frames, made beforehand."""

    def __init__(self, stages: Stages, audio: bytes, chunk_ms: int, noise: str) -> None:
        step = 2 * RATE * chunk_ms // 1000
        self.frames = [append_frame(audio[at : at + step]) for at in range(0, len(audio), step)]
        self.turns = 0
        self._stages = stages
        ids = count()
        self._new_id = lambda prefix: f"{prefix}_{next(ids):020d}"
        settings = SessionSettings(noise_reduction=VARIANTS[noise], turn_detection=TurnDetection())
        view = m.SessionView("sess_0", 2_000_000_000, settings)
        card = ModelCard("nothing", "nothing")
        self.session = Session(view, find_model=lambda _: card, new_id=self._new_id, now=0.0)
        self._now = 0.0

    def settle(self) -> None:
        """Let what happens once a session happen before anything is measured."""
        self.session.outputs()

    def append(self, chunk: int) -> list[ScoreVoice]:
        began = time.perf_counter()
        command = decode(self.frames[chunk])
        self._stages.add("decode", began)
        return self.receive(command)

    def receive(self, message: m.AnyCommand | Result) -> list[ScoreVoice]:
        """What the session asks the voice scorer after `message`."""
        wanted: list[ScoreVoice] = []
        inbox: deque[m.AnyCommand | Result] = deque([message])
        while inbox:
            began = time.perf_counter()
            self.session.receive(inbox.popleft(), self._now)
            outputs = self.session.outputs()
            self._stages.add("session", began)
            for output in outputs:
                if isinstance(output, ScoreVoice):
                    wanted.append(output)
                elif isinstance(output, Transcribe):
                    inbox.append(Transcribed(output.id, Hypothesis(())))
                elif not isinstance(output, Urge):
                    self.turns += isinstance(output, m.SpeechStopped)
                    began = time.perf_counter()
                    ga.encode(output, self._new_id)
                    self._stages.add("encode", began)
        return wanted


def played(clip: Audio, start: float, seconds: float) -> bytes:
    """pcm16 at RATE: `clip` over and over, from the share `start` of it on."""
    shifted = np.roll(clip, -int(start * len(clip)))
    return wire_bytes(np.resize(shifted, int(seconds * SAMPLE_RATE)), "pcm16", RATE)


def append_frame(audio: bytes) -> str:
    return f'{{"type":"input_audio_buffer.append","audio":"{pybase64.b64encode_as_string(audio)}"}}'


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(title="CPU ms for a second of audio, transcription left out", caption=machine())
    for heading in ("noise reduction", "append", "sessions", "total", *STAGES):
        table.add_column(heading, justify="left" if heading == "noise reduction" else "right")
    for row in rows:
        table.add_row(
            row["noise_reduction"],
            f"{row['chunk_ms']} ms",
            str(row["sessions"]),
            f"{row['cpu_ms_per_audio_s']:.2f}",
            *(f"{row['stages'][stage]:.2f}" for stage in STAGES),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
