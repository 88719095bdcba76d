"""The batching policy: which of the waiting requests run together next."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hark.compute.batching import LENGTH_RATIO, next_batch
from hark.core.work import ScoreVoice, Transcribe


def waiting(*requests):
    """Requests by length in samples: positive final, negative partial."""
    return [
        Transcribe(id=place, engine="any", audio=np.zeros(abs(length), np.float32), final=length > 0)
        for place, length in enumerate(requests)
    ]


@pytest.mark.parametrize(
    ("requests", "max_batch", "expected"),
    [
        ([], 8, []),
        ([100], 8, [0]),
        ([100, 100, 100], 2, [0, 1]),
        ([-100, -100], 8, [0, 1]),
        ([-100, 100, -100, 100], 8, [1, 3]),  # finals go first, and wait for no partial
        ([-100, -100, 1_000], 8, [2]),
        ([100, 1_000, 100], 8, [0, 2]),  # like lengths together
        ([1_000, 100, 100, 100], 8, [0]),  # the oldest is always among them
        ([100, 160, 161], 8, [0, 1]),
        ([160, 100, 99], 8, [0, 1]),
        ([100, 128, 80, 160], 8, [0, 1, 2]),  # no pair is less alike than the ratio
        ([100, 100, 100], 1, [0]),
    ],
)
def test_a_batch(requests, max_batch, expected):
    assert next_batch(waiting(*requests), max_batch) == expected


def test_scores_of_any_lengths_go_together():
    scores = [ScoreVoice(n, np.zeros(512 * n, np.float32), None) for n in range(1, 10)]
    assert next_batch(scores, 5) == [0, 1, 2, 3, 4]
    assert next_batch(scores, 512) == list(range(9))


lengths = st.integers(1, 30).flatmap(lambda length: st.sampled_from([length, -length]))


@given(st.lists(lengths, min_size=1, max_size=30), st.integers(1, 8))
def test_every_batch_keeps_the_rule(requests, max_batch):
    queue = waiting(*requests)
    batch = next_batch(queue, max_batch)
    chosen = [queue[place] for place in batch]
    sizes = [len(work.audio) for work in chosen]
    assert 1 <= len(batch) <= max_batch
    assert batch == sorted(set(batch))
    assert max(sizes) <= LENGTH_RATIO * min(sizes)
    assert len({work.final for work in chosen}) == 1
    assert chosen[0].final or not any(work.final for work in queue)
    oldest = next(place for place, work in enumerate(queue) if work.final == chosen[0].final)
    assert batch[0] == oldest


@given(st.lists(lengths, min_size=1, max_size=30), st.integers(1, 8))
def test_a_queue_that_gets_no_more_is_worked_off_with_the_oldest_of_its_kind_never_passed_over(requests, max_batch):
    queue = waiting(*requests)
    rounds = 0
    while queue:
        batch = set(next_batch(queue, max_batch))
        queue = [work for place, work in enumerate(queue) if place not in batch]
        rounds += 1
    assert rounds <= len(requests)
