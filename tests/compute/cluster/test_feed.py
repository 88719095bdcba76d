"""What a session asks of workers, with streams that a test holds in its hands and a clock that it turns."""

import numpy as np
import pytest

from hark.compute.cluster import feed as policy
from hark.compute.cluster import wire
from hark.compute.cluster.feed import Feed
from hark.core.work import Hypothesis, Token, Transcribe, Transcribed, Urge, Urgency, WorkFailed
from hark.errors import ModelError, OperatorError

ROTATE_S = 60
SOUND = np.zeros(160, np.float32)


class Stream:
    """What a feed did with it. `worker`: who greeted."""

    def __init__(self, now, worker="one"):
        self.began = self.heard_at = now
        self.worker = worker
        self.asked = []
        self.urgencies = []
        self.urged = []
        self.closed = False

    def ask(self, work):
        assert not self.closed, "a stream that was left is asked nothing"
        self.asked.append(work.id)
        self.urgencies.append(work.urgency)

    def urge(self, urge):
        self.urged.append((urge.id, urge.urgency))

    def close(self):
        self.closed = True


class Stage:
    """A feed, the streams that it opened, and what was delivered and noted."""

    def __init__(self):
        self.now = 0.0
        self.streams = []
        self.let_go = []
        self.results = []
        self.noted = []
        self.greets = True
        self.feed = Feed(
            "ears",
            self.deliver,
            open_stream=self.open,
            let_go=self.let_go.append,
            rotate_s=ROTATE_S,
            note=self.noted.append,
        )

    def deliver(self, result):
        self.results.append(result)

    def open(self, feed):
        self.streams.append(Stream(self.now, "one" if self.greets else ""))
        return self.streams[-1]

    def ask(self, number, **hints):
        self.feed.submit(Transcribe(number, "ears", SOUND, **hints), self.now)

    def answer(self, number, stream=-1, text="word"):
        stream = self.streams[stream]
        stream.heard_at = self.now
        self.feed.heard(wire.Heard(number, Hypothesis((Token(text),))), stream, self.now)

    def lose(self, stream=-1):
        self.feed.lost(self.streams[stream], "UNAVAILABLE: gone", self.now)

    def wait(self, seconds, step_s=0.05):
        """Let time pass, a tick at a time."""
        until = self.now + seconds
        while self.now + step_s <= until + 1e-9:
            self.now += step_s
            self.feed.tick(self.now)

    @property
    def answered(self):
        return [result.id for result in self.results if isinstance(result, Transcribed)]

    @property
    def failed(self):
        return {result.id: result.error for result in self.results if isinstance(result, WorkFailed)}


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
    assert "UNAVAILABLE: gone" in stage.failed[0].message
    assert "given_up" in stage.noted


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
