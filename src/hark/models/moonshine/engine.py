"""Moonshine tiny-en: English speech to text by two graphs, a batch of sessions at once.

The files that are pulled hold traced graphs in onnxruntime's own format. Only their weights are used: graphs that hold
nothing but what is computed are made around them when the model is loaded (graphs.py), and the decoder is run
by decoding.py. The encoder runs once for each utterance: batches of it are no faster on a CPU, and padding,
even masked, changes what it hears. What is said of an utterance depends on it alone, but for rounding, which at times
turns a token where two are about equally likely: on batches, on drafts and on processors.
Audio goes in without any levelling, but with silence behind it, as the model mishears a word that ends with the audio
and makes words up for audio under a second. On 136 clips that took the word error rate from 15.3 to 12.9 %; over half
of it was 30 single digits, where 8 errors were left of 31. It was made for up to 30 s and beyond that loops or
leaves speech out: callers cut at pauses.
Refuses: nothing. Audio too short for the graph, even none, is silence by then, for which it tends to say "You".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hark.core.work import SAMPLE_RATE, Audio, Hypothesis
from hark.models.base import EngineModel, LoadOptions, ModelSpec, Suits, Utterance
from hark.models.moonshine import graphs
from hark.models.moonshine.decoding import Decoding, Row
from hark.models.moonshine.graphs import PRESENT, WIDTH, probe
from hark.models.moonshine.tokens import read_pieces
from hark.models.onnx.opening import open_graph
from hark.models.onnx.ortfile import read_graph

NAME: Final = "moonshine-tiny-en"
TAIL_SAMPLES: Final = SAMPLE_RATE // 4  # of silence behind the audio
MIN_SAMPLES: Final = SAMPLE_RATE  # with that silence; the graph itself can do nothing with fewer than 895

Array = NDArray[Any]


class Moonshine:
    """An Engine around encoder_model.ort and decoder_model_merged.ort. It knows English alone; of the hints it takes
    the draft."""

    def __init__(self, options: LoadOptions) -> None:
        folder = options.folder / NAME
        encoder, decoder = (read_graph(folder / f"{part}.ort") for part in ("encoder_model", "decoder_model_merged"))
        self._encoder = open_graph(graphs.encoder(encoder, decoder, exact_signed()), options.threads)
        self._decoder = open_graph(graphs.decoder(decoder, exact_blockwise()), options.threads)
        self._pieces = read_pieces(folder / "tokenizer.bin")

    def transcribe(self, batch: Sequence[Utterance]) -> list[Hypothesis]:
        rows = [Row(len(utterance.audio), utterance.draft) for utterance in batch]
        if rows:
            decoding = Decoding(rows, [self._encode(utterance.audio) for utterance in batch])
            while decoding.rows:
                decoding.advance(self._decoder.run(["logits", *PRESENT], decoding.feeds()))
        return [row.hypothesis(self._pieces) for row in rows]

    def _encode(self, audio: Audio) -> Array:
        """The memory float32 [layers * 2, heads, frames, head] of audio [n]."""
        samples = np.pad(audio, (0, max(TAIL_SAMPLES, MIN_SAMPLES - len(audio))))[None]
        memory: Array = self._encoder.run(None, {"samples": samples})[0]
        return memory


def exact_signed() -> bool:
    """Whether products of signed 8-bit weights are exact on this processor. Where they are, they take half the time of
    unsigned ones; older processors add them up in 16 bits, which are too few."""
    return _adds_up(False, -128.0)


def exact_blockwise() -> bool:
    """The same of products that are quantised in blocks."""
    return _adds_up(True, 127.0)


def _adds_up(blockwise: bool, each: float) -> bool:
    graph = open_graph(probe(blockwise), 1)
    products = [graph.run(None, {"states": np.ones((rows, WIDTH), np.float32)})[0] for rows in (1, 8)]
    return all(np.allclose(product, each * WIDTH, rtol=1e-3) for product in products)


def plugin() -> list[EngineModel]:
    """What this module offers under "hark.models"."""
    spec = ModelSpec(
        name=NAME,
        summary="Moonshine tiny: English, 27 million parameters, 44 MB.",
        licence="MIT",
        files=(NAME,),
        languages=("en",),
        traits=("logprobs",),
        max_batch=8,
        max_batch_s=8.0,
        threads=1,
        suits=Suits(cpu=50, memory_mb=300),
    )
    return [EngineModel(spec, Moonshine)]
