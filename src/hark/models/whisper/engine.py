"""Whisper by CTranslate2, on a processor or a GPU, the utterances of many sessions at once.

CTranslate2 is called directly: encode, detect the language, generate, align. faster-whisper's own `transcribe` takes
one recording, seeks in it and asks again for what it has had; of that package the log-mel filters are used.
Each utterance is filled up to Whisper's 30 s with silence, as it was trained; what is heard of one depends on no other.
Rows are decoded together if CTranslate2 can (`Row.group`): with prompts of other lengths they are batches of their own.
Partial hypotheses are decoded greedily; a final one has a beam, and if it is doubtful it is asked for again, in bounds
(decoding.py). Times and probabilities of tokens come from a last pass, which aligns the text to the audio.
Refuses: to load without the package, or from a folder where a file is missing or damaged; never an utterance.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import log
from typing import Any, Final

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from hark.core.work import SAMPLE_RATE, Audio, Hypothesis, Token
from hark.models.base import LoadOptions, Utterance
from hark.models.whisper import decoding as rules
from hark.models.whisper.decoding import Attempt, Row
from hark.models.whisper.network import (
    Network,
    config,
    open_network,
    require_packages,
)
from hark.models.whisper.words import Vocabulary, edges

FRAMES: Final = rules.WINDOW_S * 100  # of the log-mel spectrum, one each 10 ms
MIN_SAMPLES: Final = SAMPLE_RATE // 10  # the first and last 200 samples are mirrored at the edges
# A spectrum goes down to 80 dB under its loudest part, in steps of 40 dB, and digital silence lies at -1.5.
DEPTH: Final = 2.0
SILENCE: Final = -1.5
LEAST: Final = 1e-10  # of a probability, so that its logarithm is a number

# Whisper's own codes where they are none of ISO 639-1, and what else people write for them.
SPELLED: Final = {"jv": "jw", "nb": "no", "iw": "he", "in": "id", "ji": "yi", "fil": "tl", "cmn": "zh"}
REPORTED: Final = {"jw": "jv"}

Array = NDArray[Any]


class Whisper:
    """An Engine around the CTranslate2 model in the folder `name`. `english`: it was made for English alone, whatever
    its vocabulary holds."""

    def __init__(self, name: str, options: LoadOptions, *, english: bool = False) -> None:
        """Raises OperatorError."""
        require_packages(name)
        from ctranslate2 import StorageView  # noqa: PLC0415  (large, and only workers need it)
        from faster_whisper.feature_extractor import FeatureExtractor  # noqa: PLC0415

        folder = options.folder / name
        self._network: Network = open_network(folder, options.threads)
        self._vocabulary = Vocabulary(folder / "tokenizer.json")
        self._only = "en" if english or not self._network.is_multilingual else None
        self._aligns = bool(config(folder).get("alignment_heads"))
        self._view = StorageView
        self._extract = FeatureExtractor(feature_size=self._network.n_mels)
        self._pool = ThreadPoolExecutor(options.threads)

    def close(self) -> None:
        self._pool.shutdown()
        self._network.unload_model()

    def transcribe(self, batch: Sequence[Utterance]) -> list[Hypothesis]:
        asked = [[Heard(row) for row in self._rows(utterance)] for utterance in batch]
        groups: dict[object, list[Heard]] = {}
        for heard in (heard for pieces in asked for heard in pieces):
            groups.setdefault(heard.row.group, []).append(heard)
        for group in groups.values():
            self._hear(group)
        return [_joined(pieces) for pieces in asked]

    # ---- what is asked

    def _rows(self, utterance: Utterance) -> list[Row]:
        ids, told = rules.context(self._vocabulary.encode, utterance.prompt, utterance.keywords)
        among = tuple(filter(None, map(self._language, utterance.languages)))
        return [
            Row(audio, tuple(ids), told, self._language(utterance.language), among, utterance.final)
            for audio in rules.windows(utterance.audio)
        ]

    def _language(self, code: str | None) -> str | None:
        """Whisper's code for what a client wrote; None for what it does not know."""
        if self._only:
            return self._only
        code = (code or "").casefold().replace("_", "-").partition("-")[0]
        code = SPELLED.get(code, code)
        return code if code in self._vocabulary.languages else None

    def _spectrum(self, audio: Audio) -> Array:
        """Log-mel float32 [mels, FRAMES] of audio [n], filled up as if silence followed."""
        features = self._extract(np.pad(audio, (0, max(0, MIN_SAMPLES - len(audio)))))[:, :-1]
        spectrum = np.full((len(features), FRAMES), max(features.max() - DEPTH, SILENCE), np.float32)
        spectrum[:, : features.shape[1]] = features[:, :FRAMES]
        return spectrum

    # ---- what is heard

    def _hear(self, group: list[Heard]) -> None:
        """Fill in what each of them is, all of one Row.group."""
        began = time.monotonic()
        spectra = np.stack(list(self._pool.map(self._spectrum, [heard.row.audio for heard in group])))
        encoded = self._network.encode(self._view.from_array(spectra))
        self._name_languages(encoded, group)
        beam = rules.FINAL_BEAM if group[0].row.final else rules.PARTIAL_BEAM
        for heard, attempt in zip(group, self._decode(encoded, group, beam), strict=True):
            heard.attempt = attempt
        echoes = [place for place, heard in enumerate(group) if rules.is_echo(heard.attempt.text, heard.row.told)]
        if echoes:
            self._without_context(encoded, group, echoes, beam)
        if group[0].row.final:
            self._again(encoded, group, began)
        for heard in group:
            heard.attempt = heard.attempt.settled()
        self._place(encoded, group)

    def _name_languages(self, encoded: Any, group: Sequence[Heard]) -> None:
        unknown = [place for place, heard in enumerate(group) if heard.row.language is None]
        if not unknown:
            return
        ranked = self._network.detect_language(self._chosen(encoded, group, unknown))
        for place, of_row in zip(unknown, ranked, strict=True):
            heard = group[place]
            language = rules.likeliest_language(of_row, heard.row.among)
            heard.row = structs.replace(heard.row, language=language)

    def _without_context(self, encoded: Any, group: list[Heard], places: list[int], beam: int) -> None:
        """Whoever says what the prompt says may be reading it out: what is heard without it counts."""
        bare = [Heard(structs.replace(group[place].row, context=())) for place in places]
        attempts = self._decode(self._chosen(encoded, group, places), bare, beam)
        for place, attempt in zip(places, attempts, strict=True):
            group[place].row = structs.replace(group[place].row, context=(), told="")
            group[place].attempt = attempt

    def _again(self, encoded: Any, group: list[Heard], began: float) -> None:
        """Ask again for what is doubtful, as often as there are temperatures and time."""
        attempts = {place: [heard.attempt] for place, heard in enumerate(group) if heard.attempt.doubtful}
        for temperature in rules.TEMPERATURES:
            doubtful = [place for place, made in attempts.items() if made[-1].doubtful]
            for places in _alike(group, doubtful):
                if time.monotonic() - began > rules.AGAIN_S:
                    break
                chosen = self._chosen(encoded, group, places)
                made = self._decode(chosen, [group[place] for place in places], 1, temperature)
                for place, attempt in zip(places, made, strict=True):
                    attempts[place].append(attempt)
        for place, made in attempts.items():
            group[place].attempt = rules.best(made)

    def _decode(self, encoded: Any, group: Sequence[Heard], beam: int, temperature: float = 0.0) -> list[Attempt]:
        """An answer for each row; their contexts have one length."""
        prompts = [self._prompt(heard.row) for heard in group]
        told, limit = len(prompts[0]), group[0].row.limit
        drawn: dict[str, Any] = {"beam_size": beam}
        if temperature:
            drawn |= {"sampling_topk": 0, "sampling_temperature": temperature, "num_hypotheses": rules.BEST_OF}
        answers = self._network.generate(
            encoded,
            prompts,
            max_length=rules.max_length(told, limit),
            return_scores=True,
            return_no_speech_prob=True,
            **drawn,
        )
        full = rules.room(told, limit)
        return [self._attempt(answer, full) for answer in answers]

    def _prompt(self, row: Row) -> list[int]:
        words = self._vocabulary
        before = [words.previous, *row.context] if row.context else []
        task = []
        if self._network.is_multilingual:
            task = [words.languages[row.language or "en"], words.transcribe]
        return [*before, words.start, *task, words.untimed]

    def _attempt(self, answer: Any, full: int) -> Attempt:
        said = answer.sequences_ids[0]
        ids = tuple(id_ for id_ in said if id_ < self._vocabulary.end)  # times may come, though they were not wanted
        # The score is the sum over all tokens and the end's, divided by the number of tokens alone.
        logprob = answer.scores[0] * max(len(said), 1) / (len(said) + 1)
        text = self._vocabulary.decode(ids).strip()
        return Attempt(ids, text, logprob, answer.no_speech_prob, cut=len(said) >= full)

    def _place(self, encoded: Any, group: list[Heard]) -> None:
        """Give each of them tokens, with probabilities and times."""
        languages = {heard.row.language for heard in group if heard.attempt.ids}
        for language in languages:
            places = [
                place for place, heard in enumerate(group) if heard.attempt.ids and heard.row.language == language
            ]
            chosen = [group[place] for place in places]
            if not self._aligns:  # then all that is known is their mean, and no time
                for heard in chosen:
                    count = len(heard.attempt.ids)
                    heard.tokens = self._tokens(heard, [heard.attempt.logprob] * count, None)
                continue
            start = self._prompt(structs.replace(chosen[0].row, context=()))[:-1]
            frames = [min(max(len(heard.row.audio), MIN_SAMPLES) // 160, FRAMES) for heard in chosen]
            placed = self._network.align(
                self._chosen(encoded, group, places), start, [list(heard.attempt.ids) for heard in chosen], frames
            )
            for heard, found in zip(chosen, placed, strict=True):
                logprobs = [log(max(probability, LEAST)) for probability in found.text_token_probs]
                heard.tokens = self._tokens(heard, logprobs, edges(found.alignments, len(heard.attempt.ids)))

    def _tokens(self, heard: Heard, logprobs: Sequence[float], at: Sequence[int] | None) -> list[Token]:
        return self._vocabulary.tokens(heard.attempt.ids, logprobs, at, len(heard.row.audio))

    def _chosen(self, encoded: Any, group: Sequence[object], places: list[int]) -> Any:
        """Rows of what was encoded. A StorageView cannot be cut, so it goes through the host's memory."""
        if len(places) == len(group):
            return encoded
        host = encoded.to_device(_device(encoded, "cpu")) if encoded.device != "cpu" else encoded
        return self._view.from_array(np.ascontiguousarray(np.array(host)[places]))


class Heard(Struct):
    """A row on its way to tokens."""

    row: Row
    attempt: Attempt = Attempt((), "", 0.0, 0.0)
    tokens: list[Token] = []


def _device(view: Any, name: str) -> Any:
    from ctranslate2 import Device  # noqa: PLC0415

    return getattr(Device, name)


def _alike(group: Sequence[Heard], places: Iterable[int]) -> list[list[int]]:
    """Places whose contexts have one length, together: some have lost theirs on the way."""
    alike: dict[int, list[int]] = {}
    for place in places:
        alike.setdefault(len(group[place].row.context), []).append(place)
    return list(alike.values())


def _joined(pieces: Sequence[Heard]) -> Hypothesis:
    """The windows of an utterance as one hypothesis."""
    tokens: list[Token] = []
    first = 0
    for heard in pieces:
        for token in heard.tokens:
            start, end = (None if at is None else first + at for at in (token.start, token.end))
            tokens.append(structs.replace(token, start=start, end=end))
        first += len(heard.row.audio)
    language = pieces[0].row.language or "en"
    return Hypothesis(
        tuple(tokens), language=REPORTED.get(language, language), cut=any(heard.attempt.cut for heard in pieces)
    )
