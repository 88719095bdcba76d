"""What the scripted engine hears in sound that is no plain level."""

import numpy as np
import pytest

from hark.models.base import Utterance
from hark.models.scripted import ScriptedEngine, amplitude


def heard(*parts):
    audio = np.concatenate([*parts, np.zeros(800)]).astype(np.float32)
    [hypothesis] = ScriptedEngine().transcribe([Utterance(audio)])
    return "".join(token.text for token in hypothesis.tokens).split()


def wave(word, samples=3_200):
    """A square wave of 25 Hz whose edges take a few samples, as a resampler leaves it."""
    square = np.sign(np.sin(2 * np.pi * 25 * (np.arange(samples) + 0.5) / 16_000))
    return amplitude(word) * np.convolve(np.pad(square, 4, "edge"), np.full(9, 1 / 9), "valid")


@pytest.mark.parametrize("word", ["bravo", "hotel"])
def test_a_wave_that_crosses_nought_is_one_word(word):
    assert heard(np.zeros(800), wave(word)) == [word]


def test_silence_between_two_is_an_end():
    assert heard(wave("delta", 1_600), np.zeros(800), wave("golf", 1_600)) == ["delta", "golf"]


@pytest.mark.parametrize("audio", [[], np.zeros(3_200), np.full(1, 0.5)])
def test_next_to_nothing(audio):
    assert heard(audio) == (["foxtrot"] if len(audio) == 1 else [])
