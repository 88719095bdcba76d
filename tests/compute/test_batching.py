"""The queue of a model: which of the waiting requests run together next."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hark.compute.batching import LARGE_BATCH, LENGTH_RATIO, LIVE_SCORES, Limits, Queue
from hark.core.work import ScoreVoice, Transcribe, Urge, Urgency

ENDED, PAUSED, GROWING = Urgency
SECOND = 16_000


def asked(number, length=100, urgency=ENDED, replaces=None):
    return Transcribe(number, "any", np.zeros(length, np.float32), urgency, replaces=replaces)


def queue(*lengths, **limits):
    """One request of a session of its own for each length in samples: positive if its turn has ended, else growing."""
    waiting = Queue(Limits(**limits))
    for number, length in enumerate(lengths):
        waiting.add(asked(number, abs(length), ENDED if length > 0 else GROWING), number)
    return waiting


def taken(waiting):
    """The sessions of the next batch."""
    return [entry.session for entry in waiting.take()]


@pytest.mark.parametrize(
    ("lengths", "batch", "expected"),
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
def test_a_batch(lengths, batch, expected):
    assert taken(queue(*lengths, batch=batch)) == expected


def test_a_batch_is_bounded_in_seconds_with_its_padding():
    waiting = queue(3 * SECOND, 4 * SECOND, 4 * SECOND, 20 * SECOND, batch_s=8.0)
    assert [taken(waiting) for _ in range(3)] == [[0, 1], [2], [3]], "one alone may be longer"


def test_lengths_may_differ_where_all_cost_the_same():
    assert taken(queue(1, 1000, 30, batch=8, any_length=True)) == [0, 1, 2]
    assert taken(queue(1, 1000, 30, batch=8)) == [0]


def test_first_what_has_ended_then_pauses_then_what_grows():
    waiting = Queue(Limits())
    for number, urgency in enumerate((GROWING, PAUSED, ENDED, PAUSED, GROWING, ENDED)):
        waiting.add(asked(number, urgency=urgency), number)
    assert [taken(waiting) for _ in range(3)] == [[2, 5], [1, 3], [0, 4]]


# ---- one session


def test_a_newer_request_takes_the_place_of_one_that_waits():
    waiting = queue(-100, -100, batch=1)
    waiting.add(asked(7, 150, GROWING, replaces=0), 0)
    assert len(waiting) == 2
    assert [entry.work.id for entry in waiting.take()] == [7], "where the older one stood"


def test_what_runs_is_not_replaced():
    waiting = queue(-100, 100, batch=1)
    first = waiting.take()
    waiting.add(asked(8, replaces=1), 1)
    assert taken(waiting) == [1]
    waiting.done(first)
    assert taken(waiting) == [0]


def test_a_session_replaces_its_own_requests_alone():
    waiting = queue(-100, -100)
    waiting.add(asked(9, urgency=GROWING, replaces=0), 1)
    assert len(waiting) == 3


def test_the_end_of_a_turn_stands_behind_those_that_ended_before():
    waiting = queue(-100, 100, batch=1)
    waiting.add(asked(5, replaces=0), 0)
    assert [taken(waiting), taken(waiting)] == [[1], [0]]


def test_a_session_does_not_wait_for_its_own_partial_hypothesis():
    waiting = queue(-100, callers=4)
    assert taken(waiting) == [0]
    waiting.add(asked(5, replaces=0), 0)
    assert taken(waiting) == [0]


def test_partials_of_one_session_run_one_after_another():
    waiting = queue(-100, callers=4)
    first = waiting.take()
    waiting.add(asked(5, urgency=GROWING, replaces=0), 0)
    assert taken(waiting) == []
    waiting.done(first)
    assert taken(waiting) == [0]


def test_a_pause_that_turns_out_to_be_the_end_is_as_old_as_the_pause():
    waiting = Queue(Limits(batch=1))
    for number, urgency in ((0, PAUSED), (1, ENDED), (2, PAUSED), (3, ENDED)):
        waiting.add(asked(number, urgency=urgency), number)
    waiting.urge(Urge(2, ENDED), 2)
    waiting.urge(Urge(0, ENDED), 0)
    assert [taken(waiting) for _ in range(4)] == [[0], [1], [2], [3]]


def test_a_pause_after_which_speech_goes_on_is_a_partial():
    waiting = Queue(Limits(batch=1))
    for number in (0, 1):
        waiting.add(asked(number, urgency=PAUSED), number)
    waiting.urge(Urge(0, GROWING), 0)
    assert [taken(waiting), taken(waiting)] == [[1], [0]]


def test_a_partial_that_is_wanted_at_once_goes_behind_what_was_so_before():
    waiting = queue(-100, 100, batch=1)
    waiting.urge(Urge(0, ENDED), 0)
    assert [taken(waiting), taken(waiting)] == [[1], [0]]


def test_what_was_asked_is_urged_by_who_asked():
    waiting = queue(-100, -100, batch=1)
    waiting.urge(Urge(1, ENDED), 0)
    waiting.urge(Urge(9, ENDED), 0)
    assert taken(waiting) == [0]


def test_a_session_that_is_gone_is_asked_nothing():
    waiting = queue(100, 100, 100)
    waiting.withdraw(1)
    assert taken(waiting) == [0, 2]


# ---- several callers


@pytest.mark.parametrize(("callers", "growing"), [(1, 1), (2, 1), (4, 3)])
def test_a_caller_is_kept_from_partials(callers, growing):
    waiting = queue(*[-100] * 8, batch=1, callers=callers)
    batches = [waiting.take() for _ in range(callers)]
    assert sum(map(bool, batches)) == growing
    waiting.add(asked(9), 9)
    if callers > 1:
        assert taken(waiting) == [9]
    waiting.done(batches[0])
    assert len(taken(waiting)) == 1


# ---- voice scores


def score(number, windows):
    return ScoreVoice(number, np.zeros(512 * windows, np.float32), None)


def test_scores_of_any_lengths_go_together():
    waiting = Queue(Limits(batch=5))
    for number in range(9):
        waiting.add(score(number, number + 1), number)
    assert [taken(waiting), taken(waiting)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8]]


def test_a_file_is_scored_after_those_who_speak():
    waiting = Queue(Limits(batch=512))
    large = LIVE_SCORES // 512 + 1
    for number, windows in enumerate([large, 1, large, 2, *[large] * LARGE_BATCH]):
        waiting.add(score(number, windows), number)
    assert [len(waiting.take()) for _ in range(3)] == [2, LARGE_BATCH, 2]


# ---- any requests

requests = st.tuples(st.integers(1, 30), st.sampled_from(Urgency))


@given(st.lists(requests, min_size=1, max_size=30), st.integers(1, 8), st.integers(1, 4))
def test_every_batch_keeps_the_rule_and_none_is_passed_over(asks, most, callers):
    waiting = Queue(Limits(batch=most, callers=callers))
    for number, (length, urgency) in enumerate(asks):
        waiting.add(asked(number, length, urgency), number)
    left = {number: urgency for number, (_, urgency) in enumerate(asks)}
    while left:
        batch = waiting.take()
        sizes = [len(entry.work.audio) for entry in batch]
        assert 1 <= len(batch) <= most
        assert max(sizes) <= LENGTH_RATIO * min(sizes)
        assert {entry.urgency for entry in batch} == {min(left.values())}
        oldest = min(number for number, urgency in left.items() if urgency == batch[0].urgency)
        assert batch[0].session == oldest
        for entry in batch:
            del left[entry.session]
        waiting.done(batch)
    assert len(waiting) == 0
