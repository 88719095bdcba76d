"""What Whisper is asked, and whether its answer may be believed: rules without a network.

Whisper hears a window of 30 s and writes until it says that it is done. Where it hears nothing it may write all the
same, say one thing over and over, or read out what it was told before. So each answer is judged: by how likely its
words were to it, by how well they compress, by whether it heard speech at all, by whether they are its prompt's.
The thresholds for these are OpenAI's (whisper/transcribe.py), but for what is said of a bound.

Rule: what is done about a doubtful answer is bounded in number, and nothing more is begun after AGAIN_S, so that one
turn cannot hold a worker.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

import numpy as np
from msgspec import Struct

from hark.core.work import SAMPLE_RATE, Audio

# What the encoder is given, filled up with silence. Whisper was trained on windows of 30 s alone. A shorter one is
# taken, and costs a CPU a fifth at 15 s; what it does to the words has to be measured before this is changed.
WINDOW_S: Final = 30
WINDOW_SAMPLES: Final = WINDOW_S * SAMPLE_RATE
# Longer audio is cut in its quietest tenth of a second of the last 5 s of a window.
CUT_SEARCH: Final = 5 * SAMPLE_RATE
CUT_STEP: Final = SAMPLE_RATE // 10

POSITIONS: Final = 448  # that the decoder has, for what it is told and what it says
CONTEXT_TOKENS: Final = POSITIONS // 2 - 1  # at most, of what it is told; the last of them
KEYWORD_TOKENS: Final = CONTEXT_TOKENS // 2
# No token of Whisper's has more letters than some tens, so what is longer than these has no room.
KEYWORD_LETTERS: Final = 1_000
PROMPT_LETTERS: Final = 10_000
# Few languages take so many tokens a second, none more for long. In steps, so that few batches fall apart by them.
TOKENS_PER_SECOND: Final = 15
SPARE_TOKENS: Final = 24
LIMITS: Final = (64, 128, 224)

PARTIAL_BEAM: Final = 1
FINAL_BEAM: Final = 5
# A final answer that is doubtful is asked for again, drawn by lot: at these temperatures, the best of five each.
TEMPERATURES: Final = (0.4, 0.8)
BEST_OF: Final = 5
AGAIN_S: Final = 4.0

MIN_LOGPROB: Final = -1.0
MAX_COMPRESSION: Final = 2.4
NO_SPEECH: Final = 0.6
# A loop: up to MAX_LOOP tokens, said LOOP_TIMES in a row and LOOP_TOKENS long in all; or, in a text that compresses too
# well, three times. People do say "no, no, no".
MAX_LOOP: Final = 72
LOOP_TIMES: Final = 4
LOOP_TOKENS: Final = 16
# Of its prompt's, so many words in a row, and no other.
ECHO_WORDS: Final = 2
_WORD: Final = re.compile(r"[\u2e80-\uabff\uf900-\ufaff]|[^\W_\u2e80-\uabff\uf900-\ufaff]+")


class Row(Struct):
    """One window of an utterance. `context`: ids of what Whisper is told was said before, and `told`, the same as
    text. `language`: Whisper's code, or None until it is known; `among`: those that it may be, none for any."""

    audio: Audio
    context: tuple[int, ...] = ()
    told: str = ""
    language: str | None = None
    among: tuple[str, ...] = ()
    final: bool = True

    @property
    def limit(self) -> int:
        """The most tokens that it may have."""
        likely = len(self.audio) / SAMPLE_RATE * TOKENS_PER_SECOND + SPARE_TOKENS
        return next((limit for limit in LIMITS if likely <= limit), LIMITS[-1])

    @property
    def group(self) -> tuple[int, bool, int]:
        """Rows that differ in it cannot be decoded together: CTranslate2 wants the transcript to start at one place,
        and beams and limits are one for all."""
        return len(self.context), self.final, self.limit


class Attempt(Struct, frozen=True):
    """An answer. `logprob`: the mean of its tokens' and the end's; `no_speech`: the probability that there is none."""

    ids: tuple[int, ...]
    text: str
    logprob: float
    no_speech: float
    cut: bool = False

    @property
    def repeats(self) -> bool:
        return compression(self.text) > MAX_COMPRESSION

    @property
    def silent(self) -> bool:
        """Whisper itself hardly believes in it."""
        return self.no_speech > NO_SPEECH and self.logprob < MIN_LOGPROB

    @property
    def doubtful(self) -> bool:
        """Whether it is worth asking again. Nothing is not: by lot it may become something."""
        return bool(self.ids) and (self.repeats or self.logprob < MIN_LOGPROB) and not self.silent

    def settled(self) -> Attempt:
        """What is left of it: nothing if it is silence, and of a loop one round."""
        if self.silent:
            return Attempt((), "", self.logprob, self.no_speech)
        kept = unlooped(self.ids, LOOP_TIMES - self.repeats)
        if kept == len(self.ids):
            return self
        return Attempt(self.ids[:kept], self.text, self.logprob, self.no_speech, cut=True)


