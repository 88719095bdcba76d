"""Voices made into vectors by sherpa-onnx: CAM++ of 3D-Speaker, trained on English voices.

Rule: the package ends the process over a file that it does not like, and this one is the server's; so the file is
pinned by checksum, and what stands beside the graph is checked before the package sees it.
Refuses: other kinds of file than 3D-Speaker's and WeSpeaker's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hark.core.work import SAMPLE_RATE, Audio
from hark.errors import OperatorError
from hark.models.base import LoadOptions, ModelSpec, SpeakerModel
from hark.models.onnx.metadata import read_metadata
from hark.models.sherpa.plugin import PACKAGE, package

NAME: Final = "speaker-campplus-en"
FRAMEWORKS: Final = ("3d-speaker", "wespeaker")
KEYS: Final = ("output_dim", "sample_rate", "normalize_samples", "language")
LEAST_SAMPLES: Final = SAMPLE_RATE // 2
# A voice does not change within a turn, and the cost grows with it.
MOST_SAMPLES: Final = 10 * SAMPLE_RATE


class Voices:
    """A SpeakerEncoder."""

    def __init__(self, options: LoadOptions) -> None:
        sherpa = package()
        graph = next(iter(sorted((options.folder / NAME).glob("*.onnx"))), options.folder / NAME / "model.onnx")
        metadata = read_metadata(graph)
        lacking = [key for key in KEYS if key not in metadata]
        if lacking or metadata.get("framework") not in FRAMEWORKS:
            wrong = f"it lacks {', '.join(lacking)}" if lacking else f"its framework is '{metadata.get('framework')}'"
            raise OperatorError(
                f"{graph} is no model of voices that Hark can use: {wrong}. Expected one of {', '.join(FRAMEWORKS)} as "
                "sherpa-onnx has them."
            )
        config = sherpa.SpeakerEmbeddingExtractorConfig(model=str(graph), num_threads=options.threads)
        self._extractor: Any = sherpa.SpeakerEmbeddingExtractor(config)

    def embed(self, batch: Sequence[Audio]) -> list[NDArray[np.float32]]:
        return [self._embed(audio) for audio in batch]

    def _embed(self, audio: Audio) -> NDArray[np.float32]:
        stream = self._extractor.create_stream()
        heard = audio[:MOST_SAMPLES]
        stream.accept_waveform(SAMPLE_RATE, np.pad(heard, (0, max(0, LEAST_SAMPLES - len(heard)))))
        stream.input_finished()
        assert self._extractor.is_ready(stream)
        return np.array(self._extractor.compute(stream), np.float32)


def plugin() -> list[SpeakerModel]:
    """What this module offers under "hark.models"."""
    spec = ModelSpec(
        name=NAME,
        summary="CAM++: tells speakers apart, 7 million parameters, 30 MB.",
        licence="Apache-2.0",
        files=(NAME,),
        modules=("sherpa_onnx",),
        install=f"pip install {PACKAGE}",
    )
    return [SpeakerModel(spec, Voices)]
