"""The speech that is played: recordings of a folder, and where in each of them speech ends.

Rule: where speech ends is found here, once, before anything is played, by Silero VAD over the clean clip: the end of
the last window that is more likely speech than not. No server has a say in it. A recording that is too long is cut in
the middle of its pauses. Refuses: a folder without any clip of the lengths that were asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from hark.audio.files import read_audio
from hark.core.work import SAMPLE_RATE, WINDOW_SAMPLES, Audio
from hark.errors import CallerError
from hark.models.base import LoadOptions, Scorer

SUFFIXES: Final = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".webm"}
VOICED: Final = 0.5
CUT_PAUSE: Final = 9  # windows, 288 ms: a recording is cut in pauses of this length or more


class Clip(Struct, frozen=True, eq=False):
    """`audio` mono float32 [n] at 16 kHz; `voiced` are stretches of speech as samples [first, last), pauses shorter
    than CUT_PAUSE included; `transcript` None where nobody wrote it down."""

    name: str
    audio: Audio
    voiced: tuple[tuple[int, int], ...]
    transcript: str | None = None

    @property
    def speech_end(self) -> int:
        return self.voiced[-1][1]

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE


class Wanted(Struct, frozen=True):
    """Clips of `shortest` to `longest` seconds, of this kind where a manifest says kinds."""

    shortest: float = 3.0
    longest: float = 15.0
    kind: str | None = None


def find_clips(folder: Path, wanted: Wanted, scorer: Scorer) -> list[Clip]:
    """The clips of `folder`: those that its manifest.jsonl names, if it has one, else every recording. Raises
    CallerError."""
    manifest = folder / "manifest.jsonl"
    found = _listed(folder, manifest, wanted) if manifest.is_file() else _recordings(folder)
    clips = [clip for name, path, said in found for clip in _cut(name, read_audio(path), said, wanted, scorer)]
    if not clips:
        raise CallerError(
            f"Expected a folder with speech of {wanted.shortest:g} to {wanted.longest:g} s a clip; "
            f"found none in {folder}."
        )
    return clips


def _listed(folder: Path, manifest: Path, wanted: Wanted) -> Iterator[tuple[str, Path, str | None]]:
    for line in filter(str.strip, manifest.read_text("utf-8").splitlines()):
        row: dict[str, Any] = json.loads(line)
        kind = wanted.kind is None or row.get("kind") == wanted.kind
        fits = wanted.shortest <= row.get("duration_s", wanted.shortest) <= wanted.longest
        english = str(row.get("language", "en")).startswith("en")
        if kind and fits and english and row.get("score", "wer") == "wer":
            yield str(row.get("id", row["file"])), folder / row["file"], row.get("transcript")


def _recordings(folder: Path) -> Iterator[tuple[str, Path, str | None]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            text = path.with_suffix(".txt")
            yield path.stem, path, text.read_text("utf-8").strip() if text.is_file() else None


def _cut(name: str, audio: Audio, said: str | None, wanted: Wanted, scorer: Scorer) -> Iterator[Clip]:
    clip = Clip(name, audio, voiced_stretches(audio, scorer), said)
    if not clip.voiced or clip.seconds < wanted.shortest:
        return
    if clip.seconds <= wanted.longest:
        yield clip
        return
    for number, (first, last) in enumerate(_pieces(clip, wanted), 1):
        inside = tuple((start - first, end - first) for start, end in clip.voiced if first <= start and end <= last)
        # Which words were said in a piece is not known.
        yield structs.replace(clip, name=f"{name}-{number}", audio=audio[first:last], voiced=inside, transcript=None)


def _pieces(clip: Clip, wanted: Wanted) -> Iterator[tuple[int, int]]:
    """Stretches of the clip from pause to pause, each as short as may be; what is too long is left out."""
    stretches = clip.voiced
    middles = [(one[1] + other[0]) // 2 for one, other in pairwise(stretches)]
    start = 0
    for cut in [*middles, len(clip.audio)]:
        if cut - start > wanted.longest * SAMPLE_RATE:
            start = cut
        elif cut - start >= wanted.shortest * SAMPLE_RATE:
            yield start, cut
            start = cut


def voiced_stretches(audio: Audio, scorer: Scorer) -> tuple[tuple[int, int], ...]:
    """Where there is speech, as samples [first, last), with pauses under CUT_PAUSE windows counted in."""
    windows = len(audio) // WINDOW_SAMPLES
    [(scores, _)] = scorer.score([(audio[: windows * WINDOW_SAMPLES], None)])
    voiced: NDArray[np.intp] = np.flatnonzero(scores >= VOICED)
    if not len(voiced):
        return ()
    gaps = np.flatnonzero(np.diff(voiced) > CUT_PAUSE)
    firsts, lasts = [0, *(gaps + 1)], [*gaps, len(voiced) - 1]
    return tuple(
        (int(voiced[first]) * WINDOW_SAMPLES, int(voiced[last] + 1) * WINDOW_SAMPLES)
        for first, last in zip(firsts, lasts, strict=True)
    )


def silero(folder: Path) -> Scorer:
    """The scorer that comes with Hark, which is loaded now."""
    from hark.models.silero.scorer import Silero  # noqa: PLC0415 - onnxruntime is heavy

    return Silero(LoadOptions(folder, threads=1))
