"""Streams of speech with pauses whose meaning is known, made from a folder of recordings with a manifest.

Two kinds of moments are marked: pauses in mid-sentence, of 0.6 to 1.5 s, which nobody should take for an end; and ends
of turns, with 10 s of silence after them. What the manifest does not say of them is found out from what it does say:

    end         the end of a clip of one talker, unless `end_of_turn` is false, or its transcript has some of .?! and
                does not end in one of them. If `end_of_turn` is true, it is an end whatever the transcript.
    recorded    a pause as it was recorded. In a clip with `segments` it is a pause inside a segment while nobody else
                speaks. In a clip of one talker of the kind "disfluent" it is every pause. In any other clip of one
                talker it is a pause at which the transcript shows no end of a sentence: its only .?! is its last
                character; or it has none, and the clip lasts at most 8 s; or the words that an engine hears up to the
                pause, laid along the transcript, stop at a word without .?!
    widened     the same, but the pause was shorter (96 ms or more) and silence was put into it
    cut         silence put into a clip of one talker where its sound dips by 10 dB, mostly between words; what follows
                is the rest of the clip, or another clip. Also the end of a clip with `end_of_turn` false, before
                another.

Left out: `expected_end_of_turns`, clips without speech or with less than 1 s of it, and what cannot be told as above.
The silence that is put in is noise as loud as the clip's quietest twentieth. Everything is drawn from a fixed seed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from hark.audio.files import read_audio
from hark.bench.scoring import normalise
from hark.core.work import SAMPLE_RATE, WINDOW_SAMPLES, Audio

Clip = dict[str, Any]
Scores = list[float]

LONGEST_S: Final = 10.0  # of silence after an end: more than any mode waits
PAUSE_S: Final = (0.6, 1.5)
OWN_PAUSE: Final = 3  # windows
VOICED: Final = 0.25
LEAST_SPEECH: Final = SAMPLE_RATE
STOPS: Final = (".", "?", "!")


class Moment(NamedTuple):
    """Samples [first, last) of a stream, in which nobody speaks. `how` is a word of the table above. A turn that ends
    after sample `since` ends here: at the end of a clip, a breath may outlast the voice."""

    how: str
    first: int
    last: int
    since: int


class Stream(NamedTuple):
    name: str
    audio: Audio
    moments: list[Moment]


class Speech:
    """A clip: where it is voiced, and silence that sounds like it."""

    def __init__(self, clip: Clip, audio: Audio, scores: Scores, rng: np.random.Generator) -> None:
        self.clip, self.audio, self._rng = clip, audio, rng
        voiced = np.flatnonzero(np.array(scores) >= VOICED)
        self.first = int(voiced[0]) * WINDOW_SAMPLES if len(voiced) else 0
        self.last = min(len(audio), (int(voiced[-1]) + 1) * WINDOW_SAMPLES) if len(voiced) else 0
        gaps = np.flatnonzero(np.diff(voiced) > OWN_PAUSE)
        self.pauses = [(int(voiced[at] + 1) * WINDOW_SAMPLES, int(voiced[at + 1]) * WINDOW_SAMPLES) for at in gaps]
        level = np.sqrt(_power(audio))
        self._hush = max(float(np.quantile(level, 0.05)), 1e-5) if len(level) else 1e-5

    def silence(self, seconds: float) -> Audio:
        return (self._rng.standard_normal(round(seconds * SAMPLE_RATE)) * self._hush).astype(np.float32)

    @property
    def end(self) -> int:
        """The end of the sound, by loudness: the last 20 ms within 30 dB of the loudest and 6 dB over the quietest."""
        decibels = 10 * np.log10(_power(self.audio) + 1e-10)
        floor = max(np.quantile(decibels, 0.95) - 30, np.quantile(decibels, 0.05) + 6)
        loud = np.flatnonzero(decibels >= floor)
        return int(loud[-1] + 1) * 320 if len(loud) else len(self.audio)

    def dips(self) -> list[int]:
        """Where the sound dips between a quarter and seven eighths of the speech: most often between words."""
        decibels = 10 * np.log10(_power(self.audio) + 1e-10)
        middle = np.median(decibels[self.first // 320 : self.last // 320])
        length = self.last - self.first
        frames = range((self.first + length // 4) // 320, (self.first + length * 7 // 8) // 320)
        low = [at for at in frames if decibels[at] <= middle - 10 and decibels[at] == decibels[at - 10 : at + 11].min()]
        return [at * 320 + 160 for at in low]


def _power(audio: Audio) -> np.ndarray:
    return np.square(audio[: len(audio) // 320 * 320].reshape(-1, 320)).mean(axis=1)


def streams(
    folder: Path, clips: list[Clip], score: Callable[[Audio], Scores], hear: Callable[[Audio], str]
) -> list[Stream]:
    """`score`: voice probabilities of whole windows; `hear`: the words of some speech."""
    rng = np.random.default_rng(20_240_607)
    speeches = []
    for clip in clips:
        audio = read_audio(folder / clip["file"])
        speech = Speech(clip, audio, score(audio), rng)
        if speech.last - speech.first >= LEAST_SPEECH:
            speeches.append(speech)
    made = [stream for speech in speeches for stream in _of_one(speech, hear, rng)]
    alone = [speech for speech in speeches if _talkers(speech.clip) == 1]
    for speech, other in zip(alone, [*alone[1:], *alone[:1]], strict=True):
        made += _joined(speech, other, rng)
    return made


def _of_one(speech: Speech, hear: Callable[[Audio], str], rng: np.random.Generator) -> Iterator[Stream]:
    clip, audio = speech.clip, speech.audio
    inner = [pause for pause in speech.pauses if _mid_sentence(speech, pause[0], hear)]
    recorded = [Moment("recorded", *pause, pause[0]) for pause in inner if _long(pause)]
    if _talkers(clip) == 1 and _complete(clip):
        whole = np.concatenate([audio[: speech.end], speech.silence(LONGEST_S)])
        yield Stream(
            clip["id"], whole, [*recorded, Moment("end", speech.end, len(whole), min(speech.last, speech.end))]
        )
    elif recorded:
        yield Stream(clip["id"], np.concatenate([audio, speech.silence(1.0)]), recorded)
    short = [pause for pause in inner if pause[1] - pause[0] < PAUSE_S[0] * SAMPLE_RATE]
    for first, last in short[:2]:
        put_in = speech.silence(rng.uniform(*PAUSE_S) - (last - first) / SAMPLE_RATE)
        middle = (first + last) // 2
        wide = np.concatenate([audio[:middle], put_in, audio[middle:]])
        yield Stream(f"{clip['id']} widened", wide, [Moment("widened", first, last + len(put_in), first)])


def _joined(speech: Speech, other: Speech, rng: np.random.Generator) -> Iterator[Stream]:
    """Cut in mid-sentence, and followed by the rest of the clip or by another clip."""
    name, audio = speech.clip["id"], speech.audio
    dips = [at for at in speech.dips() if all(not first - 4_800 < at < last + 4_800 for first, last in speech.pauses)]
    if dips:
        at = int(rng.choice(dips))
        for follows in (audio[at:], other.audio[other.first :]):
            put_in = speech.silence(rng.uniform(*PAUSE_S))
            yield Stream(
                f"{name} cut", np.concatenate([audio[:at], put_in, follows]), [Moment("cut", at, at + len(put_in), at)]
            )
    if speech.clip.get("end_of_turn") is False:
        put_in = speech.silence(rng.uniform(*PAUSE_S))
        whole = np.concatenate([audio[: speech.end], put_in, other.audio[other.first :]])
        yield Stream(f"{name} unfinished", whole, [Moment("cut", speech.end, speech.end + len(put_in), speech.end)])


# ---- what the manifest says ------------------------------------------------------------------------------------------


def _talkers(clip: Clip) -> int:
    return clip.get("n_speakers") or (len(set(clip["speaker"].split(","))) if clip.get("speaker") else 1)


def _punctuated(clip: Clip) -> bool:
    text = clip.get("transcript") or ""
    return any(mark in text for mark in STOPS)


def _complete(clip: Clip) -> bool:
    if clip.get("end_of_turn") is not None:
        return bool(clip["end_of_turn"])
    return not _punctuated(clip) or clip["transcript"].rstrip("\"'”’ ").endswith(STOPS)


def _long(pause: tuple[int, int]) -> bool:
    return PAUSE_S[0] <= (pause[1] - pause[0]) / SAMPLE_RATE <= PAUSE_S[1]


def _mid_sentence(speech: Speech, at: int, hear: Callable[[Audio], str]) -> bool:
    clip, text = speech.clip, (speech.clip.get("transcript") or "").strip()
    if clip.get("segments"):
        return _in_a_segment(clip["segments"], at / SAMPLE_RATE)
    if _talkers(clip) != 1 or at - speech.first < LEAST_SPEECH // 2:
        return False
    if clip["kind"] == "disfluent":
        return True
    if not text:
        return False
    if not _punctuated(clip):
        return bool(clip["duration_s"] <= 8)
    if not any(mark in text[:-1] for mark in STOPS):
        return True
    heard = normalise(hear(speech.audio[max(0, at - 12 * SAMPLE_RATE) : at + 1_600]))
    return _goes_on(text, heard[-8:])


def _in_a_segment(segments: list[dict[str, Any]], at: float) -> bool:
    speaking = {part["speaker"] for part in segments if part["start"] < at + PAUSE_S[0] and part["end"] > at - 0.1}
    return len(speaking) == 1 and any(part["start"] < at - 0.3 and at + 0.6 < part["end"] for part in segments)


def _goes_on(text: str, heard: list[str]) -> bool:
    """Whether the words `heard` end in mid-sentence, at the place of the text that they fit best."""
    said = text.split()
    words = [(normalise(word) or [""])[0] for word in said]
    best, fit = 0, 0
    for end in range(1, len(words)):
        window = words[max(0, end - len(heard)) : end]
        same = sum(a == b for a, b in zip(reversed(window), reversed(heard), strict=False))
        if same > fit:
            best, fit = end, same
    if fit * 2 < len(heard):
        return False  # no place fits well enough to tell
    return not re.sub(r"[\"'”’]+$", "", said[best - 1]).endswith(STOPS)
