"""How often audio in a wrong format is noticed, and right audio taken for wrong.

    python benchmarks/format_help.py DIR [--json FILE] [--seconds S]

DIR holds manifest.jsonl (fields as in docs/accuracy.md) and the audio it names. Each clip is encoded in the ways of
FORMATS, rightly and wrongly declared, and handed to the listener that the server has (audio/mistakes.py). Then the
English clips with words are played at wrong rates, by talker, four clips each at most, to the check of the pace
(session/pace.py) with the default model behind it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from accuracy import machine
from hark.audio.files import read_audio
from hark.audio.formats import Encoding
from hark.audio.intake import wire_bytes
from hark.audio.mistakes import Listener
from hark.core.work import SAMPLE_RATE, WINDOW_SAMPLES, Audio, Transcribe, Transcribed
from hark.models.base import LoadOptions, Utterance
from hark.models.files.pull import models_folder
from hark.models.moonshine.engine import Moonshine
from hark.models.silero.scorer import Silero
from hark.session.pace import LONGEST, PaceCheck, played_at

Clip = dict[str, Any]
Pcm = NDArray[np.int16]
CHUNK: Final = 4_800
CLIPS_OF_A_TALKER: Final = 4
# (true rate, declared rate)
RATES: Final = (
    (8_000, 8_000),
    (16_000, 16_000),
    (24_000, 24_000),
    (44_100, 44_100),
    (48_000, 48_000),
    (16_000, 24_000),
    (24_000, 16_000),
    (48_000, 24_000),
    (44_100, 24_000),
    (8_000, 16_000),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each clip")
    options = parser.parse_args()
    clips = [json.loads(line) for line in (options.folder / "manifest.jsonl").read_text().splitlines() if line.strip()]

    def audio(clip: Clip) -> Audio:
        return read_audio(options.folder / clip["file"])[: int(options.seconds * SAMPLE_RATE)]

    report = {"machine": machine(), "formats": formats(clips, audio), "rates": rates(clips, audio)}
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


# ---- formats -------------------------------------------------------------------------------------------------------


def pcm(audio: Audio, rate: int) -> Pcm:
    return np.frombuffer(wire_bytes(audio, "pcm16", rate), "<i2")


# Name -> (right, declared encoding, bytes of a clip).
FORMATS: Final[dict[str, tuple[bool, Encoding, Callable[[Audio], bytes]]]] = {
    "pcm16 at 16 kHz": (True, "pcm16", lambda audio: pcm(audio, 16_000).tobytes()),
    "pcm16 at 24 kHz": (True, "pcm16", lambda audio: pcm(audio, 24_000).tobytes()),
    "pcm16 at 48 kHz": (True, "pcm16", lambda audio: pcm(audio, 48_000).tobytes()),
    "mu-law": (True, "g711_ulaw", lambda audio: wire_bytes(audio, "g711_ulaw", 8_000)),
    "A-law": (True, "g711_alaw", lambda audio: wire_bytes(audio, "g711_alaw", 8_000)),
    "pcm16, high byte first": (False, "pcm16", lambda audio: pcm(audio, 24_000).astype(">i2").tobytes()),
    "unsigned 8-bit as pcm16": (False, "pcm16", lambda audio: ((pcm(audio, 24_000) >> 8) + 128).astype("u1").tobytes()),
    "floats as pcm16": (False, "pcm16", lambda audio: (pcm(audio, 24_000) / 32_768).astype("<f4").tobytes()),
    "mu-law as pcm16": (False, "pcm16", lambda audio: wire_bytes(audio, "g711_ulaw", 8_000)),
    "A-law as pcm16": (False, "pcm16", lambda audio: wire_bytes(audio, "g711_alaw", 8_000)),
    "pcm16 as mu-law": (False, "g711_ulaw", lambda audio: pcm(audio, 24_000).tobytes()),
    "two channels as one": (False, "pcm16", lambda audio: np.repeat(pcm(audio, 24_000), 2).tobytes()),
}


def formats(clips: list[Clip], audio: Callable[[Clip], Audio]) -> list[dict[str, Any]]:
    tallies: dict[str, Counter[str]] = {name: Counter() for name in FORMATS}
    for clip in clips:
        heard = audio(clip)
        for name, (_, encoding, encoded) in FORMATS.items():
            tallies[name]["clips"] += 1
            tallies[name]["noticed"] += noticed(encoded(heard), encoding)
    return [{"sent": name, "right": FORMATS[name][0], **tally} for name, tally in tallies.items()]


def noticed(data: bytes, encoding: Encoding) -> bool:
    listener = Listener(encoding)
    return any(listener.look(data[at : at + CHUNK]) for at in range(0, len(data), CHUNK))


# ---- rates ---------------------------------------------------------------------------------------------------------


def rates(clips: list[Clip], audio: Callable[[Clip], Audio]) -> list[dict[str, Any]]:
    options = LoadOptions(models_folder(None), threads=1)
    engine, scorer = Moonshine(options), Silero(options)
    talkers: dict[str, list[Audio]] = defaultdict(list)
    for clip in clips:
        words = clip["language"].startswith("en") and not clip["score"].startswith("no")
        talker = clip.get("speaker") or clip["id"]
        if words and clip["kind"] != "command" and len(talkers[talker]) < CLIPS_OF_A_TALKER:
            talkers[talker].append(audio(clip))
    rows = []
    for true, declared in RATES:
        tally: Counter[str] = Counter()
        for spoken in talkers.values():
            check, ids = PaceCheck(declared), count()
            for stretch in stretches(spoken, declared / true, scorer):
                request = Transcribe(next(ids), "moonshine", stretch)
                check.hear(request, engine.transcribe([Utterance(stretch)])[0])
                while trial := check.request(next(ids), 0.0):
                    tally["trials"] += 1
                    check.accept(Transcribed(trial.id, engine.transcribe([Utterance(trial.audio)])[0]))
            tally["talkers"] += bool(spoken)
            tally["noticed"] += check.take_notice() is not None
        rows.append({"true": true, "declared": declared, **tally})
    return rows


def stretches(spoken: list[Audio], speed: float, scorer: Silero) -> Iterator[Audio]:
    """What the model would hear of each clip: from a little before the first voice on."""
    for clip in spoken:
        audio = clip if speed == 1 else played_at(clip, speed)
        windows = len(audio) // WINDOW_SAMPLES
        [(scores, _)] = scorer.score([(audio[: windows * WINDOW_SAMPLES], None)])
        voiced = np.flatnonzero(scores >= 0.5)
        if len(voiced):
            first = max(0, int(voiced[0]) * WINDOW_SAMPLES - SAMPLE_RATE // 3)
            yield audio[first : (int(voiced[-1]) + 3) * WINDOW_SAMPLES][:LONGEST]


def show(report: dict[str, Any]) -> None:
    console = Console()
    table = Table(title="Formats", caption="short and silent clips say too little, and are never noticed")
    for heading in ("sent", "declared", "clips", "noticed"):
        table.add_column(heading, justify="left" if heading in ("sent", "declared") else "right")
    for row in report["formats"]:
        table.add_row(row["sent"], "rightly" if row["right"] else "wrongly", str(row["clips"]), str(row["noticed"]))
    console.print(table)
    table = Table(title=f"Rates, by talker, up to {CLIPS_OF_A_TALKER} clips each")
    for heading in ("true", "declared", "talkers", "noticed", "requests for it"):
        table.add_column(heading, justify="right")
    for row in report["rates"]:
        table.add_row(*(str(row.get(key, 0)) for key in ("true", "declared", "talkers", "noticed", "trials")))
    console.print(table)


if __name__ == "__main__":
    main()
