"""Moonshine's decoder over a batch of utterances: always the likeliest token, one run of the graph a token or a draft.

A draft is what was heard of the same audio when there was less of it. Its tokens are run through the graph all at once,
behind the first one; as far as the model would have said each of them itself, they are the answer, and it goes on from
there token by token. So a draft changes how many runs it takes and not what comes out.

What rows have run so far need not have the same length: the cache holds a slot for every step that was run, `_valid`
says which of them a row goes by, and the graph is told to look at no others. A row that is done gives its place to the
last one, so that what remains is a front part of every array and nothing is copied but one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hark.core.work import SAMPLE_RATE, Hypothesis
from hark.models.moonshine.graphs import HEAD_SIZE, HEADS, MAX_POSITIONS, MEMORY, PAST, VOCABULARY
from hark.models.moonshine.tokens import join_pieces, repeated_tail

START: Final = 1
END: Final = 2
# The model's authors cap it at 6.5 tokens a second; the rest is for utterances of a word or two.
TOKENS_PER_SECOND: Final = 6.5
SPARE_TOKENS: Final = 6
FAR_BELOW: Final = -1e4  # added to what may not be looked at

Array = NDArray[Any]


class Row:
    """The tokens of one utterance while they come."""

    def __init__(self, samples: int, draft: Sequence[int] = ()) -> None:
        self.done = False
        self._limit = min(int(samples / SAMPLE_RATE * TOKENS_PER_SECOND) + SPARE_TOKENS, MAX_POSITIONS - 1)
        own = takewhile(lambda token: 0 <= token < VOCABULARY, draft[: self._limit - 1])
        self.next = [START, *own]  # what the model runs next
        self.position = 0  # of the first of them
        self._tokens: list[int] = []
        self._logprobs: list[float] = []
        self._cut = False

    def take(self, tokens: Sequence[int], logprobs: Sequence[float]) -> int:
        """What the model says after each of `next`. Returns how many of `next` it stands by."""
        run = self.next
        for count, (token, logprob) in enumerate(zip(tokens, logprobs, strict=True), 1):
            self._add(token, logprob)
            if self.done or count == len(run) or token != run[count]:
                break
        self.position += count
        self.next = [token]
        return count

    def _add(self, token: int, logprob: float) -> None:
        if token == END:
            self.done = True
            return
        self._tokens.append(token)
        self._logprobs.append(logprob)
        repeated = repeated_tail(self._tokens)
        self.done = self._cut = repeated > 0 or len(self._tokens) >= self._limit
        kept = len(self._tokens) - repeated
        del self._tokens[kept:], self._logprobs[kept:]

    def hypothesis(self, pieces: Sequence[bytes]) -> Hypothesis:
        spoken = ((pieces[token], logprob) for token, logprob in zip(self._tokens, self._logprobs, strict=True))
        return Hypothesis(tuple(join_pieces(spoken)), language="en", cut=self._cut, draft=tuple(self._tokens))


class Decoding:
    """A batch on its way: `feeds` are the inputs of the decoder's next run, `advance` takes what came of it."""

    def __init__(self, rows: Sequence[Row], memories: Sequence[Array]) -> None:
        self.rows = list(rows)
        self._memory, self._spoken = _padded(memories)
        self._past = [np.zeros((len(rows), HEADS, 0, HEAD_SIZE), np.float32)] * len(PAST)
        self._valid = np.zeros((len(rows), 0), np.bool_)

    def feeds(self) -> dict[str, Array]:
        count = len(self.rows)
        lengths = np.array([len(row.next) for row in self.rows])
        steps = np.arange(lengths.max())
        tokens = np.full((count, len(steps)), END, np.int64)
        for place, row in enumerate(self.rows):
            tokens[place, : len(row.next)] = row.next
        cached = self._valid.shape[1]
        seen = np.full((count, 1, len(steps), cached + len(steps)), FAR_BELOW, np.float32)
        seen[..., :cached][np.broadcast_to(self._valid[:, None, None], (count, 1, len(steps), cached))] = 0
        seen[..., cached:][:, :, steps[:, None] >= steps] = 0
        return {
            "tokens": tokens,
            "positions": np.array([[row.position] for row in self.rows]) + steps,
            "seen": seen,
            "spoken": self._spoken,
            "wanted": np.flatnonzero(steps < lengths[:, None]),
            **dict(zip(MEMORY, self._memory, strict=True)),
            **dict(zip(PAST, self._past, strict=True)),
        }

    def advance(self, outputs: Sequence[Array]) -> None:
        """`outputs` of the graph: logits after each of the steps in `feeds`, row by row, and the caches."""
        tokens, logprobs = (part.tolist() for part in likeliest(outputs[0]))
        steps = max(len(row.next) for row in self.rows)
        stood = []
        for row in self.rows:
            count = len(row.next)
            stood.append(row.take(tokens[:count], logprobs[:count]))
            del tokens[:count], logprobs[:count]
        run = np.arange(steps) < np.array(stood)[:, None]
        self._past = list(outputs[1:])
        if max(stood) < steps:  # steps that no row stands by
            kept = self._valid.shape[1] + max(stood)
            run = run[:, : max(stood)]
            self._past = [np.ascontiguousarray(cache[:, :, :kept]) for cache in self._past]
        self._valid = np.concatenate((self._valid, run), axis=1)
        for place in reversed(range(len(self.rows))):
            if self.rows[place].done:
                self._drop(place)

    def _drop(self, place: int) -> None:
        last = len(self.rows) - 1
        arrays = [*self._memory, *self._past, self._spoken, self._valid]
        if place < last:
            self.rows[place] = self.rows[last]
            for array in arrays:
                array[place] = array[last]
        self.rows.pop()
        self._memory, self._past = ([array[:last] for array in part] for part in (self._memory, self._past))
        self._spoken, self._valid = self._spoken[:last], self._valid[:last]


def _padded(memories: Sequence[Array]) -> tuple[list[Array], Array]:
    """Memories [parts, heads, frames, head] as an array for each part, a row for each, and which frames are real."""
    longest = max(memory.shape[2] for memory in memories)
    spoken = np.zeros((len(memories), longest), np.int32)
    for row, memory in enumerate(memories):
        spoken[row, : memory.shape[2]] = 1
    if len(memories) == 1:
        return [part[None] for part in memories[0]], spoken
    together = np.zeros((len(MEMORY), len(memories), HEADS, longest, HEAD_SIZE), np.float32)
    for row, memory in enumerate(memories):
        together[:, row, :, : memory.shape[2]] = memory
    return list(together), spoken


def likeliest(logits: Array) -> tuple[Array, Array]:
    """Of logits [steps, vocabulary]: the best token after each, and the natural logarithm of its probability. What
    is in `logits` is lost: a copy of a megabyte costs more than the numbers that go into it."""
    tokens = logits.argmax(axis=-1)
    logits -= logits[np.arange(len(tokens)), tokens][:, None]
    np.exp(logits, out=logits)
    return tokens, -np.log(logits.sum(axis=-1))
