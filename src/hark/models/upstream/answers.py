"""What another server answers -> hypotheses: text, and of words and probabilities as much as it tells.

Rule: the text is the server's, to the letter; tokens are cut out of it, so that they always join to it. What it tells
besides is taken where it fits the text, and left out where it does not. Whoever sends the answer is a stranger: of an
answer whose other fields are of another shape than OpenAI's, the text counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Final

import msgspec
from msgspec import Struct

from hark.core.languages import LANGUAGES
from hark.core.work import SAMPLE_RATE, Hypothesis, Token
from hark.models.cutting import cut

_CODES: Final = {name: code for code, name in LANGUAGES.items()}
# How far on in the text a word is looked for: words that a server lists may be spelled otherwise than in its text.
_AHEAD: Final = 60
_LEAST_LOGPROB: Final = -100.0


class HeardToken(Struct):
    """`bytes`: those of its text, which may be no whole characters."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class HeardWord(Struct):
    """Times in seconds over HTTP; over the Realtime API, of Hark's alone, in milliseconds."""

    word: str
    start: float | None = None
    end: float | None = None
    start_ms: float | None = None
    end_ms: float | None = None


class _Segment(Struct):
    text: str
    avg_logprob: float | None = None


class Language(Struct):
    code: str


class Heard(Struct):
    """An answer of POST /v1/audio/transcriptions in json or verbose_json (contract A.8)."""

    text: str
    language: str | None = None
    languages: list[Language] = []
    words: list[HeardWord] = []
    segments: list[_Segment] = []
    logprobs: list[HeardToken] = []


class _Text(Struct):
    text: str


def read(body: bytes) -> Heard | None:
    """None where there is no text in it."""
    try:
        return msgspec.json.decode(body, type=Heard)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        return Heard(msgspec.json.decode(body, type=_Text).text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def hypothesis(heard: Heard, samples: int) -> Hypothesis:
    """`samples`: the length of the audio, within which all times lie."""
    text = " ".join(heard.text.split("\n")).strip()
    words = _found(text, heard.words)
    pieces = _told(heard.logprobs, text) or _cut(text, words, _levels(text, heard.segments))
    language = heard.language or (heard.languages[0].code if heard.languages else None)
    return Hypothesis(tuple(_timed(pieces, words, samples)), language_code(language))


def language_code(name: str | None) -> str | None:
    """Of a code, or of the English name that OpenAI's verbose_json has. None if it is neither."""
    folded = (name or "").casefold()
    return folded if folded in LANGUAGES else _CODES.get(folded)


class _Piece(Struct):
    """A part of the text, from character `first` of it on; a space in front of it is no part of that."""

    first: int
    text: str
    logprob: float | None


def _told(tokens: Sequence[HeardToken], text: str) -> list[_Piece]:
    """The server's own tokens, if they join to its text. Those that are parts of a character become one."""
    pieces: list[_Piece] = []
    pending, logprob, length = b"", 0.0, 0
    for token in tokens:
        pending += _bytes(token)
        logprob += _log(token.logprob)
        try:
            piece = pending.decode()
        except UnicodeDecodeError:
            continue
        if not length:
            piece = piece.lstrip()
        if piece:
            pieces.append(_Piece(length, piece, logprob))
        pending, logprob, length = b"", 0.0, length + len(piece)
    while pieces and not pieces[-1].text.strip():
        pieces.pop()
    if pending or not pieces or "".join(piece.text for piece in pieces).rstrip() != text:
        return []
    pieces[-1].text = pieces[-1].text.rstrip()
    pieces[0].text = f" {pieces[0].text}"
    return pieces


def _bytes(token: HeardToken) -> bytes:
    told = token.bytes or []
    return bytes(told) if told and all(0 <= byte < 256 for byte in told) else token.token.encode()


def _log(value: float) -> float:
    return min(0.0, max(_LEAST_LOGPROB, value))


def _found(text: str, words: Sequence[HeardWord]) -> dict[int, HeardWord]:
    """Where in the text the words begin of which times were told."""
    found: dict[int, HeardWord] = {}
    cursor, folded = 0, text.casefold()
    if len(folded) != len(text):  # then places in the one are none in the other
        return found
    for word in words:
        needle = word.word.strip().casefold()
        place = folded.find(needle, cursor, cursor + len(needle) + _AHEAD) if needle else -1
        if place >= 0:
            found[place] = word
            cursor = place + len(needle)
    return found


def _cut(text: str, words: Mapping[int, HeardWord], levels: Sequence[tuple[int, int, float]]) -> list[_Piece]:
    """The text in words, of which one begins wherever a word was told to."""
    return [
        _Piece(start, piece, next((level for since, until, level in levels if since <= start < until), None))
        for start, piece in cut(text, words)
    ]


def _timed(pieces: Sequence[_Piece], words: Mapping[int, HeardWord], samples: int) -> Iterator[Token]:
    """Each with the times of the word that begins in it."""
    reached = 0
    ends = [*(piece.first for piece in pieces), inf][1:]
    for piece, behind in zip(pieces, ends, strict=True):
        told = next((word for place, word in words.items() if piece.first <= place < behind), None)
        start, end = _times(told, reached, samples)
        reached = start if start is not None else reached
        yield Token(piece.text, piece.logprob, start, end)


def _levels(text: str, segments: Sequence[_Segment]) -> list[tuple[int, int, float]]:
    """Where in the text each segment lies, and the mean of its tokens' log probabilities."""
    levels: list[tuple[int, int, float]] = []
    cursor = 0
    for segment in segments:
        said = segment.text.strip()
        place = text.find(said, cursor) if said else -1
        if place >= 0:
            cursor = place + len(said)
            if segment.avg_logprob is not None:
                levels.append((place, cursor, _log(segment.avg_logprob)))
    return levels


def _times(word: HeardWord | None, reached: int, samples: int) -> tuple[int, int] | tuple[None, None]:
    if word is None:
        return None, None
    start = word.start if word.start is not None else _seconds(word.start_ms)
    end = word.end if word.end is not None else _seconds(word.end_ms)
    if start is None or end is None:
        return None, None
    length = samples / SAMPLE_RATE
    first = max(round(min(start, length) * SAMPLE_RATE), reached)
    return first, max(round(min(end, length) * SAMPLE_RATE), first)


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1_000
