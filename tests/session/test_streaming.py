"""What a session asks of a model that carries a state from one request to the next."""

import pytest

from hark.core import messages as m
from hark.core.settings import ModelCard, SessionSettings, Transcription, TurnDetection
from hark.core.work import Hypothesis, Token, Transcribe, Transcribed
from rehearsal import CARDS, PCM_16K, Rehearsal, say

TURNS = TurnDetection(silence_duration_ms=400)


@pytest.fixture(params=[True, False], ids=["streams", "does not"])
def stage(request, monkeypatch):
    monkeypatch.setitem(CARDS, "one", ModelCard("one", "scripted", streams=request.param))
    made = Rehearsal(SessionSettings(turn_detection=TURNS, transcription=Transcription("one"), **PCM_16K))
    made.streams = request.param
    return made


def asked(stage):
    return [work for work in stage.asked if isinstance(work, Transcribe)]


def test_a_final_one_is_asked_when_the_turn_has_ended(stage):
    stage.hear(say("alpha", "bravo", 200, "charlie", "delta", 200, "echo", 100))
    finals = [work for work in asked(stage) if work.final]
    assert bool(finals) == (not stage.streams), "pauses that end nothing"
    assert len(asked(stage)) >= 3
    stage.hear(say(600))
    finals = [work for work in asked(stage) if work.final]
    assert finals[-1] is asked(stage)[-1]
    assert len(finals) == 1 or not stage.streams
    [completed] = [event for event in stage.events if isinstance(event, m.TranscriptCompleted)]
    assert completed.transcript == "alpha bravo charlie delta echo"


def test_the_pause_before_the_end_is_heard_before_it(stage):
    """So that the final one costs no more than the last chunk."""
    stage.hear(say("alpha", "bravo", "charlie", 700))
    if stage.streams:
        before, last = asked(stage)[-2:]
        assert (before.final, last.final) == (False, True)
        assert len(before.audio) == len(last.audio)


def test_an_answer_to_a_partial_one_ends_no_turn_of_such_a_model(stage):
    """The last word comes with the final one."""
    stage.hear(say("alpha", "bravo", 700), answering=False)
    while stage.score_all() and stage.waiting[Transcribe]:
        work = stage.waiting[Transcribe].popleft()
        words = ("alpha", "bravo", "charlie") if work.final else ("alpha", "bravo")
        stage.give(Transcribed(work.id, Hypothesis(tuple(Token(f" {word}") for word in words))))
    [completed] = [event for event in stage.events if isinstance(event, m.TranscriptCompleted)]
    assert completed.transcript == "alpha bravo charlie"


def test_a_final_one_that_fails_is_asked_again(stage):
    failed = []

    def fails_once(work):
        if isinstance(work, Transcribe) and work.final and not failed:
            failed.append(work)
            return True
        return False

    stage.fail = fails_once
    stage.hear(say("alpha", "bravo", 700))
    assert len(failed) == 1
    [completed] = [event for event in stage.events if isinstance(event, m.TranscriptCompleted)]
    assert completed.transcript == "alpha bravo"
