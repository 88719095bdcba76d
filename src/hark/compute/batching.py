"""Which of the waiting requests a model runs next: pure policy, no clock.

Rule: a batch is formed when the model is free, never held open for more to come. Final requests go before partial ones
and do not wait for them in a batch. Requests of a batch are of like length, for the shorter ones are padded to the
longest and cost as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hark.core.work import Transcribe, Work

# A batch's longest may be this many times its shortest. Padding beyond costs more than a batch of its own would.
LENGTH_RATIO: Final = 1.6


def next_batch(waiting: Sequence[Work], max_batch: int) -> list[int]:
    """Indices into `waiting` (oldest first) of the requests to run together now; empty if nothing waits."""
    if not waiting:
        return []
    final = [i for i, work in enumerate(waiting) if not isinstance(work, Transcribe) or work.final]
    candidates = final or list(range(len(waiting)))
    if not isinstance(waiting[candidates[0]], Transcribe):
        return candidates[:max_batch]  # scorers and judges pad nothing
    oldest = len(waiting[candidates[0]].audio)
    chosen, shortest, longest = [candidates[0]], oldest, oldest
    for index in candidates[1:]:
        if len(chosen) == max_batch:
            break
        length = len(waiting[index].audio)
        low, high = min(shortest, length), max(longest, length)
        if high <= LENGTH_RATIO * low:
            chosen.append(index)
            shortest, longest = low, high
    return chosen
