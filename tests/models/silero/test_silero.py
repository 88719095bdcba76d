"""Silero on real speech: however sessions are grouped and cut up, the probabilities are the same."""

from __future__ import annotations

import numpy as np
import pytest

from hark.audio.files import read_audio
from hark.core.work import SAMPLE_RATE, WINDOW_SAMPLES, Audio, VoiceState
from hark.errors import InternalError
from hark.models.base import LoadOptions
from hark.models.files.pull import models_folder
from hark.models.silero.scorer import Silero, plugin

SECOND = 31 * WINDOW_SAMPLES  # nearly


@pytest.fixture(scope="module")
def scorer() -> Silero:
    return Silero(LoadOptions(folder=models_folder(None)))


@pytest.fixture(scope="module")
def speech() -> Audio:
    return read_audio(models_folder(None) / "samples" / "two_cities.wav")[SAMPLE_RATE : SAMPLE_RATE + 10 * SECOND]


def test_speech_scores_high_and_silence_low(scorer: Silero, speech: Audio) -> None:
    (heard, _), (silence, _) = scorer.score([(speech, None), (np.zeros(2 * SECOND, np.float32), None)])
    assert heard.dtype == np.float32
    assert len(heard) == 310
    assert heard.max() > 0.95
    assert np.mean(heard > 0.5) > 0.5
    assert silence.max() < 0.1


def test_a_batch_equals_single_runs(scorer: Silero, speech: Audio) -> None:
    pieces = [speech[start * SECOND :][: count * WINDOW_SAMPLES] for start, count in ((0, 3), (4, 40), (2, 0), (5, 40))]
    states = [None, scorer.score([(speech[:SECOND], None)])[0][1], None, None]
    together = scorer.score(list(zip(pieces, states, strict=True)))
    for (probabilities, after), piece, state in zip(together, pieces, states, strict=True):
        alone, after_alone = scorer.score([(piece, state)])[0]
        np.testing.assert_allclose(probabilities, alone, atol=1e-5)
        rest = speech[:WINDOW_SAMPLES]
        np.testing.assert_allclose(
            scorer.score([(rest, after)])[0][0], scorer.score([(rest, after_alone)])[0][0], atol=1e-5
        )


def test_chunks_equal_one_run(scorer: Silero, speech: Audio) -> None:
    whole = scorer.score([(speech, None)])[0][0]
    state: VoiceState = None
    parts = []
    for start in range(0, len(speech), 7 * WINDOW_SAMPLES):
        probabilities, state = scorer.score([(speech[start : start + 7 * WINDOW_SAMPLES], state)])[0]
        parts.append(probabilities)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def test_a_state_is_not_changed_by_going_on_from_it(scorer: Silero, speech: Audio) -> None:
    state = scorer.score([(speech[:SECOND], None)])[0][1]
    first = scorer.score([(speech[SECOND : 2 * SECOND], state)])[0][0]
    again = scorer.score([(speech[SECOND : 2 * SECOND], state)])[0][0]
    np.testing.assert_array_equal(first, again)


def test_nothing_to_score_is_no_failure(scorer: Silero, speech: Audio) -> None:
    assert scorer.score([]) == []
    probabilities, state = scorer.score([(speech[:0], None)])[0]
    assert len(probabilities) == 0
    fresh = scorer.score([(speech[:SECOND], None)])[0][0]
    np.testing.assert_array_equal(scorer.score([(speech[:SECOND], state)])[0][0], fresh)


def test_broken_requests_are_refused(scorer: Silero, speech: Audio) -> None:
    with pytest.raises(InternalError, match="whole windows"):
        scorer.score([(speech[:100], None)])
    with pytest.raises(InternalError, match="own state"):
        scorer.score([(speech[:SECOND], object())])


def test_the_plugin_offers_one_scorer() -> None:
    assert [model.spec.files for model in plugin()] == [("silero-vad",)]
