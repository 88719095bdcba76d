"""What of a hypothesis may be believed: the guards against text that nobody spoke, whatever the engine.

Models that transcribe print words for anything: "Thank you." for noise, the prompt that they were given for silence,
one phrase over and over once they are lost, another language than was asked for. What is caught here is taken out of
partial hypotheses as well as of final ones, since a delta cannot be taken back. docs/turns.md has the rules with their
figures.

Rule: what was said stays. Prompts and loops are cut only where the sound tells as well that nobody can have said so
much, so that who reads the prompt aloud, or says the same ten times, is heard.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from msgspec import Struct, structs

from hark.core.work import Hypothesis, Token
from hark.session.hints import Hints
from hark.session.scripts import in_another_script

EVIDENCE_WINDOWS: Final = 10
MIN_EVIDENCE: Final = 0.4
MIN_LOGPROB: Final = -1.3
# Where the engine tells how likely it is that nobody spoke: beyond this, text of less than that certainty is invented.
# Both are Whisper's own (Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", 4.5).
NO_SPEECH: Final = 0.6
NO_SPEECH_LOGPROB: Final = -1.0
# Nobody says more in a second of voice. SOFT_S are added to it, for soft sounds are not found to be voiced.
FASTEST_LETTERS: Final = 30
FASTEST_WORDS: Final = 10
SOFT_S: Final = 0.5
# So many words in a row are the prompt's and no accident.
ECHO_WORDS: Final = 3
# Characters of the prompt and the keywords that are looked at; Whisper takes some 900.
MOST_GIVEN: Final = 10_000
# A loop: up to so many words, said so often in a row.
LOOP_WORDS: Final = 16
LOOP_TIMES: Final = 4

NOTHING: Final = Hypothesis(())
# In scripts without spaces each character is a word of its own; it and a syllable of Hangul take about as long to say
# as two letters of others.
_UNSPACED: Final = "\u2e80-\uabff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD: Final = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_DENSE: Final = re.compile(rf"[{_UNSPACED}\uac00-\ud7af]")


class Voice(Struct, frozen=True):
    """How sure it is that somebody spoke: the mean probability of the segment's most voiced windows, None where it has
    none, and how many seconds of what was transcribed are voiced."""

    strength: float | None
    seconds: float


class _Word(Struct, frozen=True):
    """Text from `start` to `end`; `key` is what of it is compared, its letters and digits."""

    key: str
    start: int
    end: int


def checked(hypothesis: Hypothesis, voice: Voice, hints: Hints) -> Hypothesis:
    """What may be believed of it, at worst nothing."""
    if not believable(hypothesis, voice) or foreign(hypothesis, hints):
        return NOTHING
    return without_loops(without_echo(hypothesis, voice, hints), voice)


def believable(hypothesis: Hypothesis, voice: Voice) -> bool:
    """Whether the text may have been spoken at all. Any of three signs says no: the most voiced third of a second is
    hardly voiced; the model itself gave its words less than about one chance in four; or less than one in three, where
    it also thinks that nobody spoke."""
    if voice.strength is not None and voice.strength < MIN_EVIDENCE:
        return False
    sure = hypothesis.confidence
    if hypothesis.no_speech is not None and hypothesis.no_speech > NO_SPEECH:
        return sure is not None and sure >= NO_SPEECH_LOGPROB
    return sure is None or sure >= MIN_LOGPROB


def foreign(hypothesis: Hypothesis, hints: Hints) -> bool:
    """Whether the text is in another script than the languages that were asked for."""
    return in_another_script(hypothesis.text, hints.languages)


def without_echo(hypothesis: Hypothesis, voice: Voice, hints: Hints) -> Hypothesis:
    """Without what stands in the prompt or the keywords word by word, unless somebody may have said it: there was time
    to say all that is there, and the engine does not think that nobody spoke. Its doubt of its words is no sign: of
    people who read a prompt aloud, it doubts some."""
    if not hints.prompt and not hints.keywords:
        return hypothesis
    text = _whole(hypothesis)
    silent = hypothesis.no_speech is not None and hypothesis.no_speech > NO_SPEECH
    if not silent and not too_fast(text, voice):
        return hypothesis
    given = [word.key for word in words(" ".join((hints.prompt or "", *hints.keywords))[:MOST_GIVEN])]
    said = words(text)
    return _without(hypothesis, said, list(_runs([word.key for word in said], given)))


def without_loops(hypothesis: Hypothesis, voice: Voice) -> Hypothesis:
    """With what is said over and over said once, if nobody can have said all of it in the time."""
    if not too_fast(_whole(hypothesis), voice):
        return hypothesis
    while True:  # what a loop leaves behind may be one round of a longer one
        said = words(_whole(hypothesis))
        repeated = list(_repeats([word.key for word in said]))
        if not repeated:
            return hypothesis
        hypothesis = _without(hypothesis, said, repeated)


def too_fast(text: str, voice: Voice) -> bool:
    """Whether nobody can have said so much in the time that is voiced."""
    seconds = voice.seconds + SOFT_S
    if text.isascii() and len(text) <= FASTEST_LETTERS * seconds and len(text.split()) <= FASTEST_WORDS * seconds:
        return False  # as nearly always, and found out in no time
    said = words(text)
    letters = sum(len(word.key) + len(_DENSE.findall(word.key)) for word in said)
    spaced = sum(1 for word in said if not _DENSE.match(word.key))
    return letters > FASTEST_LETTERS * seconds or spaced > FASTEST_WORDS * seconds


def words(text: str) -> list[_Word]:
    """Those that have a letter or a digit."""
    return [
        _Word(key, *found.span())
        for found in _WORD.finditer(text)
        if (key := "".join(filter(_is_spoken, found[0])).casefold())
    ]


def _is_spoken(character: str) -> bool:
    """Vowel signs of Indic scripts are marks."""
    return character.isalnum() or (not character.isascii() and unicodedata.category(character)[0] == "M")


def _runs(said: Sequence[str], given: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where each ECHO_WORDS of `said` in a row stand so in `given`: [first, last)."""
    rows = set(zip(*(given[step:] for step in range(ECHO_WORDS)), strict=False))
    begins = [row in rows for row in zip(*(said[step:] for step in range(ECHO_WORDS)), strict=False)]
    first = 0
    for echoed, run in groupby(begins):
        last = first + len(list(run))
        if echoed:
            yield first, last - 1 + ECHO_WORDS
        first = last