def best(attempts: Sequence[Attempt]) -> Attempt:
    """The one to go by: the first that is not doubtful, else the likeliest of those that do not repeat themselves."""
    sound = next((attempt for attempt in attempts if not attempt.doubtful), None)
    return sound or max(attempts, key=lambda attempt: (not attempt.repeats, attempt.logprob))


def context(encode: Callable[[str], list[int]], prompt: str | None, keywords: Sequence[str]) -> tuple[list[int], str]:
    """What Whisper is told was said before (ids, and the same as text): first the keywords, as faster-whisper puts its
    hotwords, then the prompt, of which the last counts most and so is kept."""
    said = (prompt or "").strip()[-PROMPT_LETTERS:]
    ids: list[int] = []
    words: list[str] = []
    for word in (word.strip() for word in keywords if word.strip()):  # whole ones, as many as there is room for
        wanted = [*words, word]
        more = encode(f" {', '.join(wanted)}{'.' if said else ''}") if len(word) <= KEYWORD_LETTERS else None
        if more is None or len(more) > KEYWORD_TOKENS:
            break
        ids, words = more, wanted
    before = encode(f" {said}") if said else []
    return ids + before[-(CONTEXT_TOKENS - len(ids)) :], " ".join((*words, said))


def max_length(prompt: int, limit: int) -> int:
    """CTranslate2's max_length for `limit` tokens after a prompt of so many: it gives at most half of it to them, and
    no more than it leaves behind the prompt."""
    return min(POSITIONS, max(2 * limit, limit + prompt - 1))


def room(prompt: int, limit: int) -> int:
    """How many tokens that comes to."""
    return min(limit, POSITIONS - (prompt - 1))


def windows(audio: Audio) -> list[Audio]:
    """Audio [n] in pieces that fit the encoder, at least one."""
    pieces = []
    while len(audio) > WINDOW_SAMPLES:
        searched = np.abs(audio[WINDOW_SAMPLES - CUT_SEARCH : WINDOW_SAMPLES])
        quietest = int(searched.reshape(-1, CUT_STEP).mean(axis=1).argmin())
        cut = WINDOW_SAMPLES - CUT_SEARCH + quietest * CUT_STEP + CUT_STEP // 2
        pieces.append(audio[:cut])
        audio = audio[cut:]
    return [*pieces, audio]


def unlooped(ids: Sequence[int], times: int = LOOP_TIMES) -> int:
    """How many of the tokens stand before the second round of the first loop; all of them where there is none."""
    kept = len(ids)
    tokens = np.asarray(ids)
    for length in range(1, min(MAX_LOOP, len(ids) // 2) + 1):
        wanted = max(length * (times - 1), LOOP_TOKENS - length)
        again = np.concatenate(([False], tokens[length:] == tokens[:-length], [False])).astype(np.int8)
        ends = np.flatnonzero(np.diff(again)).reshape(-1, 2)
        for first, last in ends.tolist():
            if last - first >= wanted:
                kept = min(kept, first + length)
                break
    return kept


def compression(text: str) -> float:
    """How many times smaller the text gets by zlib: over 2.4 it says things over and over."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def is_echo(text: str, told: str) -> bool:
    """Whether all of the text stands in what Whisper was told."""
    words, before = (_WORD.findall(part.casefold()) for part in (text, told))
    count = len(words)
    return count >= ECHO_WORDS and any(words == before[at : at + count] for at in range(len(before) - count + 1))


def likeliest_language(ranked: Sequence[tuple[str, float]], among: Sequence[str]) -> str:
    """The best of (token such as "<|en|>", probability) that `among` allows; of all, if it allows none of them."""
    codes = [(token.strip("<|>"), probability) for token, probability in ranked]
    allowed = [(code, probability) for code, probability in codes if code in among]
    return max(allowed or codes, key=lambda one: one[1], default=("en", -inf))[0]
