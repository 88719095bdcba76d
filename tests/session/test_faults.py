"""Models that fail or fall silent, clients that stop sending, sessions that end: nothing is lost silently."""

import numpy as np
import pytest

from hark.core import messages as m
from hark.core.settings import TurnDetection, TurnDetectionPatch
from hark.core.work import ScoreVoice, Transcribe, Urgency, VoiceScored
from hark.session.absence import STALL_S
from hark.session.backlog import MAX_BACKLOG_S, MAX_WAITING
from hark.session.frontend import MAX_WINDOWS, SCORER_PATIENCE_S
from hark.session.transcribing import ENGINE_PATIENCE_S
from rehearsal import Rehearsal, names, pcm, say, staged

MANUAL = None
SERVER = TurnDetection()
WORDS = ("alpha", "bravo", "charlie", "delta", "echo")


def turn(*words):
    return say(320, *words, 320)


def ends(stage):
    """Of each item that ended, the transcript or the error."""
    ended = stage.said(m.TranscriptCompleted, m.TranscriptFailed)
    return [event.transcript if isinstance(event, m.TranscriptCompleted) else event.error.message for event in ended]


# ---- the voice detector


def test_if_the_scorer_fails_a_commit_still_transcribes_everything():
    stage = staged(MANUAL)
    stage.fail = lambda work: isinstance(work, ScoreVoice)
    stage.hear(say(300, "alpha", "bravo", 300, "charlie", 5_000, "delta", 400)).give(m.CommitAudio()).answer_all()
    assert stage.transcripts() == ["alpha bravo charlie delta"]


def test_if_the_scorer_is_silent_a_commit_waits_for_its_patience_once():
    stage = staged(MANUAL).hear(say(300, *WORDS * 6, 400), answering=False).give(m.CommitAudio())
    assert len(stage.waiting[ScoreVoice]) == 1
    stage.wait(SCORER_PATIENCE_S - 0.1)
    assert stage.said(m.AudioCommitted) == []
    stage.wait(0.2)
    assert stage.said(m.AudioCommitted), "though the audio is longer than one request for scores"
    while stage.answer(Transcribe):
        pass
    assert stage.transcripts() == [" ".join(WORDS * 6)]
    stage.answer(ScoreVoice)
    assert len(stage.said(m.AudioCommitted)) == 1, "its late answer changes nothing"


def test_speech_goes_on_while_the_scorer_is_away():
    stage = staged(SERVER).hear(say(320, "alpha", "bravo"))
    stage.fail = lambda work: isinstance(work, ScoreVoice)
    stage.hear(say("charlie", 512, "delta"))  # up to the border of a window
    stage.fail = lambda work: False
    stage.hear(say(96, "echo", 400))
    assert stage.transcripts() == [" ".join(WORDS)]
    assert len(stage.said(m.SpeechStarted)) == 1


@pytest.mark.parametrize("probabilities", [[0.01], [np.nan] * 3])
def test_scores_that_make_no_sense_count_as_speech(probabilities):
    stage = staged(SERVER).hear(say(96), 1_536, answering=False)
    work = stage.waiting[ScoreVoice].popleft()
    stage.give(VoiceScored(work.id, np.array(probabilities, np.float32), "spoilt"))
    assert stage.said(m.SpeechStarted)
    stage.hear(say(96), answering=False)
    assert stage.asked[-1].state is None


