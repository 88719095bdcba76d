"""Changing hypotheses -> text that only grows.

A client cannot be told to take a word back, so a word leaves only when successive hypotheses agree on it and on the
word after it (local agreement, Macháček et al. 2023, "Turning Whisper into Real-Time Transcription System"; the extra
word because the last one of a partial hypothesis is the one cut off by the end of the audio), and when the model is
sure of it; a word it is unsure of, or that follows one it has meanwhile denied, must have stood in more of them. How
many it takes is the client's choice (`delay`). What has left stays: the final hypothesis is aligned to it, and only
what lies beyond is added. So the deltas of an item concatenate to its transcript exactly, whatever the model does.

A transcript is made of segments: the pieces of a long turn that are transcribed one after another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Final

from msgspec import Struct, structs

from hark.core.messages import Word
from hark.core.settings import Delay
from hark.core.work import Hypothesis, Token, to_ms


class Wait(Struct, frozen=True):
    """What must have happened before a word is shown: `agreement` hypotheses in a row had it, `held_back` words stand
    behind it, and each of its tokens has the logarithm of probability `sure`, or `patience` hypotheses had it."""

    agreement: int
    held_back: int
    sure: float
    patience: int


# Measured by benchmarks/early_words.py; docs/accuracy.md has the figures.
WAITS: Final[dict[Delay, Wait]] = {
    "minimal": Wait(agreement=1, held_back=1, sure=-0.5, patience=2),
    "low": Wait(agreement=2, held_back=0, sure=-0.5, patience=4),
    "medium": Wait(agreement=2, held_back=1, sure=-0.5, patience=8),
    "high": Wait(agreement=3, held_back=1, sure=-0.35, patience=12),
    "xhigh": Wait(agreement=4, held_back=2, sure=-0.25, patience=16),
}
USUAL: Final = WAITS["medium"]
# Chinese and Japanese put no spaces between words, so each character is a unit of its own. Hangul, between the two
# ranges, is spaced.
_UNSPACED: Final = re.compile(r"\s*[\u2e80-\uabff\uf900-\ufaff\U00020000-\U0003ffff]")


class Unit:
    """A word as the model spelled it; what is compared is `key`: no case, no punctuation. A space in front of it is no
    part of it: `spaced` says that the model put one. `sure`: the log probability of its least likely token."""

    __slots__ = ("key", "spaced", "sure", "tokens")

    def __init__(self, tokens: list[Token]) -> None:
        first, *rest = tokens
        self.spaced = first.text[:1].isspace()
        self.tokens = [structs.replace(first, text=first.text.lstrip()), *rest]
        text = "".join(token.text for token in tokens)
        self.key = _key(text)
        self.sure = min((token.logprob for token in tokens if token.logprob is not None), default=0.0)

    def word(self) -> Word | None:
        """With its times, where the engine told them."""
        starts = [token.start for token in self.tokens if token.start is not None]
        ends = [token.end for token in self.tokens if token.end is not None]
        if not starts or not ends:
            return None
        return Word("".join(token.text for token in self.tokens), to_ms(min(starts)), to_ms(max(ends)))


@lru_cache(maxsize=4096)
def _key(text: str) -> str:
    """Successive hypotheses say nearly the same words."""
    return "".join(filter(str.isalnum, text)).casefold() or text.strip()


def units(tokens: Sequence[Token]) -> list[Unit]:
    """Tokens grouped into words. Space alone is none: a hypothesis may be cut off behind it."""
    groups: list[list[Token]] = []
    for token in tokens:
        if token.text[:1].isspace() or _UNSPACED.match(token.text) or not groups:
            groups.append([])
        groups[-1].append(token)
    return [Unit(group) for group in groups if any(token.text.strip() for token in group)]


class Transcript:
    """The text of one item. `add_partial` and `add_final` return the tokens to send now."""

    def __init__(self, wait: Wait = USUAL) -> None:
        self.wait = wait
        self.tokens: list[Token] = []
        self.text = ""
        self._words: list[Word | None] = []
        self._sent: list[Unit] = []  # of the segment that is open
        self._last: list[Unit] = []  # the hypothesis before this one
        self._stood: list[int] = []  # for each unit of it, how many hypotheses in a row had all up to it

    @property
    def words(self) -> tuple[Word, ...] | None:
        """All of them with their times, in the order in which they were said; None if an engine left one out."""
        known = [word for word in self._words if word is not None]
        return tuple(known) if len(known) == len(self._words) and known else None

    def add_partial(self, hypothesis: Hypothesis) -> list[Token]:
        """A hypothesis of the open segment that may still change."""
        heard = units(hypothesis.tokens)
        common = _common_prefix(self._last, heard)
        self._stood = [1 + count for count in self._stood[:common]] + [1] * (len(heard) - common)
        self._last = heard
        denied = _common_prefix(self._sent, heard) < len(self._sent)  # then what follows stands on shaky ground
        agreed = sum(count >= self.wait.agreement for count in self._stood)
        after = range(_aligned(self._sent, heard), agreed - self.wait.held_back)
        settled = takewhile(lambda place: self._is_settled(place, doubtful=denied), after)
        return self._send([heard[place] for place in settled])

    def add_final(self, hypothesis: Hypothesis) -> list[Token]:
        """The hypothesis that ends the open segment."""
        heard = units(hypothesis.tokens)
        rest = self._send(heard[_aligned(self._sent, heard) :])
        self._sent, self._last, self._stood = [], [], []
        return rest

    def _is_settled(self, place: int, *, doubtful: bool) -> bool:
        sure = self._last[place].sure >= self.wait.sure and not doubtful
        return self._stood[place] >= (self.wait.agreement if sure else self.wait.patience)

    def _send(self, more: list[Unit]) -> list[Token]:
        tokens: list[Token] = []
        for unit in more:
            first, *rest = unit.tokens
            joins = not self._sent and not _UNSPACED.match(first.text)  # the segment before it ended in a word
            space = " " if (self.text or tokens) and (unit.spaced or joins) else ""
            tokens += [structs.replace(first, text=space + first.text), *rest]
            self._sent.append(unit)
            self._words.append(unit.word())
        self.tokens += tokens
        self.text += "".join(token.text for token in tokens)
        return tokens


def _common_prefix(a: Sequence[Unit], b: Sequence[Unit]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0].key == pair[1].key, zip(a, b, strict=False)))


def _aligned(sent: Sequence[Unit], heard: Sequence[Unit]) -> int:
    """How many units of `heard` stand for all of `sent`: the prefix of `heard` with the least edit distance to it.

    Of equally near prefixes one that ends in the same word wins, or that word would come twice; then the one closest in
    length to `sent`.
    """
    if _common_prefix(sent, heard) == len(sent):
        return len(sent)
    row = list(range(len(heard) + 1))
    for unit in sent:
        diagonal, row[0] = row[0], row[0] + 1
        for column, other in enumerate(heard, 1):
            cost = min(row[column] + 1, row[column - 1] + 1, diagonal + (unit.key != other.key))
            diagonal, row[column] = row[column], cost

    def rank(length: int) -> tuple[int, bool, int]:
        ends_alike = length > 0 and heard[length - 1].key == sent[-1].key
        return row[length], not ends_alike, abs(length - len(sent))

    return min(range(len(row)), key=rank)
