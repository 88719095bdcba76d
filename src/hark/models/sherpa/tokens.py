"""What sherpa-onnx says -> tokens; what a session asks for -> hotwords.

Rule: tokens concatenate to the text, or there are none but the text's own words. A vocabulary that knows capitals alone
is read and written in small ones, as transcripts all in capitals help nobody.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Final

from hark.core.work import SAMPLE_RATE, Token

# A token without a duration is taken to last until the next one, but no longer than a syllable.
LONGEST_S: Final = 0.24
# The weight of a hotword, sherpa-onnx's own default.
SCORE: Final = 1.5
_SPECIAL: Final = re.compile(r"<.+>|#\d+")  # which spell nothing
_WORD: Final = "\u2581"  # in front of a word, in a vocabulary


class Vocabulary:
    """`symbols` by their numbers."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = symbols
        plain = "".join(symbol for symbol in symbols if not symbol.startswith("<"))
        self._capitals = plain != plain.lower() and plain == plain.upper()
        self.spells = any(symbol.startswith(_WORD) for symbol in symbols)  # in pieces of words

    def cased(self, text: str) -> str:
        return text.lower() if self._capitals else text

    def uncased(self, text: str) -> str:
        return text.upper() if self._capitals else text


class Hotwords:
    """Keywords as sherpa-onnx takes them. It spells them by a file of pieces with scores; those of a vocabulary made by
    byte pairs follow from its order, for the pairs that were joined first are its best (SentencePiece's BPE model)."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        plain = (symbol for symbol in vocabulary.symbols if not _SPECIAL.fullmatch(symbol))
        self._letters = set("".join(plain)) - {_WORD}

    def spelled(self, keywords: Sequence[str]) -> str:
        """Those that the vocabulary has letters for, one after another; one that it has not would undo them all."""
        words = [self._vocabulary.uncased(" ".join(keyword.replace("/", " ").split())) for keyword in keywords]
        return "/".join(word for word in words if word and set(word) - {" "} <= self._letters)

    @contextmanager
    def options(self) -> Iterator[dict[str, object]]:
        """Of a recogniser that is made meanwhile."""
        if not self._vocabulary.spells:
            yield {"modeling_unit": "cjkchar", "hotwords_score": SCORE}
            return
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".vocab") as file:
            file.writelines(f"{symbol}\t{-number}\n" for number, symbol in enumerate(self._vocabulary.symbols))
            file.flush()
            yield {"modeling_unit": "cjkchar+bpe", "bpe_vocab": file.name, "hotwords_score": SCORE}


def tokens_of(
    text: str,
    pieces: Sequence[str],
    *,
    samples: int,
    starts: Sequence[float] = (),
    durations: Sequence[float] = (),
    logprobs: Sequence[float] = (),
) -> tuple[Token, ...]:
    """`starts` and `durations` in seconds; each of the three is empty where it is not known. `samples`: of the
    utterance, beyond which no token reaches."""
    if "".join(pieces).split() != text.split():
        return tuple(Token(f" {word}") for word in text.split())
    count = len(pieces)
    timed, lasting, sure = (len(known) == count for known in (starts, durations, logprobs))
    nexts = chain(starts[1:], repeat(float("inf")))
    tokens = []
    for place, (piece, following) in enumerate(zip(pieces, nexts, strict=False)):
        start = end = None
        if timed:
            first = starts[place]
            last = first + durations[place] if lasting else min(following, first + LONGEST_S)
            start, end = (min(round(second * SAMPLE_RATE), samples) for second in (first, max(first, last)))
        tokens.append(Token(piece, logprobs[place] if sure else None, start, end))
    return tuple(tokens)
