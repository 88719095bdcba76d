"""What a session asks of workers, with streams that a test holds in its hands and a clock that it turns."""

import pytest

from feeds import ROTATE_S, Stage
from hark.compute.cluster import feed as policy
from hark.compute.cluster import wire
from hark.core.work import Urge, Urgency
from hark.errors import ModelError, OperatorError


@pytest.fixture
def stage():
    return Stage()


def test_a_session_has_one_stream_for_all_that_it_asks(stage):
    stage.ask(0)
    stage.answer(0)
    stage.ask(1)
    stage.answer(1)
    assert len(stage.streams) == 1
    assert stage.streams[0].asked == [0, 1]
    assert stage.answered == [0, 1]


def test_what_a_lost_worker_did_not_answer_is_asked_at_once_elsewhere(stage):
    stage.ask(0)
    stage.answer(0)
    stage.ask(1)
    stage.ask(2)
    stage.lose()
    assert stage.streams[1].asked == [1, 2]
    stage.answer(1)
    stage.answer(2)
    assert stage.answered == [0, 1, 2]
    assert stage.noted == ["lost"]


def test_a_request_is_answered_once_however_often_it_was_asked(stage):
    stage.ask(0)
    stage.wait(2)  # the worker is silent
    assert len(stage.streams) == 2
    stage.answer(0, stream=0)  # and then answers after all
    stage.answer(0, stream=1)
    assert stage.answered == [0]


def test_a_stream_that_was_given_up_ends_nothing_when_it_breaks(stage):
    stage.ask(0)
    stage.wait(2)
    assert stage.let_go == [stage.streams[0]]
    stage.lose(0)
    assert len(stage.streams) == 2
    stage.answer(0)
    assert stage.answered == [0]


def test_silence_counts_only_while_something_is_owed(stage):
    stage.ask(0)
    stage.answer(0)
    stage.wait(30)
    assert len(stage.streams) == 1
    stage.ask(1)
    stage.wait(policy.STALL_S - 0.1)
    assert len(stage.streams) == 1, "it had nothing to say before it was asked"
    stage.wait(0.2)
    assert len(stage.streams) == 2


def test_a_request_that_replaces_another_does_not_hide_a_silent_worker(stage):
    stage.ask(0, final=False)
    for number in range(1, 7):
        stage.wait(0.3)
        stage.ask(number, final=False, replaces=number - 1)
    assert len(stage.streams) == 2
    assert stage.streams[1].asked[0] == 4, "what was replaced is not asked again"


def test_a_sign_of_life_is_enough(stage):
    stage.ask(0)
    for _ in range(20):
        stage.wait(1)
        stage.streams[0].heard_at = stage.now
    assert len(stage.streams) == 1


def test_who_has_not_even_greeted_is_left_sooner(stage):
    stage.greets = False
    stage.ask(0)
    stage.wait(policy.GREETING_S + 0.1)
    assert len(stage.streams) == 2


def test_a_frozen_worker_that_is_picked_again_costs_little(stage):
    stage.ask(0)
    stage.greets = False
    stage.wait(policy.STALL_S + 2 * policy.GREETING_S + 0.3)
    assert len(stage.streams) == 4
    assert not any(stream.closed for stream in stage.streams), "they count against it while they are open"


def test_where_nobody_greets_patience_grows(stage):
    stage.greets = False
    stage.ask(0)
    stage.wait(20)
    assert 6 <= len(stage.streams) <= 9


def test_where_all_are_slow_patience_grows(stage):
    stage.ask(0)
    stage.wait(20)
    assert 4 <= len(stage.streams) <= 6, "1.5, 1.5, 3, 6 and 12 seconds"


def test_our_own_delay_is_not_held_against_a_worker(stage):
    stage.ask(0)
    stage.now += 10
    stage.feed.tick(stage.now, blameless=True)
    assert len(stage.streams) == 1


def test_a_session_may_ask_again_from_within_the_answer(stage):
    def again(result):
        stage.results.append(result)
        if result.id < 3:
            stage.ask(result.id + 1)

    stage.feed._deliver = again
    stage.ask(0)
    for number in range(4):
        stage.answer(number)
    assert stage.answered == [0, 1, 2, 3]
    assert stage.streams[0].asked == [0, 1, 2, 3]


def test_an_answer_settles_what_it_replaced(stage):
    stage.ask(0, final=False)
    stage.ask(1, final=False, replaces=0)
    stage.ask(2, replaces=1)
    stage.answer(2)
    assert stage.feed.unanswered == 0
    stage.lose()
    stage.wait(1)
    assert len(stage.streams) == 1, "nothing is left to be asked"


def test_of_a_replaced_request_an_answer_still_counts(stage):
    stage.ask(0, final=False)
    stage.ask(1, final=False, replaces=0)
    stage.answer(0)
    stage.answer(1)
    assert stage.answered == [0, 1]


def test_urgency_follows_a_request_to_another_worker(stage):
    stage.ask(0, urgency=Urgency.GROWING, final=False)
    stage.feed.urge(Urge(0, Urgency.ENDED))
    assert stage.streams[0].urged == [(0, Urgency.ENDED)]
    stage.lose()
    assert stage.streams[1].urgencies == [Urgency.ENDED]


def test_a_session_that_is_gone_leaves_nothing(stage):
    stage.ask(0)
    stage.feed.withdraw()
    assert stage.streams[0].closed
    assert stage.feed.at_rest
    stage.answer(0)
    stage.wait(60)
    assert stage.results == []
    assert len(stage.streams) == 1


def test_an_old_stream_is_left_after_a_turn(stage):
    stage.ask(0)
    stage.answer(0)
    stage.wait(ROTATE_S + 1)
    stage.ask(1, final=False)
    stage.answer(1)
    assert not stage.streams[0].closed, "the turn goes on, and its audio is there"
    stage.ask(2)
    stage.answer(2)
    assert stage.streams[0].closed
    stage.ask(3)
    assert stage.streams[1].asked == [3]
    assert stage.noted == ["rotated"]


def test_a_very_old_stream_is_left_within_a_turn_and_at_rest(stage):
    stage.ask(0)
    stage.answer(0)
    stage.wait(2 * ROTATE_S + 1)
    assert stage.streams[0].closed
    assert stage.feed.at_rest


def test_no_stream_is_left_that_owes_something(stage):
    stage.ask(0)
    for _ in range(10):
        stage.wait(1.4)
        stage.streams[0].heard_at = stage.now
    stage.streams[0].began = -1_000
    stage.wait(1)
    assert not stage.streams[0].closed


@pytest.mark.parametrize(
    ("failed", "kind", "deadly", "lasting"),
    [
        (wire.Failed(0, "broke"), ModelError, False, False),
        (wire.Failed(0, "broke", deadly=True), ModelError, True, False),
        (wire.Failed(0, "broke", lasting=True), ModelError, False, True),
        (wire.Failed(0, "no file", operator=True), OperatorError, False, False),
    ],
)
def test_what_a_worker_could_not_do_is_told_as_it_was(stage, failed, kind, deadly, lasting):
    stage.ask(0)
    stage.feed.heard(failed, stage.streams[0], stage.now)
    error = stage.failed[0]
    assert isinstance(error, kind)
    assert error.message == failed.message
    assert (getattr(error, "deadly", False), getattr(error, "lasting", False)) == (deadly, lasting)