def test_a_whole_file_is_scored_in_parts():
    stage = staged(SERVER).hear(say(2_000, *WORDS * 8, 2_000), 10**6)
    sizes = [len(work.audio) // 512 for work in stage.asked if isinstance(work, ScoreVoice)]
    assert max(sizes) == MAX_WINDOWS
    assert stage.transcripts() == [" ".join(WORDS * 8)]


# ---- the engine


def failing(*times):
    """Tells the engine to fail at its nth final requests."""
    count = 0

    def fail(work):
        nonlocal count
        count += isinstance(work, Transcribe) and work.urgency is not Urgency.GROWING
        return isinstance(work, Transcribe) and work.urgency is not Urgency.GROWING and count in times

    return fail


def test_a_request_that_fails_is_sent_again():
    stage = staged(SERVER)
    stage.fail = failing(1)
    assert ends(stage.hear(turn("alpha"))) == ["alpha"]


def test_a_request_that_fails_twice_fails_its_item_alone():
    stage = staged(SERVER)
    stage.fail = failing(1, 2)
    stage.hear(turn("alpha")).hear(turn("bravo"))
    assert ends(stage) == ["told to fail", "bravo"]
    assert stage.said(m.TranscriptFailed)[0].item_id == "item_1"


def test_failures_far_apart_do_not_add_up():
    stage = staged(TurnDetection(silence_duration_ms=500))
    stage.fail = failing(1, 3, 5)
    for word in WORDS[:3]:
        stage.hear(say(word, 300)).hear(say("echo", "echo", "echo"))
    assert ends(stage.hear(say(600))) == ["alpha echo echo echo bravo echo echo echo charlie echo echo echo"]


def test_partials_that_fail_cost_nothing():
    stage = staged(SERVER)
    stage.fail = lambda work: isinstance(work, Transcribe) and work.urgency is Urgency.GROWING
    assert ends(stage.hear(turn(*WORDS))) == [" ".join(WORDS)]
    assert len(stage.said(m.TranscriptDelta)) == 1


def test_an_engine_that_does_not_answer():
    stage = staged(SERVER).hear(turn("alpha"), answering=False).score_all()
    stage.wait(ENGINE_PATIENCE_S + 1)
    assert ends(stage) == []
    assert len(stage.requests(final=True)) == 2, "it is asked once more"
    assert len(stage.waiting[Transcribe]) == 1, "in the place of the first"
    stage.wait(ENGINE_PATIENCE_S)
    assert ends(stage) == ["The model did not answer within 60 s."]
    stage.answer_all()
    assert len(ends(stage)) == 1, "its late answers change nothing"
    assert ends(stage.hear(turn("bravo")))[1:] == ["bravo"]


def test_a_late_answer_is_not_taken_for_another_ones():
    stage = staged(SERVER).hear(turn("alpha"), answering=False).score_all()
    stage.wait(2 * ENGINE_PATIENCE_S + 1)
    late = list(stage.waiting[Transcribe])
    stage.waiting[Transcribe].clear()
    stage.hear(turn("bravo"), answering=False).score_all()
    stage.waiting[Transcribe].extendleft(late)
    assert ends(stage.answer_all())[1:] == ["bravo"]


def test_an_answer_of_the_wrong_kind_is_a_failure():
    stage = staged(SERVER).hear(turn("alpha"), answering=False).score_all()
    for _ in range(2):
        work = stage.waiting[Transcribe].popleft()
        stage.give(VoiceScored(work.id, np.zeros(0, np.float32), None))
    assert ends(stage) == ["The model gave something else than text."]


def test_a_failed_turn_that_goes_on_ends_where_its_speech_ends():
    stage = staged(MANUAL)
    stage.fail = lambda work: isinstance(work, Transcribe)
    stage.hear(say(320, "alpha", 1_000, "bravo", 1_000, "charlie", 100))
    stage.set(turn_detection=TurnDetectionPatch()).hear(say(400))
    assert stage.said(m.SpeechStopped)[0].audio_end_ms >= 2_920
    assert ends(stage) == ["told to fail"]


# ---- clients that stop sending (contract H.18)


def test_a_client_that_stops_sending_in_mid_speech():
    stage = staged(SERVER).hear(say(320, "alpha", "bravo", 100)).wait(STALL_S - 0.1)
    assert stage.said(m.SpeechStopped) == []
    stage.wait(0.2).answer_all()
    assert stage.said(m.SpeechStopped)[0].audio_end_ms == 820
    assert ends(stage) == ["alpha bravo"]


@pytest.mark.parametrize("later", [(800, "charlie", 400), ("charlie", 400)])
def test_a_client_that_comes_back_begins_a_new_turn(later):
    stage = staged(SERVER).hear(say(320, "alpha", "bravo", 100)).wait(60).answer_all().hear(say(*later))
    assert ends(stage) == ["alpha bravo", "charlie"]
    assert len(stage.said(m.SpeechStarted)) == len(stage.said(m.SpeechStopped)) == 2
    assert stage.said(m.SpeechStarted)[1].audio_start_ms >= 820


def test_no_turn_stalls_while_its_audio_waits_for_scores():
    stage = staged(SERVER).hear(say(320, "alpha", "bravo")).hear(say(100), answering=False)
    stage.wait(SCORER_PATIENCE_S - 0.1)
    assert stage.said(m.SpeechStopped) == []
    stage.score_all()
    assert stage.session.next_timer() < stage.now, "what is overdue is due at once"
    assert stage.wait(0).said(m.SpeechStopped)


def test_a_turn_of_the_client_never_stalls():
    stage = staged(MANUAL).hear(say(320, "alpha", "bravo", 100)).wait(3_600)
    assert stage.said(m.AudioCommitted) == []


def test_nothing_stalls_in_silence():
    stage = staged(SERVER).hear(turn("alpha")).wait(3_600)
    assert len(stage.said(m.AudioCommitted)) == 1


# ---- the end


@pytest.mark.parametrize("mode", [MANUAL, SERVER])
def test_finish_ends_the_open_turn_first(mode):
    stage = staged(mode).hear(turn("alpha")[:-3_200]).give(m.FinishSession()).answer_all()
    assert ends(stage) == ["alpha"]
    assert names(stage.events)[-2:] == ["TranscriptCompleted", "SessionEnded"]
    assert (stage.events[-1].code, stage.events[-1].error) == (1000, None)
    assert stage.session.ended
    assert stage.session.next_timer() is None


def test_finish_waits_for_the_audio_before_it():
    stage = staged(MANUAL).hear(turn("alpha"), answering=False).give(m.CommitAudio())
    stage.hear(turn("bravo"), answering=False).give(m.FinishSession())
    assert not stage.session.ended
    assert ends(stage.answer_all()) == ["alpha", "bravo"]


def test_finish_without_anything_open():
    assert names(Rehearsal().give(m.FinishSession()).events) == ["SessionCreated", "SessionEnded"]


@pytest.mark.parametrize("answering", [True, False])
def test_what_follows_the_finish_is_not_heard(answering):
    stage = staged(SERVER).hear(say(320, "alpha", "bravo"))
    stage.hear(say("charlie"), answering=False).score_all().give(m.FinishSession(), m.CommitAudio())
    stage.hear(say("delta", 600), answering=answering).answer_all()
    assert len(stage.said(m.AudioCommitted)) == 1
    assert stage.said(m.Refused) == []
    assert names(stage.events)[-1] == "SessionEnded"
    said = len(stage.events)
    assert len(stage.hear(turn("echo")).wait(10).events) == said


def test_a_session_expires_after_its_open_items_have_ended():
    stage = staged(SERVER).hear(say(320, "alpha", "bravo", 100))
    stage.now = 86_399.0
    stage.hear(say("charlie", 40), answering=False).score_all()
    stage.wait(2)
    assert not stage.session.ended
    stage.hear(say("delta"))
    assert ends(stage) == ["alpha bravo charlie"]
    ended = stage.events[-1]
    assert (ended.code, ended.reason, ended.error.code) == (1001, "session_expired", "session_expired")


def test_an_expired_session_does_not_wait_for_an_engine_for_ever():
    stage = staged(SERVER).hear(turn("alpha"), answering=False).score_all()
    stage.now = 86_399.0
    stage.wait(2 * ENGINE_PATIENCE_S + 2)
    assert names(stage.events)[-2:] == ["TranscriptFailed", "SessionEnded"]


def test_an_idle_session_expires_at_its_time():
    stage = Rehearsal().wait(86_399)
    assert not stage.session.ended
    assert stage.wait(1).session.ended


def test_a_client_that_we_keep_waiting_does_not_end_its_turn():
    stage = staged(TurnDetection()).hear(say(300, *WORDS * 62), 16_000, answering=False).score_all()
    assert stage.session.backlog_s >= MAX_BACKLOG_S
    assert stage.session.behind
    stage.wait(ENGINE_PATIENCE_S / 2)
    assert stage.said(m.SpeechStopped) == []
    stage.answer_all()
    assert not stage.session.behind
    stage.wait(STALL_S - 0.1)
    assert stage.said(m.SpeechStopped) == [], "the client has only now been let go on"
    stage.wait(0.2)
    assert len(stage.said(m.SpeechStopped)) == 1


def test_commands_that_wait_for_scores_are_bounded_too():
    stage = staged(MANUAL).hear(say("alpha"), answering=False)
    stage.give(*[m.CreateResponse()] * MAX_WAITING)
    assert stage.session.behind
    stage.answer_all()
    assert not stage.session.behind
    assert len(stage.said(m.ResponseRefused)) == MAX_WAITING


def test_a_large_append_is_taken_in_by_pieces_and_heard_whole():
    words = list(WORDS * 80)  # 80 s, and pauses
    parts = [part for at in range(0, len(words), 50) for part in (*words[at : at + 50], 400)]
    stage = staged(MANUAL).give(m.AppendAudio(audio=pcm(say(300, *parts))), m.CommitAudio())
    assert stage.session.backlog_s > 80
    assert len(stage.session._inbox) > 1, "more than a minute is not taken in at once"
    assert stage.answer_all().transcripts() == [" ".join(words)]
