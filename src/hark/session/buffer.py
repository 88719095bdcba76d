"""Audio addressed by sample number, counted from the first sample of the session and never reset.

Rule: a number names the same sample for ever; what was dropped cannot be sliced any more, and a slice is a copy.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from hark.core.work import SAMPLE_RATE, Audio
from hark.errors import CallerError

NO_AUDIO: Final[Audio] = np.zeros(0, np.float32)
_FIRST_CAPACITY: Final = SAMPLE_RATE


# What the API asks of a commit (contract D.3).
MIN_COMMIT_SAMPLES: Final = SAMPLE_RATE // 10


def require_audio(samples: int) -> None:
    """Raises CallerError if so many are too few to be committed."""
    if samples < MIN_COMMIT_SAMPLES:
        raise CallerError(
            "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
            f"but buffer only has {max(samples, 0) * 1000 / SAMPLE_RATE:.2f}ms of audio.",
            code="input_audio_buffer_commit_empty",
        )


class AudioBuffer:
    """Mono float32 at 16 kHz: [start, end) is held; `first` is the number of the first sample to come."""

    def __init__(self, first: int = 0) -> None:
        self._store: Audio = np.empty(_FIRST_CAPACITY, np.float32)
        self._base = first  # sample number of _store[0]
        self.start = first
        self.end = first

    def append(self, audio: Audio) -> None:
        """Add `audio` ([n]) at the end."""
        stop = self.end - self._base + len(audio)
        if stop > len(self._store):
            self._make_room(len(audio))
            stop = self.end - self._base + len(audio)
        self._store[stop - len(audio) : stop] = audio
        self.end += len(audio)

    def slice(self, first: int, last: int) -> Audio:
        """A copy of samples [first, last), as far as they are held."""
        first, last = max(first, self.start), min(last, self.end)
        return self._store[first - self._base : max(first, last) - self._base].copy()

    def drop_before(self, first: int) -> None:
        """Forget what lies before sample `first`."""
        self.start = max(self.start, min(first, self.end))

    def _make_room(self, more: int) -> None:
        # Room for twice what is held: the cost of moving is spread over as many appends, and memory follows what is
        # kept. Where that much is there it is used again, for new memory has to be fetched page by page.
        held = self._store[self.start - self._base : self.end - self._base]
        wanted = max(_FIRST_CAPACITY, 2 * (len(held) + more))
        store = self._store if wanted <= len(self._store) <= 4 * wanted else np.empty(wanted, np.float32)
        store[: len(held)] = held
        self._store, self._base = store, self.start
