"""Smart Turn: the features that its graph was trained with, and what it says of real speech."""

from __future__ import annotations

import numpy as np
import pytest

from hark.audio.files import read_audio
from hark.core.work import SAMPLE_RATE, Audio
from hark.models.base import LoadOptions
from hark.models.files.pull import models_folder
from hark.models.smart_turn import HEARD_SAMPLES, SmartTurn, features, plugin

# Where phrases of the recording end.
ENDS_S = (4.64, 6.30, 8.29, 10.37, 12.86, 16.77, 20.54, 24.06)


@pytest.fixture(scope="module")
def judge() -> SmartTurn:
    return SmartTurn(LoadOptions(folder=models_folder(None)))


@pytest.fixture(scope="module")
def speech() -> Audio:
    return read_audio(models_folder(None) / "samples" / "beckett.wav")


def chirp(seconds: float) -> Audio:
    """A tone that rises from 100 to 7,000 Hz over a little noise."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.random.default_rng(3).standard_normal(len(time)) * 0.01
    return (0.3 * np.sin(2 * np.pi * (100 * time + 3_450 * time**2 / seconds)) + noise).astype(np.float32)


def slow_features(audio: Audio) -> np.ndarray:
    """The same by the book and in double precision: each mel filter as a function, each transform as a sum."""
    heard = np.concatenate([np.zeros(HEARD_SAMPLES), audio.astype(np.float64)])[-HEARD_SAMPLES:]
    heard = (heard - heard.mean()) / np.sqrt(heard.var() + 1e-7)
    padded = np.concatenate([heard[200:0:-1], heard, heard[-2:-202:-1]])
    n = np.arange(400)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / 400)
    basis = np.exp(-2j * np.pi * np.outer(np.arange(201), n) / 400)
    power = np.abs(basis @ np.stack([padded[at : at + 400] * window for at in range(0, HEARD_SAMPLES, 160)]).T) ** 2

    def hertz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else float(1_000 * 6.4 ** ((mel - 15) / 27))

    top = 15 + 27 * np.log(8) / np.log(6.4)
    edges = [hertz(step * top / 81) for step in range(82)]
    mels = np.empty((80, 800))
    for row, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        bins = np.arange(201) * 40.0
        rise, fall = (bins - low) / (middle - low), (high - bins) / (high - middle)
        mels[row] = np.maximum(0, np.minimum(rise, fall)) * 2 / (high - low) @ power
    logs = np.log10(np.maximum(mels, 1e-10))
    return (np.maximum(logs, logs.max() - 8) + 4) / 4


@pytest.mark.parametrize("seconds", [0.1, 3.0, 8.0, 11.0])
def test_features_are_those_of_the_book(seconds: float) -> None:
    audio = chirp(seconds)
    fast = features(audio)
    assert (fast.shape, fast.dtype, fast.flags.c_contiguous) == ((80, 800), np.float32, True)
    np.testing.assert_allclose(fast, slow_features(audio), atol=2e-3)


def test_silence_has_features_too() -> None:
    assert np.isfinite(features(np.zeros(100, np.float32))).all()
    assert np.isfinite(features(np.zeros(0, np.float32))).all()


def test_only_the_last_8_s_count(judge: SmartTurn, speech: Audio) -> None:
    long = np.concatenate([chirp(5.0), np.tile(speech, 3)])
    assert judge.judge([long]) == judge.judge([long[-HEARD_SAMPLES:]])


def test_a_batch_is_judged_one_by_one(judge: SmartTurn, speech: Audio) -> None:
    pieces = [speech[: round(seconds * SAMPLE_RATE)] for seconds in (1.0, 2.5, 6.0)]
    assert judge.judge(pieces) == [judge.judge([piece])[0] for piece in pieces]
    assert judge.judge([]) == []


def test_phrases_sound_more_finished_than_the_same_cut_short(judge: SmartTurn) -> None:
    speech = read_audio(models_folder(None) / "samples" / "two_cities.wav")
    pause = np.zeros(SAMPLE_RATE // 5, np.float32)
    phrases = [speech[: round(second * SAMPLE_RATE)] for second in ENDS_S]
    finished = judge.judge([np.concatenate([phrase, pause]) for phrase in phrases])
    cut_short = judge.judge([np.concatenate([phrase[: -len(pause)], pause]) for phrase in phrases])
    assert all(0.0 <= probability <= 1.0 for probability in (*finished, *cut_short))
    assert np.mean(finished) > np.mean(cut_short) + 0.1


def test_the_plugin_offers_one_judge() -> None:
    (model,) = plugin()
    assert (model.spec.name, model.spec.files, model.spec.licence) == ("smart-turn", ("smart-turn",), "BSD-2-Clause")
