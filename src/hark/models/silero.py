"""Silero VAD 6.2: the probability of speech for each 32 ms of many sessions at once.

The graph reads 64 samples of context and a window of 512, and carries the state of an LSTM from window to window. Both
go in and come out in `SileroState`, so the scorer itself remembers nobody. A batch is stepped window by window over the
sessions that still have one; its probabilities equal those of single runs.
Refuses: audio that is not a whole number of windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hark.core.work import SAMPLE_RATE, WINDOW_SAMPLES, Audio, VoiceState
from hark.errors import InternalError
from hark.models.base import LoadOptions, ModelSpec, ScorerModel
from hark.models.onnx import open_graph

NAME: Final = "silero-vad"
CONTEXT_SAMPLES: Final = 64
STATE_SIZE: Final = 128


class SileroState(Struct, frozen=True, eq=False):
    """What a session hands on: `recurrent` float32 [2, 128], `context` float32 [64], the last samples heard."""

    recurrent: NDArray[np.float32]
    context: Audio


START: Final = SileroState(np.zeros((2, STATE_SIZE), np.float32), np.zeros(CONTEXT_SAMPLES, np.float32))


class Silero:
    """A Scorer around the graph silero_vad_16k_op15.onnx."""

    def __init__(self, options: LoadOptions) -> None:
        self._graph = open_graph(options.folder / NAME / "silero_vad_16k_op15.onnx", options.threads)
        self._rate = np.array(SAMPLE_RATE, np.int64)

    def score(self, batch: Sequence[tuple[Audio, VoiceState]]) -> list[tuple[NDArray[np.float32], VoiceState]]:
        if not batch:
            return []
        counts = [_windows(audio) for audio, _ in batch]
        # Longest first: the sessions that still have a window are then always the first rows.
        order = sorted(range(len(batch)), key=lambda row: -counts[row])
        states = [_state(batch[row][1]) for row in order]
        heard = [np.concatenate((state.context, batch[row][0])) for state, row in zip(states, order, strict=True)]
        recurrent = np.stack([state.recurrent for state in states], axis=1)
        probabilities = np.empty((len(batch), max(counts)), np.float32)
        for window in range(max(counts)):
            start = window * WINDOW_SAMPLES
            live = sum(count > window for count in counts)
            rows = np.stack([samples[start : start + CONTEXT_SAMPLES + WINDOW_SAMPLES] for samples in heard[:live]])
            feeds = {"input": rows, "state": recurrent[:, :live], "sr": self._rate}
            scores, recurrent[:, :live] = self._graph.run(["output", "stateN"], feeds)
            probabilities[:live, window] = scores[:, 0]
        results: dict[int, tuple[NDArray[np.float32], VoiceState]] = {}
        for place, row in enumerate(order):
            state = SileroState(recurrent[:, place].copy(), heard[place][-CONTEXT_SAMPLES:].copy())
            results[row] = (probabilities[place, : counts[row]].copy(), state)
        return [results[row] for row in range(len(batch))]


def _windows(audio: Audio) -> int:
    count, rest = divmod(len(audio), WINDOW_SAMPLES)
    if rest:
        raise InternalError(
            f"Voice scores take whole windows of {WINDOW_SAMPLES} samples, and {len(audio)} samples came. "
            "Keep the rest until its window is full."
        )
    return count


def _state(state: VoiceState) -> SileroState:
    if state is None:
        return START
    if not isinstance(state, SileroState):
        raise InternalError(
            f"Silero goes on from its own state, and a {type(state).__name__} came. Start this session from None."
        )
    return state


def plugin() -> list[ScorerModel]:
    """What this module offers under "hark.models"."""
    spec = ModelSpec(
        name=NAME,
        summary="Silero VAD 6.2: voice activity, 1.3 MB, any language.",
        licence="MIT",
        files=(NAME,),
        max_batch=64,
    )
    return [ScorerModel(spec, Silero)]
