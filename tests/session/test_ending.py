"""Being asked to leave, losing the connection and coming back: no turn is cut in two, and no word is lost."""

import pytest

from hark.core import messages as m
from hark.core.settings import TurnDetection
from hark.session.absence import STALL_S
from rehearsal import names, pcm, say, staged

SERVER = TurnDetection()
LEAVE = m.FinishSession(patient=True, code=1012, reason="server_draining")


def end(stage):
    last = stage.events[-1]
    return (last.code, last.reason) if isinstance(last, m.SessionEnded) else None


def test_who_is_quiet_leaves_at_once():
    assert end(staged(SERVER).give(LEAVE)) == (1012, "server_draining")
    assert end(staged(SERVER).hear(say(400, "alpha", 900)).give(LEAVE)) == (1012, "server_draining")


def test_who_speaks_may_finish_the_turn():
    stage = staged(SERVER).hear(say(320, "alpha", "bravo")).give(LEAVE)
    assert end(stage) is None
    stage.hear(say("charlie"))
    assert end(stage) is None
    stage.hear(say(900, "delta", 900))
    assert stage.transcripts() == ["alpha bravo charlie"]
    assert end(stage) == (1012, "server_draining")


def test_a_transcript_that_is_under_way_comes_before_the_end():
    stage = staged(SERVER).hear(say(320, "alpha", 900), answering=False).score_all().give(LEAVE)
    assert end(stage) is None
    stage.answer_all()
    assert stage.transcripts() == ["alpha"]
    assert end(stage) == (1012, "server_draining")


def test_audio_that_its_client_has_still_to_commit_is_waited_for():
    stage = staged(None).hear(say("alpha", "bravo", 100)).give(LEAVE)
    assert end(stage) is None
    stage.give(m.CommitAudio()).answer_all()
    assert stage.transcripts() == ["alpha bravo"]
    assert end(stage) == (1012, "server_draining")


@pytest.mark.parametrize("detection", [SERVER, None], ids=["server_vad", "manual"])
def test_patience_may_end(detection):
    stage = staged(detection).hear(say(320, "alpha", "bravo", 100)).give(LEAVE)
    stage.give(m.FinishSession(code=1012, reason="server_draining")).hear(say("charlie"))
    assert stage.transcripts() == ["alpha bravo"]
    assert end(stage) == (1012, "server_draining")


def test_a_turn_waits_for_a_client_that_was_cut_off():
    audio = say(320, "alpha", "bravo", "charlie", "delta", 900)
    cut = 16_000 * 7 // 10
    stage = staged(SERVER).hear(audio[:cut]).give(m.ClientAway()).wait(10 * STALL_S)
    assert stage.said(m.SpeechStopped) == []
    stage.give(m.ClientBack()).answer_all()
    (resumed,) = stage.said(m.SessionResumed)
    assert resumed.audio_end_ms == 700
    stage.hear(audio[cut:])
    whole = staged(SERVER).hear(audio)
    assert [e for e in stage.events if not isinstance(e, m.SessionResumed)] == whole.events


def test_one_that_comes_back_and_says_nothing_ends_its_turn():
    stage = staged(SERVER).hear(say(320, "alpha", "bravo", 100)).give(m.ClientAway()).wait(20).give(m.ClientBack())
    assert stage.wait(STALL_S - 0.1).said(m.SpeechStopped) == []
    assert len(stage.wait(0.2).answer_all().said(m.SpeechStopped)) == 1
    assert stage.transcripts() == ["alpha bravo"]


def test_where_it_stands_is_told_behind_all_that_it_sent():
    stage = staged(SERVER).hear(say(320, "alpha"), answering=False).give(m.ClientAway(), m.ClientBack())
    assert "SessionResumed" not in names(stage.events)
    stage.answer_all()
    assert stage.said(m.SessionResumed)[0].audio_end_ms == 520


def test_half_a_sample_that_was_cut_off_does_not_spoil_the_rest():
    data = pcm(say(320, "alpha", "bravo", 900))
    stage = staged(SERVER).give(m.AppendAudio(audio=data[:12_801])).answer_all()
    stage.give(m.ClientAway(), m.ClientBack()).answer_all()
    assert stage.said(m.SessionResumed)[0].audio_end_ms == 400
    stage.give(m.AppendAudio(audio=data[12_800:])).answer_all()
    assert stage.transcripts() == ["alpha bravo"]


@pytest.mark.parametrize("begun", [True, False], ids=["asked", "waiting"])
def test_nobody_waits_for_ever(begun):
    """Items that were committed, the turn in hand, and audio that no model has heard yet."""
    stage = staged(SERVER).hear(say(320, "alpha", 900), answering=False).score_all()
    stage.hear(say("bravo"), answering=False)
    if begun:
        stage.score_all()
    stage.give(m.FinishSession()).give(m.AbandonSession())
    assert isinstance(stage.events[-1], m.SessionEnded)
    started = {event.item_id for event in stage.said(m.SpeechStarted, m.AudioCommitted)}
    ended = [event.item_id for event in stage.said(m.TranscriptCompleted, m.TranscriptFailed)]
    assert sorted(ended) == sorted(started)
    assert len(started) == (2 if begun else 1)


def test_what_its_client_never_committed_has_no_end():
    stage = staged(None).hear(say("alpha", "bravo", 100)).give(m.AbandonSession())
    assert names(stage.events)[-1] == "SessionEnded"
    assert stage.said(m.TranscriptFailed, m.TranscriptCompleted) == []
