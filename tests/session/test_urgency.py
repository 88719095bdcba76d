"""What a session asks of an engine that is slow: a better request in the place of one that waits, and how soon."""

import pytest

from hark.core import messages as m
from hark.core.settings import SessionSettings, TurnDetection
from hark.core.work import ScoreVoice, Transcribe, Transcribed, Urge, Urgency
from hark.models.base import Utterance
from hark.models.scripted import ScriptedEngine
from rehearsal import PCM_16K, Rehearsal, say, staged

ENDED, PAUSED, GROWING = Urgency
SERVER = TurnDetection(silence_duration_ms=500)
WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")


def waiting(stage):
    """The request that no engine has begun on."""
    (work,) = stage.waiting[Transcribe]
    return work


def unheard(stage, audio):
    """The voice detector hears the audio, and the engine has no time."""
    stage.hear(audio, answering=False)
    return stage.score_all()


def heard(stage, *parts):
    for part in parts:  # scores come as the audio does
        unheard(stage, say(part))
    return stage


def begun(stage):
    """An engine takes the request that waits, and will answer later."""
    return stage.waiting[Transcribe].popleft()


def done(stage, work):
    (hypothesis,) = ScriptedEngine().transcribe([Utterance(work.audio)])
    return stage.give(Transcribed(work.id, hypothesis))


def test_while_nobody_has_time_one_request_grows():
    stage = heard(staged(SERVER), 320, *WORDS)
    asked = stage.requests(final=False)
    assert len(asked) > 3
    assert [work.replaces for work in asked] == [None, *(work.id for work in asked[:-1])]
    assert waiting(stage) == asked[-1]


def test_a_pause_takes_the_place_of_the_partial_and_the_end_urges_it():
    stage = heard(staged(SERVER), 320, *WORDS, 200)
    early = waiting(stage)
    assert early.urgency is PAUSED
    assert stage.urged == []
    heard(stage, 200, 200)
    assert stage.said(m.SpeechStopped)
    assert waiting(stage) == early, "nothing is asked anew"
    assert stage.urged == [Urge(early.id, ENDED)]
    assert done(stage, begun(stage)).transcripts() == [" ".join(WORDS)]


def test_a_pause_that_was_none_is_not_urgent_any_more():
    stage = heard(staged(SERVER), 320, *WORDS[:3], 200)
    early = waiting(stage)
    heard(stage, WORDS[3])
    assert stage.urged == [Urge(early.id, GROWING)]
    heard(stage, *WORDS[4:], 200, 200, 200)
    assert done(stage, begun(stage)).transcripts() == [" ".join(WORDS)]


def test_the_end_does_not_wait_for_a_partial_that_is_being_transcribed():
    stage = heard(staged(SERVER), 320, *WORDS[:3])
    slow = begun(stage)
    heard(stage, *WORDS[3:], 200, 200, 200)
    done(stage, begun(stage))
    assert stage.transcripts() == [" ".join(WORDS)]
    before = list(stage.events)
    assert done(stage, slow).events == before, "it comes too late to be told"


def test_a_late_partial_of_an_earlier_turn_is_not_taken_for_this_one():
    stage = heard(staged(SERVER), 320, *WORDS[:3])
    slow = begun(stage)
    heard(stage, *WORDS[3:], 200, 200, 200)
    done(stage, begun(stage))
    heard(stage, "golf", "hotel", "golf")
    done(stage, slow)
    heard(stage, 200, 200, 200)
    assert done(stage, begun(stage)).transcripts() == [" ".join(WORDS), "golf hotel golf"]


def test_answers_in_their_order_are_all_told():
    stage = heard(staged(SERVER), 320, *WORDS[:3])
    first = begun(stage)
    heard(stage, *WORDS[3:])
    done(stage, first)
    done(stage, begun(stage))
    assert "".join(event.text for event in stage.said(m.TranscriptDelta)).split() == ["alpha"]


def test_a_commit_in_mid_speech_is_urgent_at_once():
    stage = heard(staged(None), 320, *WORDS[:2]).give(m.CommitAudio())
    stage.score_all()
    assert waiting(stage).urgency is ENDED


@pytest.mark.parametrize("pieces", [1_600, 10**6])
def test_a_recording_is_asked_about_once(pieces):
    settings = SessionSettings(turn_detection=SERVER, **PCM_16K)
    stage = Rehearsal(settings, live=False).hear(say(320, *WORDS, 300, *WORDS, 900, *WORDS, 900), pieces)
    stage.give(m.FinishSession()).answer_all()
    assert stage.transcripts() == [" ".join([*WORDS, *WORDS]), " ".join(WORDS)]
    asked = [work for work in stage.asked if isinstance(work, Transcribe)]
    assert [work.urgency for work in asked] == [GROWING, GROWING], "after all who speak now"
    assert stage.urged == []


def test_a_slow_engine_delays_no_voice_scores():
    stage = heard(staged(SERVER), 320, *WORDS, 600)
    assert not stage.waiting[ScoreVoice]
    assert stage.said(m.SpeechStopped)
