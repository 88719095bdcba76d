"""A deterministic model that transcribes loudness, for tests and for measuring the server itself.

Sound above a floor is speech. Each 200 ms of it is one word, chosen by its loudness; a word that the end of the audio
cuts off comes out wrong, as with real models. So any stretch of audio has one text, the last word of a partial
hypothesis may change, and nothing else does.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hark.core.work import WINDOW_SAMPLES, Audio, Hypothesis, Token, VoiceState
from hark.models.base import (
    EngineModel,
    JudgeModel,
    LoadOptions,
    Model,
    ModelSpec,
    ScorerModel,
    SpeakerModel,
    Utterance,
)

WORDS: Final = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett")
WORD_SAMPLES: Final = 3_200
FLOOR: Final = 0.02
CROSSING_SAMPLES: Final = 32  # a wave that crosses nought is not silent there
# Probability that a turn is over, by the last letter of its last word.
CERTAINTY: Final = {"a": 0.99, "o": 0.02}
# Word k sounds at this amplitude (peak of a sine or square), so neighbours are told apart with room to spare.
STEP: Final = 0.08


def amplitude(word: str) -> float:
    """How loud a square wave must be for the engine to hear `word`."""
    return STEP * (WORDS.index(word) + 1)


class ScriptedScorer:
    """Probability 0.95 for a window whose mean magnitude is above the floor, else 0.02. Keeps no state."""

    def score(self, batch: Sequence[tuple[Audio, VoiceState]]) -> list[tuple[NDArray[np.float32], VoiceState]]:
        if not batch:
            return []
        windows = np.concatenate([audio for audio, _ in batch]).reshape(-1, WINDOW_SAMPLES)
        scores = np.where(np.abs(windows).mean(axis=1) > FLOOR, np.float32(0.95), np.float32(0.02))
        ends = accumulate(len(audio) // WINDOW_SAMPLES for audio, _ in batch)
        return [(scores[first:last], None) for first, last in pairwise((0, *ends))]


class ScriptedJudge:
    """Sure that a turn is over after a word that ends in "a", sure that it goes on after "o", and else in doubt."""

    def judge(self, batch: Sequence[Audio]) -> list[float]:
        return [CERTAINTY.get(word[-1:], 0.5) for word in map(_last_word, batch)]


def _last_word(audio: Audio) -> str:
    words = _words(np.append(audio, np.float32(0.0)))  # what is judged ends with the last word
    return words[-1].text if words else ""


class ScriptedEars:
    """Tells voices apart by their pitch: how much of a sound lies in each of eight bands."""

    def embed(self, batch: Sequence[Audio]) -> list[NDArray[np.float32]]:
        return [_bands(audio) for audio in batch]


def _bands(audio: Audio) -> NDArray[np.float32]:
    power = np.abs(np.fft.rfft(np.pad(audio, (0, max(0, 160 - len(audio)))))) ** 2
    edges = np.linspace(0, len(power), 9).astype(int)
    bands = [power[first:last].sum() for first, last in itertools.pairwise(edges)]
    return np.array(bands, np.float32)


class ScriptedEngine:
    def transcribe(self, batch: Sequence[Utterance]) -> list[Hypothesis]:
        return [Hypothesis(tuple(_words(utterance.audio)), language="en") for utterance in batch]


def _words(audio: Audio) -> list[Token]:
    loud = np.abs(audio) > FLOOR
    edges = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False])).astype(np.int8)))
    starts, stops = edges[::2], edges[1::2]
    silent = starts[1:] - stops[:-1] > CROSSING_SAMPLES
    starts, stops = starts[np.append(True, silent)[: len(starts)]], stops[np.append(silent, True)[: len(stops)]]
    tokens: list[Token] = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        for first in range(start, stop, WORD_SAMPLES):
            last = min(first + WORD_SAMPLES, stop)
            level = round(float(np.abs(audio[first:last]).mean()) / STEP) - 1
            whole = last < len(audio)
            word = WORDS[min(max(level, 0), len(WORDS) - 1)] if whole else "cut"
            tokens.append(Token(f" {word}", -0.1, first, last))
    return tokens


def _load_engine(options: LoadOptions) -> ScriptedEngine:
    return ScriptedEngine()


def _load_scorer(options: LoadOptions) -> ScriptedScorer:
    return ScriptedScorer()


def _load_judge(options: LoadOptions) -> ScriptedJudge:
    return ScriptedJudge()


def _load_ears(options: LoadOptions) -> ScriptedEars:
    return ScriptedEars()


def plugin() -> list[Model]:
    engine = ModelSpec(
        "scripted",
        "Transcribes loudness; for tests and for measuring the server itself.",
        "MIT",
        languages=("en",),
        traits=("logprobs", "words"),
        own_process=False,
    )
    scorer = ModelSpec("scripted-vad", "Takes any sound for speech; goes with 'scripted'.", "MIT", max_batch=512)
    judge = ModelSpec("scripted-turns", "Goes by the last word; goes with 'scripted'.", "MIT", max_batch=512)
    ears = ModelSpec("scripted-speakers", "Goes by the pitch; goes with 'scripted'.", "MIT", max_batch=512)
    return [
        EngineModel(engine, _load_engine),
        ScorerModel(scorer, _load_scorer),
        JudgeModel(judge, _load_judge),
        SpeakerModel(ears, _load_ears),
    ]
