"""A session of many hours, faster than real time: does an hour cost what the first one cost, in CPU and in memory?

    python benchmarks/long_session.py [--hours 8] [--audio talk|silence|endless] [--json FILE]

One session hears 24 kHz pcm16 in appends of 100 ms, decoded, resampled, scored by Silero and cut into turns with the
server's own code, in one thread and without a socket. The clock is that of the audio. The engine says as many words as
fit into what it is given, so items and transcripts pile up as they do in a real session. `talk` is a sample that comes
with Hark, over and over, with its pauses; `silence` is a microphone that nobody speaks into; `endless` is the sample in
the manual mode and never committed, one turn of hours.
"""

from __future__ import annotations

import hark  # noqa: F401  (before numpy: it keeps numpy to one thread, as in the server)

# isort: split
import argparse
import gc
import json
import os
import resource
import time
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from accuracy import machine
from frontend import RATE, SAMPLE, append_frame
from hark.audio.files import read_audio
from hark.audio.intake import wire_bytes
from hark.core import messages as m
from hark.core.settings import ModelCard, SessionSettings, TurnDetection
from hark.core.work import (
    SAMPLE_RATE,
    Audio,
    Hypothesis,
    Result,
    ScoreVoice,
    Token,
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

CHUNK_S: Final = 0.1
WORDS_A_SECOND: Final = 2.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=8)
    parser.add_argument("--audio", choices=("talk", "silence", "endless"), default="talk")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    options = parser.parse_args()
    frames = frames_of(recording(options.audio))
    talk = Talk(None if options.audio == "endless" else TurnDetection())
    rows = [talk.hour(hour, frames) for hour in range(1, options.hours + 1)]
    show(options.audio, rows)
    if options.json:
        options.json.write_text(
            json.dumps({"machine": machine(), "audio": options.audio, "rows": rows}, indent=2) + "\n"
        )


def recording(kind: str) -> Audio:
    """Some seconds at 16 kHz, a whole number of appends, to be played over and over."""
    clip = read_audio(models_folder(None) / SAMPLE)
    if kind == "silence":
        rng = np.random.default_rng(0)
        clip = (rng.standard_normal(len(clip)) * 1e-4).astype(np.float32)
    step = round(CHUNK_S * SAMPLE_RATE)
    return clip[: len(clip) // step * step]


def frames_of(audio: Audio) -> list[str]:
    wire = wire_bytes(audio, "pcm16", RATE)
    step = round(2 * RATE * CHUNK_S)
    return [append_frame(wire[at : at + step]) for at in range(0, len(wire), step)]


class Talk:
    """The session, its client and its models."""

    def __init__(self, detection: TurnDetection | None) -> None:
        ids = count()
        self._new_id = lambda prefix: f"{prefix}_{next(ids):020d}"
        card = ModelCard("words", "words")
        view = m.SessionView("sess_0", 2_000_000_000, SessionSettings(turn_detection=detection))
        self.session = Session(view, find_model=lambda _: card, new_id=self._new_id, now=0.0, lifetime_s=1e9)
        self._scorer = Silero(LoadOptions(models_folder(None), threads=1))
        self._chunks = 0
        self._turns = 0

    def hour(self, number: int, frames: list[str]) -> dict[str, Any]:
        """Live through an hour of audio; what it cost, and what is held at its end."""
        chunks, turns = round(3600 / CHUNK_S), self._turns
        started = time.process_time()
        for _ in range(chunks):
            self._receive(decode(frames[self._chunks % len(frames)]))
            self._chunks += 1
        spent = time.process_time() - started
        gc.collect()
        return {
            "hour": number,
            "cpu_ms_per_audio_s": round(1000 * spent / 3600, 2),
            "resident_mib": round(resident_bytes() / 2**20, 1),
            "objects": len(gc.get_objects()),
            "turns": self._turns - turns,
        }

    def _receive(self, first: m.AnyCommand) -> None:
        inbox: deque[m.AnyCommand | Result] = deque([first])
        while inbox:
            self.session.receive(inbox.popleft(), self._chunks * CHUNK_S)
            for output in self.session.outputs():
                match output:
                    case ScoreVoice():
                        ((scores, state),) = self._scorer.score([(output.audio, output.state)])
                        inbox.append(VoiceScored(output.id, scores, state))
                    case Transcribe():
                        words = round(len(output.audio) / SAMPLE_RATE * WORDS_A_SECOND)
                        inbox.append(Transcribed(output.id, Hypothesis((Token(" word", -0.1),) * words)))
                    case Urge():
                        pass
                    case _:
                        self._turns += isinstance(output, m.TranscriptCompleted)
                        ga.encode(output, self._new_id)


def resident_bytes() -> int:
    """Of this process now; where /proc does not tell, the most there has been."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def show(audio: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=f"One session, hour by hour ({audio})", caption=machine())
    for heading in ("hour", "CPU ms a second", "resident MiB", "Python objects", "turns"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            str(row["hour"]),
            f"{row['cpu_ms_per_audio_s']:.2f}",
            f"{row['resident_mib']:.1f}",
            str(row["objects"]),
            str(row["turns"]),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
