"""Turns -> text, SRT, WebVTT or JSON: pure writers, for the files that `hark transcribe` writes and for uploads.

A turn is cut into cues that a reader can follow: at most two lines of 42 characters, on screen for at most 7 s, cut
where a sentence ends, else at a comma, else between words. Its time is shared out by the number of characters, unless
it is known when each word was said.

Rule: cues never overlap and never go back, even where turns do. A transcript without words gives a valid, empty file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from textwrap import wrap
from typing import Final

import msgspec
from msgspec import Struct

from hark.core.messages import Word

LINE_CHARS: Final = 42
CUE_LINES: Final = 2
CUE_MS: Final = 7_000
# Sentence ends, then commas, then words. The ideographic marks need no space after them.
_BREAKS: Final = (
    re.compile(r"(?<=[.?!…])\s|(?<=[。？！])"),
    re.compile(r"(?<=[,;:–—])\s|(?<=[、，；：])"),
    re.compile(r"\s"),
)
# A cut nearer to an edge than this part of the text would leave a cue of a word or two.
_EDGE: Final = 0.2


class Spoken(Struct, frozen=True):
    """A finished turn that has words, and where in the audio they were said. `timed`: the words of `text`, in its
    order, and when each was said."""

    start_ms: int
    end_ms: int
    text: str
    timed: tuple[Word, ...] = ()


class Cue(Struct, frozen=True):
    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def cues(turns: Sequence[Spoken]) -> list[Cue]:
    """The cues of a transcript, in order."""
    found: list[Cue] = []
    for turn in turns:
        text = " ".join(turn.text.split())
        if not text:
            continue
        start = max(turn.start_ms, found[-1].end_ms if found else 0)
        # A millisecond a character at least, so that no cue is empty where a turn's times are missing or overlap.
        duration = max(turn.end_ms - start, len(text))
        pieces = list(_pieces(text, CUE_MS * len(text) / duration))
        whole, before = sum(map(len, pieces)), 0
        said = _said(turn, pieces)
        for number, piece in enumerate(pieces):
            begin, before = start + duration * before // whole, before + len(piece)
            end = start + duration * before // whole
            if said:
                begin = max(said[number][0], found[-1].end_ms if found else 0)
                end = max(said[number][1], begin + 1)
            found.append(Cue(begin, min(end, begin + CUE_MS), _lines(piece)))
    return found


def _said(turn: Spoken, pieces: Sequence[str]) -> list[tuple[int, int]] | None:
    """When the first word of each piece began and its last one ended; None if the words are not those of the text."""
    if "".join("".join(word.text.split()) for word in turn.timed) != "".join(turn.text.split()):
        return None
    of_letter = [word for word in turn.timed for _ in "".join(word.text.split())]
    spans, before = [], 0
    for piece in pieces:
        letters = len("".join(piece.split()))
        spans.append((of_letter[before].start_ms, of_letter[before + letters - 1].end_ms))
        before += letters
    return spans


def to_text(turns: Sequence[Spoken], duration_ms: int) -> str:
    """A line a turn."""
    return "".join(f"{turn.text}\n" for turn in turns)


def to_srt(turns: Sequence[Spoken], duration_ms: int) -> str:
    """SubRip."""
    return "\n".join(
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n{_body(cue)}"
        for number, cue in enumerate(cues(turns), start=1)
    )


def to_vtt(turns: Sequence[Spoken], duration_ms: int) -> str:
    """WebVTT (W3C, "WebVTT: The Web Video Text Tracks Format", 4: file structure; 4.2.2: what cue text must escape)."""
    blocks = (
        f"\n{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n{_escape(_body(cue))}" for cue in cues(turns)
    )
    return "WEBVTT\n" + "".join(blocks)


def to_json(turns: Sequence[Spoken], duration_ms: int) -> str:
    """Seconds, and the turns uncut."""
    told = {
        "text": " ".join(turn.text for turn in turns),
        "duration": duration_ms / 1000,
        "turns": [{"start": turn.start_ms / 1000, "end": turn.end_ms / 1000, "text": turn.text} for turn in turns],
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n"


# By file suffix: turns and the length of the recording in ms -> what stands in the file.
WRITERS: Final[dict[str, Callable[[Sequence[Spoken], int], str]]] = {
    ".txt": to_text,
    ".srt": to_srt,
    ".vtt": to_vtt,
    ".json": to_json,
}


def _pieces(text: str, most_chars: float) -> Iterator[str]:
    """`text` in pieces that fit a cue. `most_chars`: how many are spoken in the longest time that a cue may stay."""
    cut = None if len(text) <= most_chars and len(wrap(text, LINE_CHARS)) <= CUE_LINES else _cut(text)
    if cut is None:
        yield text
    else:
        yield from _pieces(text[:cut].strip(), most_chars)
        yield from _pieces(text[cut:].strip(), most_chars)


def _cut(text: str) -> int | None:
    """Where to cut: at the break nearest to the middle, of the best kind that has one away from the edges."""
    edge = len(text) * _EDGE
    for mark in _BREAKS:
        places = [found.end() for found in mark.finditer(text)]
        if inner := [place for place in places if edge <= place <= len(text) - edge]:
            return min(inner, key=lambda place: abs(place - len(text) / 2))
    if spaces := [place.end() for place in re.finditer(r"\s", text)]:
        return min(spaces, key=lambda place: abs(place - len(text) / 2))
    return len(text) // 2 if len(text) > LINE_CHARS * CUE_LINES else None


def _lines(piece: str) -> tuple[str, ...]:
    """One line if it fits, else lines of about the same length."""
    longest = wrap(piece, LINE_CHARS)
    for width in range(-(-len(piece) // len(longest)), LINE_CHARS):
        lines = wrap(piece, width, break_long_words=False)
        if len(lines) == len(longest) and max(map(len, lines)) <= LINE_CHARS:
            return tuple(lines)
    return tuple(longest)


def _body(cue: Cue) -> str:
    return "".join(f"{line}\n" for line in cue.lines)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{point}{ms:03}"
