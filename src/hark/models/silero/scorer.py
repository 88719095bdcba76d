"""Silero VAD 6.2: the probability of speech for each 32 ms of many sessions at once.

The network reads 64 samples of context and a window of 512, and carries the state of an LSTM from window to window.
Both go in and come out in `SileroState`, so the scorer itself remembers nobody. All but the LSTM looks at one window at
a time, so all windows of a batch pass through it together, whosever they are; the LSTM then steps window by window over
the sessions that still have one.

The weights are those of the ONNX file and the arithmetic is numpy's (network.py): a third to a half of what
onnxruntime takes for the same graph, with probabilities that differ by rounding alone.
Refuses: audio that is not a whole number of windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hark.core.work import WINDOW_SAMPLES, Audio, VoiceState
from hark.errors import InternalError
from hark.models.base import LoadOptions, ModelSpec, ScorerModel
from hark.models.silero.network import CONTEXT_SAMPLES, INPUT_SAMPLES, ROW_SAMPLES, STATE_SIZE, SileroNetwork

NAME: Final = "silero-vad"


class SileroState(Struct, frozen=True, eq=False):
    """What a session hands on: `recurrent` float32 [2, 128], `context` float32 [64], the last samples heard."""

    recurrent: NDArray[np.float32]
    context: Audio


START: Final = SileroState(np.zeros((2, STATE_SIZE), np.float32), np.zeros(CONTEXT_SAMPLES, np.float32))


class Silero:
    """A Scorer with the weights of silero_vad_16k_op15.onnx."""

    def __init__(self, options: LoadOptions) -> None:
        self._network = SileroNetwork(options.folder / NAME / "silero_vad_16k_op15.onnx")

    def score(self, batch: Sequence[tuple[Audio, VoiceState]]) -> list[tuple[NDArray[np.float32], VoiceState]]:
        if not batch:
            return []
        counts = [_windows(audio) for audio, _ in batch]
        # Longest first: the sessions that still have a window are then always the first rows.
        order = sorted(range(len(batch)), key=lambda row: -counts[row])
        states = [_state(batch[row][1]) for row in order]
        heard = [np.concatenate((state.context, batch[row][0])) for state, row in zip(states, order, strict=True)]
        live = [sum(count > window for count in counts) for window in range(max(counts))]
        recurrent = np.empty((2, len(states), STATE_SIZE), np.float32)
        for place, state in enumerate(states):
            recurrent[:, place] = state.recurrent
        probabilities = self._network.run(_inputs(heard, live), live, recurrent)
        results: dict[int, tuple[NDArray[np.float32], VoiceState]] = {}
        for place, row in enumerate(order):
            state = SileroState(recurrent[:, place].copy(), heard[place][-CONTEXT_SAMPLES:].copy())
            results[row] = (probabilities[: counts[row], place].copy(), state)
        return [results[row] for row in range(len(batch))]


def _inputs(heard: list[Audio], live: list[int]) -> NDArray[np.float32]:
    """The network's input, a row a window: the first window of every session, then the second ones, …"""
    rows = np.empty((sum(live), ROW_SAMPLES), np.float32)
    first = 0
    for window, sessions in enumerate(live):
        start = window * WINDOW_SAMPLES
        for place in range(sessions):
            rows[first + place, :INPUT_SAMPLES] = heard[place][start : start + INPUT_SAMPLES]
        first += sessions
    return rows


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
