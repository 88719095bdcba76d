"""Streaming transducers through sherpa-onnx: each request feeds what is new, and a batch of streams is decoded at once.

Theory. Such a model reads audio in chunks of a third of a second and carries a state from each to the next, which
sherpa-onnx keeps in a stream and gives to nobody. So streams are kept here, and a hypothesis's draft names its own:

    draft = (number of the stream,)     comes back with the next request about the same speech
    a stream is used again if           it is still here, what it was fed is no more than the utterance, and a checksum
                                        says that the utterance begins with just that
    otherwise                           a new stream is fed the whole utterance

Rule: this is a cache and never state. A stream that is gone costs time and changes no word, for what a stream says
depends on what it was fed and not on how it was cut. There are at most MAX_STREAMS, the one unused for longest goes
first. A final request needs the last, unfinished chunk: silence is fed behind the audio, and the stream, which is of no
use to the speech any more, is dropped; if the speech goes on all the same, the next request begins anew.
Refuses: to decode a stream that has no whole chunk, for which sherpa-onnx would end the process.
"""

from __future__ import annotations

import os
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from hark.core.work import SAMPLE_RATE, Audio, Hypothesis
from hark.models.base import Utterance
from hark.models.sherpa.files import ModelFolder, read_tokens
from hark.models.sherpa.tokens import Hotwords, Vocabulary, tokens_of

# The states of a large Zipformer take some 3 MB.
MAX_STREAMS: Final = 128
FRAME_S: Final = 0.01
# A word is said by the model some frames after it was heard.
LATE_S: Final = 0.2


class _Live(Struct):
    """A stream, how many samples it was fed, their checksum, and whose it is: that of a recogniser and its hotwords."""

    number: int
    stream: Any
    recogniser: Any
    hotwords: str
    fed: int = 0
    checksum: int = 0


class StreamingEngine:
    """An Engine. `sherpa` is the package, imported by who loads this."""

    def __init__(self, sherpa: Any, files: ModelFolder, threads: int) -> None:
        self._sherpa = sherpa
        self._files = files
        self._threads = threads
        self._vocabulary = Vocabulary(read_tokens(files.tokens))
        self._hotwords = Hotwords(self._vocabulary)
        self._plain = self._recogniser()
        self._biased: Any = None
        self._tail = np.zeros(round((int(files.metadata["T"]) * FRAME_S + LATE_S) * SAMPLE_RATE), np.float32)
        self._kept: OrderedDict[int, _Live] = OrderedDict()
        # A draft of another process is not to name a stream of this one.
        self._next = int.from_bytes(os.urandom(4), "big") << 30

    @property
    def streams(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def transcribe(self, batch: Sequence[Utterance]) -> list[Hypothesis]:
        lives = [self._fed(utterance) if len(utterance.audio) else None for utterance in batch]
        for recogniser in (self._plain, self._biased):
            streams = [live.stream for live in lives if live is not None and live.recogniser is recogniser]
            while ready := [stream for stream in streams if recogniser.is_ready(stream)]:
                recogniser.decode_streams(ready)
        return [self._hypothesis(live, utterance) for live, utterance in zip(lives, batch, strict=True)]

    def _fed(self, utterance: Utterance) -> _Live:
        words = self._hotwords.spelled(utterance.keywords)
        live = self._resumed(utterance, words) or self._begun(words)
        fresh = utterance.audio[live.fed :]
        if len(fresh):
            live.stream.accept_waveform(SAMPLE_RATE, fresh)
            live.fed, live.checksum = len(utterance.audio), _checksum(fresh, live.checksum)
        if utterance.final:
            live.stream.accept_waveform(SAMPLE_RATE, self._tail)
            live.stream.input_finished()
        return live

    def _resumed(self, utterance: Utterance, words: str) -> _Live | None:
        # Out of the cache meanwhile: a request that fails leaves no stream in an unknown state.
        live = self._kept.pop(utterance.draft[0], None) if utterance.draft else None
        if live is None or live.hotwords != words or live.fed > len(utterance.audio):
            return None
        return live if _checksum(utterance.audio[: live.fed]) == live.checksum else None

    def _begun(self, words: str) -> _Live:
        self._next += 1
        if not words:
            return _Live(self._next, self._plain.create_stream(), self._plain, words)
        if self._biased is None:
            with self._hotwords.options() as options:
                self._biased = self._recogniser(decoding_method="modified_beam_search", **options)
        return _Live(self._next, self._biased.create_stream(words), self._biased, words)

    def _hypothesis(self, live: _Live | None, utterance: Utterance) -> Hypothesis:
        if live is None:
            return Hypothesis(())
        result = live.recogniser.get_result_all(live.stream)
        tokens = tokens_of(
            self._vocabulary.cased(result.text),
            [self._vocabulary.cased(token) for token in result.tokens],
            samples=len(utterance.audio),
            starts=result.timestamps,
            logprobs=result.ys_probs,
        )
        if utterance.final:
            return Hypothesis(tokens)
        self._kept[live.number] = live
        while len(self._kept) > MAX_STREAMS:
            self._kept.popitem(last=False)
        return Hypothesis(tokens, draft=(live.number,))

    def _recogniser(self, **options: Any) -> Any:
        parts = {part: str(path) for part, path in self._files.parts.items()}
        return self._sherpa.OnlineRecognizer.from_transducer(
            tokens=str(self._files.tokens), **parts, num_threads=self._threads, provider="cpu", **options
        )


def _checksum(audio: Audio, before: int = 0) -> int:
    return zlib.crc32(np.ascontiguousarray(audio, np.float32).data.cast("B"), before)