def _repeats(said: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where words only say again what stands before them, LOOP_TIMES in all at least: [second time, end)."""
    first = 0
    while first < len(said):
        for length in range(1, LOOP_WORDS + 1):
            end = first + length
            while end < len(said) and said[end] == said[end - length]:
                end += 1
            if end - first >= LOOP_TIMES * length:
                yield first + length, end
                first = end - 1
                break
        first += 1


def _whole(hypothesis: Hypothesis) -> str:
    return "".join(token.text for token in hypothesis.tokens)


def _without(hypothesis: Hypothesis, said: Sequence[_Word], left_out: Sequence[tuple[int, int]]) -> Hypothesis:
    """Without the words [first, last) of `said`, and the space before them."""
    if not left_out:
        return hypothesis
    spans = [(said[first - 1].end if first else 0, said[last - 1].end) for first, last in left_out]
    tokens: list[Token] = []
    place = 0
    for token in hypothesis.tokens:
        held = [at for at in range(len(token.text)) if not any(a <= place + at < b for a, b in spans)]
        place += len(token.text)
        if held:
            tokens.append(structs.replace(token, text="".join(token.text[at] for at in held)))
    if not any(word for token in tokens for word in words(token.text)):
        return NOTHING
    return structs.replace(hypothesis, tokens=tuple(tokens), cut=True, draft=())
