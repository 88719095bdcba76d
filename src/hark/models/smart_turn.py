"""Smart Turn 3.2: the probability that a talker who has paused is done, from the sound of the last 8 s.

The graph reads a log-mel spectrogram as Whisper's encoder does (Radford et al. 2022, section 2.2; the parameters are
those of openai/whisper, whisper/audio.py: 80 Slaney mels, Hann windows of 25 ms every 10 ms, logarithms kept within 8
decades of the loudest), after the waveform was brought to mean 0 and variance 1. Audio shorter than 8 s stands at the
end, behind zeros; of longer audio the last 8 s count. Batching gains nothing here, so a batch is run one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from hark.core.work import SAMPLE_RATE, Audio
from hark.models.base import JudgeModel, LoadOptions, ModelSpec
from hark.models.onnx.opening import open_graph

Floats: TypeAlias = NDArray[np.float32]

NAME: Final = "smart-turn"
HEARD_SAMPLES: Final = 8 * SAMPLE_RATE
FFT: Final = 400
HOP: Final = 160
MELS: Final = 80
DECADES: Final = 8.0


class SmartTurn:
    """A TurnJudge around the graph smart-turn-v3.2-cpu.onnx."""

    def __init__(self, options: LoadOptions) -> None:
        self._graph = open_graph(options.folder / NAME / "smart-turn-v3.2-cpu.onnx", options.threads)

    def judge(self, batch: Sequence[Audio]) -> list[float]:
        return [float(self._graph.run(None, {"input_features": features(audio)[None]})[0].item()) for audio in batch]


def features(audio: Audio) -> Floats:
    """The last 8 s of `audio` ([n] at 16 kHz) as log-mels, float32 [80, 800]."""
    heard = np.zeros(HEARD_SAMPLES, np.float32)
    last = audio[-HEARD_SAMPLES:]
    heard[HEARD_SAMPLES - len(last) :] = last
    heard = (heard - heard.mean()) / np.sqrt(heard.var() + np.float32(1e-7))
    padded = np.pad(heard, FFT // 2, mode="reflect")
    frames = sliding_window_view(padded, FFT)[:HEARD_SAMPLES:HOP] * _WINDOW
    spectrum = np.fft.rfft(frames, axis=-1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    mels = np.log10(np.maximum(power @ _FILTERS, np.float32(1e-10)))
    mels = np.maximum(mels, mels.max() - np.float32(DECADES))
    scaled: Floats = np.ascontiguousarray((mels.T + np.float32(4.0)) / np.float32(4.0))
    return scaled


def _filters() -> Floats:
    """Triangles that are evenly spaced in mels and have equal areas, [201, 80] (Slaney, Auditory Toolbox, 1998:
    linear up to 1 kHz, 27 steps for each factor of 6.4 above)."""
    linear, log_step, knee = 200.0 / 3.0, np.log(6.4) / 27.0, 15.0
    top = knee + np.log(SAMPLE_RATE / 2 / 1_000.0) / log_step
    steps = np.linspace(0.0, top, MELS + 2)
    edges = np.where(steps < knee, steps * linear, 1_000.0 * np.exp((steps - knee) * log_step))
    bins = np.linspace(0.0, SAMPLE_RATE / 2, FFT // 2 + 1)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle))
    weights: Floats = (np.maximum(triangles, 0.0) * 2.0 / (high - low)).astype(np.float32)
    return weights


_WINDOW: Final[Floats] = np.hanning(FFT + 1)[:-1].astype(np.float32)
_FILTERS: Final[Floats] = _filters()


def plugin() -> list[JudgeModel]:
    """What this module offers under "hark.models"."""
    spec = ModelSpec(
        name=NAME,
        summary="Smart Turn 3.2: whether somebody who pauses has finished, 8.7 MB, 23 languages.",
        licence="BSD-2-Clause",
        files=(NAME,),
        max_batch=1,
    )
    return [JudgeModel(spec, SmartTurn)]
