"""What a session answers to each command."""

import numpy as np
import pytest

from hark.core import messages as m
from hark.core.settings import (
    LOGPROBS,
    AudioFormat,
    SessionSettings,
    TranscriptionPatch,
    TurnDetection,
    TurnDetectionPatch,
)
from hark.core.work import Transcribe
from hark.errors import CallerError
from rehearsal import PCM_16K, Rehearsal, names, pcm, say, staged

MANUAL = None
SERVER = TurnDetection()
BOTH = [MANUAL, SERVER]


def refusals(stage):
    return [(event.error.code, event.event_id) for event in stage.said(m.Refused)]


def last(stage, kind):
    return stage.said(kind)[-1]


def test_a_session_begins_with_its_settings():
    stage = Rehearsal()
    assert names(stage.events) == ["SessionCreated"]
    assert stage.events[0].session.settings == stage.session.settings == SessionSettings(**PCM_16K)


# ---- commit


@pytest.mark.parametrize("mode", BOTH)
def test_commit_of_silence_asks_no_model(mode):
    stage = staged(mode).hear(say(2_000)).give(m.CommitAudio())
    assert names(stage.events)[1:] == ["AudioCommitted", "ItemAdded", "TranscriptCompleted"]
    completed = last(stage, m.TranscriptCompleted)
    assert (completed.transcript, completed.audio_start_ms, completed.audio_end_ms) == ("", 0, 2_000)
    assert completed.usage.seconds == 2.0
    assert not any(isinstance(work, Transcribe) for work in stage.asked)


@pytest.mark.parametrize(("samples", "held"), [(0, "0.00"), (800, "50.00"), (1_599, "99.94")])
def test_commit_of_less_than_100_ms_is_refused(samples, held):
    stage = staged(MANUAL).hear(np.zeros(samples, np.float32)).give(m.CommitAudio(event_id="mine"))
    (refused,) = stage.said(m.Refused)
    assert refused.error.message == (
        "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
        f"but buffer only has {held}ms of audio."
    )
    assert (refused.error.type, refused.error.code) == ("invalid_request_error", "input_audio_buffer_commit_empty")
    assert refused.event_id == "mine"
    assert stage.hear(say(100)).give(m.CommitAudio()).said(m.AudioCommitted), "and the audio is still there"


def test_commit_of_100_ms_is_enough():
    assert staged(MANUAL).hear(np.zeros(1_600, np.float32)).give(m.CommitAudio()).said(m.AudioCommitted)


def test_commit_right_after_the_detector_did_is_refused():
    stage = staged(SERVER).hear(say("alpha", "bravo", 240)).give(m.CommitAudio())
    assert len(stage.said(m.AudioCommitted)) == 1
    assert refusals(stage) == [("input_audio_buffer_commit_empty", None)]


def test_a_commit_waits_for_the_scores_of_the_audio_before_it():
    stage = staged(MANUAL).hear(say(200, "alpha", "bravo", 40), answering=False).give(m.CommitAudio())
    stage.hear(say("charlie", 200), answering=False)
    assert stage.said(m.AudioCommitted) == []
    stage.answer_all().give(m.CommitAudio()).answer_all()
    assert stage.transcripts() == ["alpha bravo", "charlie"]


def test_what_a_commit_covers_does_not_depend_on_when_the_engine_has_time():
    def asked(*meanwhile):
        stage = staged(MANUAL, format=AudioFormat("pcm16", 24_000)).hear(say("alpha", "bravo"), answering=False)
        stage.score_all().give(m.CommitAudio()).hear(say(*meanwhile), answering=False).answer_all()
        return stage.requests(final=True)[0].audio

    assert np.array_equal(asked(), asked("charlie", 500))


def test_what_waits_behind_a_commit_is_counted():
    stage = staged(MANUAL).hear(say(1_000), answering=False).give(m.CommitAudio())
    stage.hear(say(100_000), answering=False)
    assert 100 < stage.session.backlog_s < 102
    stage.answer_all()
    assert stage.session.backlog_s < 0.04


