"""Whisper's vocabulary: text to ids for what it is told, ids to tokens with times for what it said.

Rule: what comes out is text that may be shown. Special tokens never are, and a client's prompt cannot smuggle one in:
they are what ends a transcript, or changes its language or task.
Refuses: a tokenizer.json that is missing or damaged.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from hark.core.work import SAMPLE_RATE, Token
from hark.errors import OperatorError

# The encoder gives a frame for each 20 ms.
FRAME_SAMPLES: Final = SAMPLE_RATE // 50
_LANGUAGE: Final = re.compile(r"<\|([a-z]{2,3})\|>")


class Vocabulary:
    """`languages`: code -> id, as Whisper writes them. `end`: the first id that is no text."""

    def __init__(self, path: Path) -> None:
        """Raises OperatorError."""
        from tokenizers import Tokenizer  # noqa: PLC0415  (only workers need it)

        try:
            self._tokenizer = Tokenizer.from_file(str(path))
            ids: dict[str, int] = self._tokenizer.get_vocab()
            self.end = ids["<|endoftext|>"]
            self.start = ids["<|startoftranscript|>"]
            self.previous = ids["<|startofprev|>"]
            self.transcribe = ids["<|transcribe|>"]
            self.untimed = ids["<|notimestamps|>"]
        except Exception as error:  # tokenizers' errors are bare Exceptions
            raise OperatorError(
                f"A model file cannot be read: the tokenizer of a Whisper was expected in {path} ({error}). Remove it "
                f"and run `hark pull {path.parent.name}` to fetch it again."
            ) from error
        self.languages = {found[1]: id_ for text, id_ in ids.items() if (found := _LANGUAGE.fullmatch(text))}
        table = byte_table()
        self._pieces = [b""] * self.end
        for text, id_ in ids.items():
            if id_ < self.end:
                self._pieces[id_] = bytes(table[char] for char in text if char in table)

    def encode(self, text: str) -> list[int]:
        """Text alone: what is spelled like a special token is left out."""
        return [id_ for id_ in self._tokenizer.encode(text, add_special_tokens=False).ids if id_ < self.end]

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join(self._pieces[id_] for id_ in ids).decode("utf-8", "ignore")

    def tokens(
        self, ids: Sequence[int], logprobs: Sequence[float], edges: Sequence[int] | None, samples: int
    ) -> list[Token]:
        """The tokens of these ids. `edges` [len(ids) + 1]: the frame where each begins and the last one ends, or None;
        `samples`: the length of the audio, beyond which no time lies. Pieces of one character come as one token."""
        characters = codecs.getincrementaldecoder("utf-8")("ignore")
        tokens: list[Token] = []
        held, first = 0.0, 0
        for place, (id_, logprob) in enumerate(zip(ids, logprobs, strict=True)):
            held += logprob
            if not (text := characters.decode(self._pieces[id_])):
                continue
            start = end = None
            if edges is not None:
                start, end = (min(edges[edge] * FRAME_SAMPLES, samples) for edge in (first, place + 1))
            tokens.append(Token(text, min(held, 0.0), start, end))
            held, first = 0.0, place + 1
        while tokens and not tokens[-1].text.strip():
            tokens.pop()
        return tokens


def edges(alignments: Iterable[tuple[int, int]], count: int) -> list[int]:
    """Where each of `count` tokens begins, and the last one ends, in frames. `alignments`: (token, frame) in order, as
    CTranslate2 aligns them; a token begins in the first frame that is given to it, and ends where the next begins."""
    begins: dict[int, int] = {}
    last = 0
    for token, frame in alignments:
        begins.setdefault(token, frame)
        last = frame
    found: list[int] = []
    for token in range(count + 1):
        found.append(max(begins.get(token, last), found[-1] if found else 0))
    return found


def byte_table() -> dict[str, int]:
    """The character that stands for each byte in a byte-level vocabulary (GPT-2's): printable ones stand for
    themselves, the others for those from U+0100 on, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}
