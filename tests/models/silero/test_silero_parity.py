"""Silero's network in numpy against the same file run by onnxruntime: probabilities, states, and decisions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hark.audio.files import read_audio
from hark.core.settings import TurnDetection
from hark.core.work import WINDOW_SAMPLES, Audio
from hark.models.base import LoadOptions
from hark.models.files.pull import models_folder
from hark.models.onnx.opening import open_graph
from hark.models.silero.scorer import CONTEXT_SAMPLES, NAME, Silero, SileroState
from hark.session.turns import detector

CLOSE = 2e-5  # products of a few hundred float32 in another order; states of an LSTM add them up


@pytest.fixture(scope="module")
def scorer() -> Silero:
    return Silero(LoadOptions(folder=models_folder(None)))


class Reference:
    """The graph as it is, one session, window by window."""

    def __init__(self) -> None:
        self._graph = open_graph(models_folder(None) / NAME / "silero_vad_16k_op15.onnx", 1)

    def score(self, audio: Audio) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities and the last state [2, 128]."""
        recurrent, context = np.zeros((2, 1, 128), np.float32), np.zeros(CONTEXT_SAMPLES, np.float32)
        probabilities = []
        for start in range(0, len(audio), WINDOW_SAMPLES):
            window = np.concatenate((context, audio[start : start + WINDOW_SAMPLES]))
            feeds = {"input": window[None], "state": recurrent, "sr": np.array(16_000, np.int64)}
            score, recurrent = self._graph.run(["output", "stateN"], feeds)
            probabilities.append(score[0, 0])
            context = window[-CONTEXT_SAMPLES:]
        return np.array(probabilities, np.float32), recurrent[:, 0]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


def noise(seed: int, windows: int, level: float) -> Audio:
    rng = np.random.default_rng(seed)
    return np.clip(rng.standard_normal(windows * WINDOW_SAMPLES) * level, -1, 1).astype(np.float32)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from((0.0, 1e-5, 0.01, 0.3, 3.0))),
        min_size=1,
        max_size=40,
    )
)
def test_any_batch_of_noise_scores_as_in_the_graph(
    scorer: Silero, reference: Reference, sessions: list[tuple[int, int, float]]
) -> None:
    pieces = [noise(*session) for session in sessions]
    for piece, (probabilities, state) in zip(pieces, scorer.score([(piece, None) for piece in pieces]), strict=True):
        expected, recurrent = reference.score(piece)
        np.testing.assert_allclose(probabilities, expected, atol=CLOSE)
        assert isinstance(state, SileroState)
        np.testing.assert_allclose(state.recurrent, recurrent, atol=10 * CLOSE)
        np.testing.assert_array_equal(state.context, piece[-CONTEXT_SAMPLES:])


@pytest.mark.parametrize("sample", sorted((models_folder(None) / "samples").glob("*.wav")), ids=lambda path: path.stem)
@pytest.mark.parametrize("windows", [1, 3, 125])
def test_speech_is_decided_upon_as_with_the_graph(
    scorer: Silero, reference: Reference, sample: Path, windows: int
) -> None:
    audio = read_audio(sample)
    audio = audio[: len(audio) // WINDOW_SAMPLES * WINDOW_SAMPLES]
    expected, _ = reference.score(audio)
    state, parts = None, []
    for start in range(0, len(audio), windows * WINDOW_SAMPLES):
        ((probabilities, state),) = scorer.score([(audio[start : start + windows * WINDOW_SAMPLES], state)])
        parts.append(probabilities)
    found = np.concatenate(parts)
    np.testing.assert_allclose(found, expected, atol=CLOSE)
    assert decisions(found) == decisions(expected)
    assert decisions(expected), "the sample has no turn to decide upon"


def decisions(probabilities: np.ndarray) -> list[object]:
    ears = detector(TurnDetection(), 0)
    return [signal for window, score in enumerate(probabilities.tolist()) if (signal := ears.feed(window, score))]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_scoring_many_sessions_takes_one_thread() -> None:
    script = (
        "import os\n"
        "from hark.models.base import LoadOptions\n"
        "from hark.models.files.pull import models_folder\n"
        "from hark.models.silero.scorer import Silero\n"
        "import numpy as np\n"
        "scorer = Silero(LoadOptions(models_folder(None)))\n"
        "scorer.score([(np.zeros(4 * 512, np.float32), None)] * 64)\n"
        "print(len(os.listdir('/proc/self/task')))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "1"