@pytest.mark.parametrize("mode", BOTH)
def test_speech_that_waits_for_the_engine_is_counted_from_the_first_sample(mode):
    stage = staged(mode).hear(say(*["alpha"] * 100), answering=False).score_all()
    assert stage.session.backlog_s == pytest.approx(20.0, abs=0.1)
    stage.hear(say(600), answering=False).answer_all()
    assert stage.give(m.ClearAudio()).session.backlog_s < 0.04


# ---- clear


@pytest.mark.parametrize("mode", BOTH)
def test_clear_when_there_is_nothing(mode):
    stage = staged(mode).give(m.ClearAudio())
    assert names(stage.events)[1:] == ["AudioCleared"]


@pytest.mark.parametrize("mode", BOTH)
def test_clear_forgets_what_was_not_committed(mode):
    stage = staged(mode).hear(say(900)).give(m.ClearAudio()).hear(say(50)).give(m.CommitAudio())
    assert refusals(stage) == [("input_audio_buffer_commit_empty", None)]


def test_clear_of_words_that_the_client_did_not_commit():
    stage = staged(MANUAL).hear(say("alpha", "bravo")).give(m.ClearAudio()).hear(say(200, "charlie", 200))
    stage.give(m.CommitAudio()).answer_all()
    assert stage.transcripts() == ["charlie"]
    assert stage.said(m.TranscriptFailed) == []


def test_clear_in_mid_speech_ends_the_announced_item_as_failed():
    stage = staged(SERVER).hear(say(200, "alpha", "bravo")).give(m.ClearAudio())
    assert [name for name in names(stage.events) if name != "TranscriptDelta"] == [
        "SessionCreated",
        "SpeechStarted",
        "AudioCleared",
        "TranscriptFailed",
    ]
    assert last(stage, m.TranscriptFailed).error.code == "input_audio_buffer_cleared"
    stage.hear(say(300, "charlie", 400))
    assert stage.transcripts() == ["charlie"]
    assert last(stage, m.AudioCommitted).previous_item_id is None


def test_clear_after_a_commit_leaves_its_item_alone():
    stage = staged(MANUAL).hear(say(200, "alpha", 200), answering=False).score_all()
    stage.give(m.CommitAudio(), m.ClearAudio()).answer_all()
    assert stage.transcripts() == ["alpha"]


# ---- items


def committed(*words):
    stage = staged(MANUAL)
    for word in words:
        stage.hear(say(200, word, 200)).give(m.CommitAudio()).answer_all()
    return stage


def test_an_item_can_be_asked_for_with_its_audio():
    stage = committed("alpha").give(m.RetrieveItem(item_id="item_1"))
    retrieved = last(stage, m.ItemRetrieved)
    assert retrieved.item == m.Item("item_1", transcript="alpha")
    assert retrieved.audio == pcm(say(200, "alpha", 200)), "all of it, the silence before the words too"


def test_an_item_comes_in_the_format_of_the_session():
    stage = committed("alpha").set(format=AudioFormat("g711_ulaw", 8_000)).give(m.RetrieveItem(item_id="item_1"))
    retrieved = last(stage, m.ItemRetrieved)
    assert len(retrieved.audio) * 2 == len(say(200, "alpha", 200))


@pytest.mark.parametrize("command", [m.RetrieveItem, m.DeleteItem, m.TruncateItem])
def test_an_unknown_item(command):
    stage = Rehearsal().give(command(item_id="item_9", event_id="mine"))
    assert refusals(stage) == [("item_not_found", "mine")]


def test_a_users_item_cannot_be_truncated():
    assert refusals(committed("alpha").give(m.TruncateItem(item_id="item_1"))) == [("invalid_value", None)]


