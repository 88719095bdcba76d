"""Moonshine's tokens: the vocabulary as it lies on disk, pieces joined to text, and loops.

Rule: what comes out is text that may be shown; special tokens and broken characters are left out.
Refuses: a vocabulary that is missing or damaged.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from hark.core.work import Token
from hark.errors import OperatorError

LAST_SPECIAL: Final = 2  # ids up to here, and
FIRST_SPECIAL: Final = 32_000  # from here on, are never spoken
# A loop: up to MAX_LOOP tokens, said at least 4 times in a row and LOOP_TOKENS long in all. People do say "no, no".
MAX_LOOP: Final = 16
LOOP_TOKENS: Final = 16

# The vocabulary has ",," and "..", which the model says for one of them; an ellipsis of three is meant.
DOUBLED: Final = re.compile(r"(?<![.,])([.,])\1(?![.,])")


def repeated_tail(tokens: Sequence[int]) -> int:
    """How many tokens at the end only say again what stands before them; 0 where it is no loop."""
    for length in range(1, MAX_LOOP + 1):
        span = length * max(4, -(-LOOP_TOKENS // length))
        if span > len(tokens) or tokens[-1] != tokens[-1 - length]:
            continue
        tail = tokens[-span:]
        if tail[length:] == tail[:-length]:
            return span - length
    return 0


def read_pieces(path: Path) -> list[bytes]:
    """The vocabulary as UTF-8 by token id; special tokens are empty. Raises OperatorError.

    The file is a row of entries, each a byte with the length and then the entry; U+2581 stands for a space. Ids 3 to
    258 are the 256 single bytes, of which characters outside the vocabulary are put together.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OperatorError(f"A model file is missing: {path} was expected. Run `hark pull` to fetch it.") from error
    pieces: list[bytes] = []
    place = 0
    while place < len(data):
        end = place + 1 + data[place]
        special = len(pieces) <= LAST_SPECIAL or len(pieces) >= FIRST_SPECIAL
        pieces.append(b"" if special else data[place + 1 : end].replace("\u2581".encode(), b" "))
        place = end
    if place != len(data) or len(pieces) <= FIRST_SPECIAL:
        raise OperatorError(
            f"A model file is damaged: more than {FIRST_SPECIAL} entries were expected in {path}, and {len(pieces)} "
            "came. Remove the file and run `hark pull` to fetch it again."
        )
    return pieces


def join_pieces(pieces: Iterable[tuple[bytes, float]]) -> Iterable[Token]:
    """Tokens of (UTF-8, logprob): pieces of one character come as one token. Special and broken ones are left out."""
    characters = codecs.getincrementaldecoder("utf-8")("ignore")
    held = 0.0
    for piece, logprob in pieces:
        held += logprob if piece else 0.0
        if text := characters.decode(piece):
            yield Token(DOUBLED.sub(r"\1", text), held)
            held = 0.0
