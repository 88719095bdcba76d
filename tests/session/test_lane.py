"""One request in flight, and only its own answer counts."""

import pytest

from hark.core.work import ScoreVoice, Transcribe, WorkFailed
from hark.errors import ModelError
from hark.session.lane import Lane
from rehearsal import Rehearsal, say


def answer(work_id):
    return WorkFailed(work_id, ModelError("any result will do"))


def test_an_answer_settles_the_request_in_flight():
    lane = Lane(5.0)
    assert lane.idle
    lane.launch(7, 100.0)
    assert not lane.idle
    assert lane.settle(answer(7))
    assert lane.idle
    assert lane.deadline is None


def test_other_answers_change_nothing():
    lane = Lane(5.0)
    assert not lane.settle(answer(1))
    lane.launch(7, 100.0)
    assert not lane.settle(answer(6))
    assert not lane.idle


def test_a_request_is_overdue_when_its_patience_has_run_out():
    lane = Lane(5.0)
    assert not lane.overdue(1e9)
    lane.launch(7, 100.0)
    assert lane.deadline == 105.0
    assert not lane.overdue(104.9)
    assert lane.overdue(105.0)


def test_the_answer_to_an_abandoned_request_is_too_late():
    lane = Lane(5.0)
    lane.launch(7, 100.0)
    lane.abandon()
    lane.launch(8, 106.0)
    assert not lane.settle(answer(7))
    assert lane.settle(answer(8))


def test_two_at_once_are_a_defect():
    lane = Lane(5.0)
    lane.launch(7, 100.0)
    with pytest.raises(AssertionError):
        lane.launch(8, 100.0)


def test_what_comes_meanwhile_rides_on_the_next_request():
    stage = Rehearsal().hear(say("alpha", "bravo", "charlie"), 320, answering=False)
    assert [len(stage.waiting[lane]) for lane in (ScoreVoice, Transcribe)] == [1, 0]
    assert len(stage.waiting[ScoreVoice][0].audio) == 512
    stage.answer(ScoreVoice)
    assert len(stage.waiting[ScoreVoice]) == 1
    assert len(stage.waiting[ScoreVoice][0].audio) == 9_600 // 512 * 512 - 512
