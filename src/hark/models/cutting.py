"""Text -> words, for engines that tell no tokens of their own.

Rule: pieces join to the text. One begins behind each space, and at each character of the scripts that put no spaces
between words, Chinese and Japanese: so text can settle as it grows there too (session/transcript.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

_UNSPACED: Final = "\u2e80-\uabff\uf900-\ufaff\U00020000-\U0003ffff"
_PIECE: Final = re.compile(rf"[{_UNSPACED}][^\s{_UNSPACED}]*|[^\s{_UNSPACED}]+")


def cut(text: str, also: Iterable[int] = ()) -> Iterator[tuple[int, str]]:
    """Where each piece of `text` begins, and the piece, with one space in front where there was space or the start.
    `also`: places besides where one begins, if there are letters or digits between it and the start of its piece."""
    places = sorted(set(also))
    for match in _PIECE.finditer(text):
        first = match.start()
        spaced = first == 0 or text[first - 1].isspace()
        inside = [place for place in places if first < place < match.end() and re.search(r"\w", text[first:place])]
        for start, end in zip([first, *inside], [*inside, match.end()], strict=True):
            yield start, (" " if spaced and start == first else "") + text[start:end]
