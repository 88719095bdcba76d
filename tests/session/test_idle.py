"""idle_timeout_ms: a silence that lasts is told once, as an item of its own, on the audio clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hark.core import messages as m
from hark.core.settings import Patch, SessionSettings, TurnDetection, TurnDetectionPatch
from rehearsal import PCM_16K, RATE, Rehearsal, say

IDLE = TurnDetection(idle_timeout_ms=5_000)
TIMED_OUT = ["SilenceTimedOut", "AudioCommitted", "ItemAdded", "TranscriptCompleted"]
LOUDER = TurnDetectionPatch(threshold=0.7)
TURN = ["SpeechStarted", "SpeechStopped", "AudioCommitted", "ItemAdded", "TranscriptCompleted"]


def staged(detection=IDLE):
    return Rehearsal(SessionSettings(**PCM_16K, turn_detection=detection))


def told(stage):
    return [
        (event.audio_start_ms, event.audio_end_ms) for event in stage.events if isinstance(event, m.SilenceTimedOut)
    ]


def kinds(stage):
    return [
        type(event).__name__ for event in stage.events if not isinstance(event, m.TranscriptDelta | m.SessionCreated)
    ]


def test_a_silence_from_the_start_is_an_empty_item():
    stage = staged().hear(say(5_200))
    assert kinds(stage) == TIMED_OUT
    assert told(stage) == [(0, 5_000)]
    assert stage.transcripts() == [""]
    assert len({event.item_id for event in stage.events if hasattr(event, "item_id")}) == 1
    assert not stage.requests(final=True), "nobody spoke, and no model is asked"


def test_its_audio_can_be_had_again_whole():
    stage = staged().hear(say(5_200))
    item_id = next(event.item_id for event in stage.events if isinstance(event, m.SilenceTimedOut))
    stage.give(m.RetrieveItem(item_id=item_id)).answer_all()
    [retrieved] = [event for event in stage.events if isinstance(event, m.ItemRetrieved)]
    assert len(retrieved.audio) == 2 * 5 * RATE


def test_it_is_told_once_until_somebody_speaks_again():
    stage = staged().hear(say(40_000))
    assert told(stage) == [(0, 5_000)]
    stage.hear(say("alpha", "bravo", "charlie", 12_000))
    assert kinds(stage) == [*TIMED_OUT, *TURN, *TIMED_OUT]
    assert stage.transcripts() == ["", "alpha bravo charlie", ""]


def test_the_silence_after_a_turn_begins_where_the_turn_ended():
    stage = staged().hear(say(640, "alpha", "bravo", "charlie", 9_000))
    [stopped] = [event for event in stage.events if isinstance(event, m.SpeechStopped)]
    assert told(stage) == [(stopped.audio_end_ms, stopped.audio_end_ms + 5_000)]


def test_what_may_become_speech_is_no_silence():
    """A word begins in the very window with which the time would be up."""
    stage = staged().hear(say(4_980, "alpha", "bravo", "charlie", 1_000))
    assert kinds(stage) == TURN
    assert stage.transcripts() == ["alpha bravo charlie"]


def test_a_turn_does_not_begin_in_the_silence_that_was_told():
    stage = staged().hear(say(5_200, "alpha", "bravo", "charlie", 1_000))
    [started] = [event for event in stage.events if isinstance(event, m.SpeechStarted)]
    assert started.audio_start_ms >= 5_000


@pytest.mark.parametrize("command", [m.CommitAudio(), m.ClearAudio()])
def test_a_commit_and_a_clear_begin_it_anew(command):
    stage = staged().hear(say(3_000)).give(command).answer_all().hear(say(4_000))
    assert told(stage) == []
    stage.hear(say(1_200))
    assert told(stage) == [(3_000, 8_000)]


def test_it_can_be_switched_on_and_off_on_the_way():
    stage = staged(TurnDetection()).hear(say(20_000))
    assert told(stage) == []
    patch = TurnDetectionPatch(idle_timeout_ms=6_000)
    stage.give(m.UpdateSettings(patch=Patch(turn_detection=patch))).answer_all().hear(say(6_200))
    assert len(told(stage)) == 1
    off = TurnDetectionPatch(idle_timeout_ms=None)
    stage.give(m.UpdateSettings(patch=Patch(turn_detection=off))).answer_all().hear(say("alpha", "bravo", 20_000))
    assert len(told(stage)) == 1


def test_a_silence_counts_from_a_change_of_turn_detection_on():
    """What was heard before was silence to another detector, which has told it, or was not asked to."""
    off = staged(TurnDetection()).hear(say(60_000))
    on = staged().hear(say(7_040))
    assert told(on) == [(0, 5_000)]
    for stage, change, at in ((off, TurnDetectionPatch(idle_timeout_ms=5_000), 60_000), (on, LOUDER, 7_040)):
        before = told(stage)
        stage.give(m.UpdateSettings(patch=Patch(turn_detection=change))).hear(say(4_800))
        assert told(stage) == before
        stage.hear(say(400)).give(m.RetrieveItem(item_id=stage.said(m.AudioCommitted)[-1].item_id))
        assert told(stage) == [*before, (at, at + 5_000)]
        assert len(stage.said(m.ItemRetrieved)[0].audio) == 2 * 5 * RATE


@pytest.mark.parametrize("detection", [TurnDetection(type="semantic_vad", idle_timeout_ms=5_000), None])
def test_it_belongs_to_server_vad(detection):
    assert told(staged(detection).hear(say(20_000))) == []


@given(sizes=st.lists(st.integers(1, 9_000), max_size=30))
def test_chunks_do_not_move_it(sizes):
    audio = say(5_300, "alpha", "bravo", "charlie", 6_000)
    stage = staged()
    at = 0
    for size in sizes:
        stage.hear(audio[at : at + size])
        at += size
    stage.hear(audio[at:])
    whole = staged().hear(audio)
    assert told(stage) == told(whole)
    assert stage.transcripts() == whole.transcripts()