def test_a_deleted_item_is_gone():
    stage = committed("alpha", "bravo").give(m.DeleteItem(item_id="item_2"), m.RetrieveItem(item_id="item_2"))
    assert stage.said(m.ItemDeleted) == [m.ItemDeleted("item_2")]
    assert refusals(stage) == [("item_not_found", None)]
    stage.hear(say(200)).give(m.CommitAudio())
    assert last(stage, m.AudioCommitted).previous_item_id == "item_1"


def test_an_item_that_is_deleted_in_flight_says_no_more():
    stage = staged(MANUAL).hear(say(200, "alpha", 200), answering=False).score_all().give(m.CommitAudio())
    stage.give(m.DeleteItem(item_id="item_1")).answer_all()
    assert names(stage.events)[1:] == ["AudioCommitted", "ItemAdded", "ItemDeleted"]
    stage.hear(say(200, "bravo", 200)).give(m.CommitAudio()).answer_all()
    assert stage.transcripts() == ["bravo"]


def test_a_clients_own_item():
    given = {"id": "note", "type": "message", "content": []}
    stage = committed("alpha").give(m.CreateItem(item=given), m.RetrieveItem(item_id="note"))
    assert last(stage, m.ItemAdded) == m.ItemAdded(m.Item("note", raw=given), "item_1")
    assert last(stage, m.ItemRetrieved).audio is None
    assert refusals(stage.give(m.CreateItem(item=given))) == [("invalid_value", None)]
    assert last(stage.give(m.CreateItem(item={})), m.ItemAdded).item.id == "item_2"


# ---- what else is asked


def test_a_response_is_refused_without_an_error():
    stage = Rehearsal().give(m.CreateResponse(), m.Ignored())
    assert names(stage.events)[1:] == ["ResponseRefused"]


def test_a_frame_that_could_not_be_read_takes_its_place_in_the_order():
    stage = staged(MANUAL).hear(say(200), answering=False)
    stage.give(m.CommitAudio(), m.Refuse(error=CallerError("no JSON", code="invalid_json"), event_id="mine"))
    assert stage.said(m.Refused) == []
    stage.answer_all()
    assert names(stage.events)[1:] == ["AudioCommitted", "ItemAdded", "Refused", "TranscriptCompleted"]
    assert refusals(stage) == [("invalid_json", "mine")]


# ---- settings


def test_an_update_is_echoed_once():
    stage = Rehearsal().set(include=(LOGPROBS,))
    assert names(stage.events)[1:] == ["SessionUpdated"]
    assert stage.events[-1].session.settings == stage.session.settings
    assert stage.session.settings.include == (LOGPROBS,)


def test_a_refused_update_changes_nothing():
    stage = Rehearsal()
    before = stage.session.settings
    stage.set(include=(LOGPROBS,), turn_detection=TurnDetectionPatch(threshold=7.0))
    stage.set(include=(LOGPROBS,), transcription=TranscriptionPatch(model="nobody-has-this"))
    assert [code for code, _ in refusals(stage)] == ["decimal_above_max_value", "invalid_model"]
    assert stage.session.settings is before


@pytest.mark.parametrize(
    ("after", "previous", "then"), [(None, "b", "x"), ("root", None, "b"), ("a", "a", "b"), ("b", "b", "x")]
)
def test_a_clients_item_goes_where_it_says(after, previous, then):
    stage = Rehearsal().give(*(m.CreateItem(item={"id": name}) for name in "ab"))
    stage.give(m.CreateItem(item={"id": "x"}, previous_item_id=after), m.CreateItem(item={"id": "y"}))
    before = [event.previous_item_id for event in stage.said(m.ItemAdded)]
    assert before == [None, "a", previous, then]


def test_a_clients_item_after_none_that_is_there_is_refused():
    stage = Rehearsal().give(m.CreateItem(item={"id": "x"}, previous_item_id="nowhere", event_id="mine"))
    assert refusals(stage) == [("item_not_found", "mine")]
