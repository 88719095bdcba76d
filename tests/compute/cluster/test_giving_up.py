"""What becomes of a request where workers are refused, die with it or never answer: when it is asked again, and when no
more."""

import pytest

from feeds import Stage
from hark.compute.cluster import feed as policy
from hark.core.work import WorkFailed


@pytest.fixture
def stage():
    return Stage()


def test_nobody_is_there_and_it_is_tried_ever_more_seldom(stage):
    stage.greets = False
    stage.ask(0)
    gaps, last = [], 0.0
    for _ in range(8):
        stage.lose()
        count = len(stage.streams)
        while len(stage.streams) == count:
            stage.wait(0.05)
        gaps.append(stage.now - last)
        last = stage.now
    assert gaps[0] <= 0.15
    assert max(gaps) <= policy.MOST_WAIT_S + 0.1
    assert gaps[-1] > 10 * gaps[0]
    assert stage.noted == ["refused"] * 8


def test_what_is_asked_meanwhile_waits_for_the_next_attempt(stage):
    stage.greets = False
    stage.ask(0)
    stage.lose()
    stage.ask(1)
    assert len(stage.streams) == 1
    stage.wait(1)
    assert stage.streams[1].asked == [0, 1]


def test_a_request_that_stays_unanswered_is_given_up_while_a_session_still_waits(stage):
    stage.greets = False
    stage.ask(0)
    while not stage.results:
        stage.lose()
        stage.wait(0.5)
    assert stage.now == pytest.approx(policy.GIVEN_UP_S, abs=0.6)
    assert stage.failed[0].message == "No worker of the model 'ears' answered in 30 s.", "clients read it: no addresses"
    assert "given_up" in stage.noted


def test_a_worker_that_lives_and_never_answers_is_not_asked_again(stage):
    def again(result):
        stage.results.append(result)
        if result.id == 0:
            stage.ask(2)

    stage.feed._deliver = again
    stage.ask(0)
    stage.wait(1)
    stage.ask(1)
    stage.feed._asked[1].since += 5
    while not stage.results:
        stage.streams[0].heard_at = stage.now
        stage.wait(0.5)
    assert list(stage.failed) == [0]
    assert stage.let_go == [stage.streams[0]], "it counts against it for a while"
    assert len(stage.streams) == 2
    assert stage.streams[1].asked == [1, 2]
    assert stage.streams[0].asked == [0, 1]


def test_a_worker_that_was_found_late_is_not_left_for_what_others_did_not_answer(stage):
    stage.greets = False
    stage.ask(0)
    while stage.now < policy.GIVEN_UP_S - 5:
        stage.lose()
        stage.wait(0.2)
    stage.greets = True
    while not stage.streams[-1].worker:
        stage.wait(0.2)
    stage.ask(1)
    while not stage.results:
        stage.streams[-1].heard_at = stage.now
        stage.wait(0.5)
    assert stage.let_go == []
    stage.answer(1)
    assert stage.answered == [1]


def test_a_session_that_goes_when_it_is_refused_is_told_nothing_more(stage):
    def go(result):
        stage.results.append(result)
        stage.feed.withdraw()

    stage.feed._deliver = go
    stage.greets = False
    stage.ask(0)
    stage.ask(1)
    while not stage.results:
        stage.lose()
        stage.wait(2.1)
    assert list(stage.failed) == [0]
    assert stage.feed.at_rest


def test_sessions_that_lost_their_workers_together_do_not_all_ask_together():
    waits = []
    for chance in (0.0, 0.5, 1.0):
        stage = Stage()
        stage.feed._chance = lambda chance=chance: chance
        stage.greets = False
        stage.ask(0)
        for _ in range(8):
            stage.lose()
            count, since = len(stage.streams), stage.now
            while len(stage.streams) == count:
                stage.wait(0.05)
        waits.append(stage.now - since)
    assert waits == pytest.approx([1.0, 1.5, 2.0], abs=0.11)


def test_a_request_with_which_workers_die_takes_no_more_of_them_along(stage):
    stage.ask(0)
    for _ in range(policy.MOST_DEATHS):
        assert not stage.results
        stage.wait(3)
        stage.lose()
    assert stage.failed[0].deadly
    streams = len(stage.streams)
    stage.wait(10)
    assert len(stage.streams) == streams, "and nobody else is asked it"


def test_streams_that_were_refused_kill_nobody(stage):
    stage.greets = False
    stage.ask(0)
    for _ in range(5):
        stage.lose()
        stage.wait(3)
    stage.answer(0)
    assert stage.answered == [0]


def test_a_session_that_asks_again_when_it_is_refused_opens_one_stream(stage):
    def again(result):
        stage.results.append(result)
        if isinstance(result, WorkFailed) and result.id == 0:
            stage.ask(9)

    stage.feed._deliver = again
    stage.ask(0)
    stage.ask(1)
    for _ in range(policy.MOST_DEATHS - 1):
        stage.lose()
        stage.wait(3)
    stage.feed._asked[1].deaths = 0
    count = len(stage.streams)
    stage.lose()
    stage.wait(3)
    assert len(stage.streams) == count + 1
    assert stage.streams[-1].asked == [1, 9]
