"""Whole utterances through sherpa-onnx: Parakeet, Canary, SenseVoice, Whisper, Moonshine, Zipformer, and CTC models.

A batch goes into one call of `decode_streams`, which pads it where the model can, and else runs it one by one. Where a
model is told the language, the batch is split by it; the graphs are loaded once. Keywords are hotwords, for which a
transducer needs beam search; that takes a recogniser of its own, which is loaded by the first request that has any.

Rule: an utterance without audio never reaches the graphs, and a short one gets silence behind it. Times never lie
beyond the utterance; log probabilities are there where sherpa-onnx fills them, which is for transducers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from hark.core.work import SAMPLE_RATE, Audio, Hypothesis
from hark.models.base import Utterance
from hark.models.sherpa.files import Kind, ModelFolder, read_tokens
from hark.models.sherpa.tokens import Hotwords, Vocabulary, tokens_of

# NeMo's features of less than some frames have no variance to be normalised by.
LEAST_SAMPLES: Final = SAMPLE_RATE // 2
# Canary is told the language and cannot find it.
CANARY_LANGUAGES: Final = ("en", "de", "es", "fr")
SENSE_VOICE_LANGUAGES: Final = ("zh", "en", "ja", "ko", "yue")


class OfflineEngine:
    """An Engine. `sherpa` is the package, imported by who loads this."""

    def __init__(self, sherpa: Any, files: ModelFolder, threads: int) -> None:
        self._sherpa = sherpa
        self._files = files
        self._threads = threads
        self._vocabulary = Vocabulary(read_tokens(files.tokens) if files.kind != "whisper" else [])
        self._plain = self._recogniser()
        self._biased: Any = None
        self._hotwords = Hotwords(self._vocabulary) if files.kind == "transducer" else None
        self._language = ""

    def transcribe(self, batch: Sequence[Utterance]) -> list[Hypothesis]:
        heard = [Hypothesis(()) for _ in batch]
        groups: dict[tuple[bool, str], list[int]] = defaultdict(list)
        for place, utterance in enumerate(batch):
            if len(utterance.audio):
                biased = bool(self._hotwords and self._hotwords.spelled(utterance.keywords))
                groups[biased, self._told(utterance)].append(place)
        for (biased, language), places in groups.items():
            streams = self._decode([batch[place] for place in places], biased, language)
            for place, stream in zip(places, streams, strict=True):
                heard[place] = self._hypothesis(stream.result, len(batch[place].audio), language)
        return heard

    def _decode(self, utterances: Sequence[Utterance], biased: bool, language: str) -> list[Any]:
        recogniser = self._beam() if biased else self._plain
        self._speak(language)
        streams = []
        for utterance in utterances:
            words = self._hotwords.spelled(utterance.keywords) if biased and self._hotwords else ""
            stream = recogniser.create_stream(words) if words else recogniser.create_stream()
            stream.accept_waveform(SAMPLE_RATE, _padded(utterance.audio))
            streams.append(stream)
        recogniser.decode_streams(streams)
        return streams

    def _told(self, utterance: Utterance) -> str:
        """The language that the model is to be told, "" to let it find out."""
        wanted = utterance.language or ""
        match self._files.kind:
            case "whisper":
                # For one that it does not have it would end the process.
                return wanted if wanted in self._files.metadata.get("all_language_codes", "").split(",") else ""
            case "sense-voice":
                return wanted if wanted in SENSE_VOICE_LANGUAGES else ""
            case "canary":
                known = [code for code in (wanted, *utterance.languages) if code in CANARY_LANGUAGES]
                return known[0] if known else CANARY_LANGUAGES[0]
            case _:
                return ""

    def _speak(self, language: str) -> None:
        if language == self._language:
            return
        config = self._plain.config
        match self._files.kind:
            case "whisper":
                config.model_config.whisper.language = language
            case "sense-voice":
                config.model_config.sense_voice.language = language
            case "canary":
                config.model_config.canary.src_lang = config.model_config.canary.tgt_lang = language
        self._plain.recognizer.set_config(config)
        self._language = language

    def _beam(self) -> Any:
        if self._biased is None:
            assert self._hotwords is not None
            with self._hotwords.options() as options:
                self._biased = self._recogniser(decoding_method="modified_beam_search", **options)
        return self._biased

    def _recogniser(self, **options: Any) -> Any:
        return open_recogniser(self._sherpa, self._files, self._threads, **options)

    def _hypothesis(self, result: Any, samples: int, language: str) -> Hypothesis:
        tokens = tokens_of(
            self._vocabulary.cased(result.text),
            [self._vocabulary.cased(token) for token in result.tokens],
            samples=samples,
            starts=result.timestamps,
            durations=result.durations,
            logprobs=result.ys_log_probs,
        )
        return Hypothesis(tokens, _code(result.lang) or language or None)


def open_recogniser(sherpa: Any, files: ModelFolder, threads: int, **options: Any) -> Any:
    """sherpa-onnx's recogniser of these files; `options` go to it as they are."""
    offline = sherpa.OfflineRecognizer
    given = {part: str(path) for part, path in files.parts.items()}
    given |= {"tokens": str(files.tokens)}
    kinds: dict[Kind, Any] = {
        "nemo-transducer": partial(offline.from_transducer, model_type="nemo_transducer"),
        "transducer": offline.from_transducer,
        "whisper": partial(offline.from_whisper, language=""),
        "canary": offline.from_nemo_canary,
        "moonshine": offline.from_moonshine,
        "moonshine-v2": offline.from_moonshine_v2,
        "sense-voice": partial(offline.from_sense_voice, use_itn=True),
        "nemo-ctc": offline.from_nemo_ctc,
        "zipformer-ctc": offline.from_zipformer_ctc,
    }
    return kinds[files.kind](**given, num_threads=threads, provider="cpu", **options)


def _padded(audio: Audio) -> Audio:
    return np.pad(audio, (0, max(0, LEAST_SAMPLES - len(audio))))


def _code(told: str) -> str:
    """SenseVoice writes "<|en|>", Whisper "en"."""
    return told.strip("<|>")
