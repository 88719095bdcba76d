"""Who speaks: each finished piece of speech is made into a vector by a model, and like vectors are one speaker.

Theory. Vectors of one voice point the same way, so a piece is compared by cosine with the mean direction of each
speaker so far. Above SAME it is that speaker's, and moves his mean by as many seconds as it is long; else somebody new
speaks. A short piece says little about a voice: it moves nobody and is nobody new, unless it is the first. Speakers are
called A, B, C… in the order in which they are heard, or by the names of recordings that came with the request; those
are made into vectors first, in the same queue. What was decided stays, so labels do not depend on what comes later.

Rule: one request in flight; pieces are told in the order in which they were spoken. A model that is not there, fails or
takes too long leaves a piece with whoever spoke before. Refuses: to tell voices apart that speak at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hark.core.messages import Event, SpeakerSegment
from hark.core.work import SAMPLE_RATE, Audio, EmbedSpeaker, Result, SpeakerEmbedded, to_ms
from hark.session.jobs import Job, Piece
from hark.session.lane import Lane

SPEAKER_PATIENCE_S: Final = 10.0
# Users of CAM++ set from 0.4 to 0.5; of two errors, one speaker with two names is the lesser.
SAME: Final = 0.45
LEAST_S: Final = 1.0
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Vector = NDArray[np.float32]


class Speakers:
    """Vectors -> labels, in the order in which they are spoken."""

    def __init__(self) -> None:
        self._sums: dict[str, Vector] = {}  # label -> the sum of its vectors, each of length 1, by seconds
        self._names: set[str] = set()  # of people who are known, whatever is known of them
        self._last: str | None = None
        self._letters = 0

    def know(self, name: str, vector: Vector | None, seconds: float) -> None:
        """This is how the speaker of this name sounds."""
        self._names.add(name)
        direction = _direction(vector)
        if direction is not None:
            self._sums[name] = direction * np.float32(seconds)

    def label(self, vector: Vector | None, seconds: float) -> str:
        """Whose a piece of so many seconds is. None: nothing is known of how it sounds."""
        direction = _direction(vector)
        self._last = (self._last or self._new()) if direction is None else self._nearest(direction, seconds)
        return self._last

    def _nearest(self, direction: Vector, seconds: float) -> str:
        likeness = {name: _cosine(direction, total) for name, total in self._sums.items()}
        best = max(likeness, key=lambda name: likeness[name], default=None)
        if best is not None and (likeness[best] >= SAME or (seconds < LEAST_S and self._last)):
            if likeness[best] >= SAME and seconds >= LEAST_S:
                self._sums[best] = self._sums[best] + direction * np.float32(seconds)
            return best
        label = self._new()
        self._sums[label] = direction * np.float32(seconds)
        return label

    def _new(self) -> str:
        while True:
            number, self._letters = self._letters, self._letters + 1
            label = _LETTERS[number % 26] * (1 + number // 26)
            if label not in self._sums and label not in self._names:
                return label


class Known(Struct, frozen=True):
    """A recording ([n] at 16 kHz) of somebody by name."""

    name: str
    audio: Audio


class _Asked(Struct, frozen=True):
    """A recording of somebody known, or a piece of an item."""

    audio: Audio
    name: str | None = None
    job: Job | None = None
    piece: Piece | None = None


class Diarization:
    """The pieces of a session's speech on their way to a speaker."""

    def __init__(self, emit: Callable[[Event], None], known: Sequence[Known] = ()) -> None:
        self.lane = Lane(SPEAKER_PATIENCE_S)
        self._emit = emit
        self._speakers = Speakers()
        self._waiting = deque(_Asked(each.audio, each.name) for each in known)
        self._told = 0

    def add(self, job: Job, piece: Piece, audio: Audio) -> None:
        self._waiting.append(_Asked(audio, None, job, piece))

    def waits_for(self, job: Job) -> bool:
        """Whether a piece of this job has no speaker yet."""
        return any(asked.job is job for asked in self._waiting)

    def request(self, work_id: int, now: float) -> EmbedSpeaker | None:
        if not self._waiting or not self.lane.idle:
            return None
        self.lane.launch(work_id, now)
        return EmbedSpeaker(work_id, self._waiting[0].audio)

    def accept(self, result: Result) -> bool:
        """Whether it was for us."""
        if not self.lane.settle(result):
            return False
        self._learn(result.vector if isinstance(result, SpeakerEmbedded) else None)
        return True

    def give_up(self) -> None:
        """The model did not answer in time."""
        self.lane.abandon()
        self._learn(None)

    def _learn(self, vector: Vector | None) -> None:
        asked = self._waiting.popleft()
        seconds = len(asked.audio) / SAMPLE_RATE
        if asked.name is not None:
            self._speakers.know(asked.name, vector, seconds)
            return
        assert asked.job is not None
        assert asked.piece is not None
        speaker = self._speakers.label(vector, seconds)
        if asked.job.deleted or asked.job.failure is not None:
            return
        stretch = asked.piece.stretch
        self._emit(
            SpeakerSegment(
                asked.job.item_id,
                f"seg_{self._told}",
                speaker,
                to_ms(stretch.first),
                to_ms(stretch.last),
                asked.piece.text,
            )
        )
        self._told += 1


def _direction(vector: Vector | None) -> Vector | None:
    """The vector at length 1; None where it has no direction."""
    if vector is None:
        return None
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length, np.float32) if np.isfinite(length) and length > 0 else None


def _cosine(direction: Vector, total: Vector) -> float:
    return (
        float(direction @ total / max(float(np.linalg.norm(total)), 1e-9)) if direction.shape == total.shape else -1.0
    )
