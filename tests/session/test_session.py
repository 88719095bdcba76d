"""What a session answers to each command."""

import numpy as np
import pytest
from msgspec import structs

from hark.core import messages as m
from hark.core.settings import (
    LOGPROBS,
    AudioFormat,
    SessionSettings,
    Transcription,
    TranscriptionPatch,
    TurnDetection,
    TurnDetectionPatch,
)
from hark.core.work import Hypothesis, Token, Transcribe
from hark.errors import CallerError
from hark.session.jobs import Job
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


HINTS = Transcription("gpt-4o-transcribe", language="de", prompt="Namen", keywords=("Hark",))


def test_hints_reach_the_engine():
    stage = staged(SERVER, transcription=HINTS).hear(say(200, "alpha", "bravo", "charlie", 400))
    for work in stage.requests(final=True) + stage.requests(final=False):
        assert (work.engine, work.language, work.prompt, work.keywords) == ("scripted", "de", "Namen", ("Hark",))
    assert last(stage, m.TranscriptCompleted).usage.kind == "tokens"


@pytest.mark.parametrize(("languages", "language"), [((), None), (("fr",), "fr"), (("fr", "en"), None)])
def test_one_language_of_several_is_a_hint(languages, language):
    stage = staged(SERVER, transcription=Transcription("scripted", languages=languages)).hear(say("alpha", 400))
    assert stage.requests(final=True)[0].language == language


def test_a_language_that_the_engine_does_not_know_is_not_asked_of_it_and_the_log_says_so_once():
    stage = staged(SERVER, transcription=Transcription("english", language="de-AT", languages=()))
    stage.hear(say("alpha", 400)).hear(say("bravo", 400))
    assert [(work.engine, work.language, work.languages) for work in stage.requests(final=True)] == [
        ("scripted", None, ())
    ] * 2
    assert stage.transcripts() == ["alpha", "bravo"]
    assert "'de'" in stage.session.take_notice()
    assert stage.session.take_notice() is None


@pytest.mark.parametrize(
    ("asked", "language", "languages"),
    [
        ("en-US", "en", ()),
        ("English", "en", ()),
        ("", None, ()),
        (("de", "en"), "en", ()),
        (("en", "fr"), None, ("en", "fr")),
    ],
)
def test_of_several_languages_those_that_the_engine_knows_are_asked_of_it(asked, language, languages):
    hints = {"language": asked} if isinstance(asked, str) else {"languages": asked}
    stage = staged(SERVER, transcription=Transcription("english", **hints)).hear(say("alpha", 400))
    (work,) = stage.requests(final=True)
    assert (work.language, work.languages) == (language, languages)
    assert (stage.session.take_notice() is None) == (asked != ("de", "en"))


def test_delay_says_how_soon_words_are_shown():
    """The same speech and the same hypotheses; only when the words leave is different."""
    words = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett")

    def deltas(delay):
        stage = staged(SERVER, transcription=Transcription("scripted", delay=delay)).hear(say(200, *words))
        early = "".join(event.text for event in stage.said(m.TranscriptDelta))
        stage.hear(say(400))
        assert stage.transcripts() == [" ".join(words)]
        return len(early.split())

    shown = [deltas(delay) for delay in ("minimal", "low", "medium", "high", "xhigh")]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] > shown[2] > shown[4]
    assert deltas(None) == shown[2]


def test_hints_are_fixed_when_the_turn_starts():
    stage = staged(SERVER, transcription=HINTS).hear(say(200, "alpha", "bravo"))
    stage.set(transcription=TranscriptionPatch(language="fr", model="scripted"), include=(LOGPROBS,))
    stage.hear(say("charlie", 400)).hear(say("delta", 400))
    assert [work.language for work in stage.requests(final=True)] == ["de", "fr"]
    first, second = stage.said(m.TranscriptCompleted)
    assert (first.usage.kind, second.usage.kind) == ("tokens", "duration")
    assert (first.tokens is None, second.tokens is None) == (True, False)


def test_logprobs_come_only_if_they_are_asked_for():
    stage = Rehearsal().hear(say(200, "alpha", "bravo", "charlie", 400))
    assert all(event.tokens is None for event in stage.said(m.TranscriptDelta, m.TranscriptCompleted))


def test_logprobs_spell_the_text():
    stage = staged(SERVER, include=(LOGPROBS,)).hear(say(200, "alpha", "bravo", "charlie", "delta", "echo", 400))
    deltas, completed = stage.said(m.TranscriptDelta), last(stage, m.TranscriptCompleted)
    assert len(deltas) > 1
    for delta in deltas:
        assert "".join(token.text for token in delta.tokens) == delta.text
    assert "".join(token.text for token in completed.tokens) == completed.transcript
    assert completed.tokens == tuple(token for delta in deltas for token in delta.tokens)


def test_languages_are_named_for_the_models_whose_clients_ask():
    live = Transcription("gpt-live-transcribe")
    assert last(staged(SERVER, transcription=live).hear(say("alpha", 400)), m.TranscriptCompleted).languages == ("en",)
    silent = staged(SERVER, transcription=live).hear(say(400)).give(m.CommitAudio())
    assert last(silent, m.TranscriptCompleted).languages == ()
    assert last(staged(SERVER).hear(say("alpha", 400)), m.TranscriptCompleted).languages is None


@pytest.mark.parametrize(
    ("detected", "hints", "told"),
    [
        ("fr", {"language": "de"}, ("fr",)),
        (None, {"language": "de"}, ("de",)),
        (None, {"languages": ("de", "fr")}, ()),
        (None, {}, ()),
    ],
)
def test_languages_are_those_that_were_heard_or_else_asked_for(detected, hints, told):
    stage = staged(SERVER, transcription=Transcription("gpt-live-transcribe", **hints))
    stage.mend = lambda hypothesis: structs.replace(hypothesis, language=detected)
    assert last(stage.hear(say("alpha", 400)), m.TranscriptCompleted).languages == told


def test_a_turn_of_several_languages_tells_all_the_one_most_spoken_first():
    job = Job("item_1", 0, 0.25)
    for code, count in [("fr", 2), ("en", 5), ("fr", 1), (None, 9)]:
        job._note(Hypothesis((Token(" word"),) * count, language=code))
    job.transcript.add_final(Hypothesis((Token(" word"),)))
    assert job.languages("de") == ("en", "fr")


def test_the_probability_that_nobody_spoke_is_told_where_the_engine_knows_it():
    stage = staged(SERVER)
    stage.mend = lambda hypothesis: structs.replace(hypothesis, no_speech=0.25)
    assert last(stage.hear(say("alpha", 400)), m.TranscriptCompleted).no_speech == 0.25
    assert last(staged(SERVER).hear(say("alpha", 400)), m.TranscriptCompleted).no_speech is None


PROMPT = "Notes of the north gate meeting about small machines, bridges and the weather in spring."


@pytest.mark.parametrize("text", [PROMPT, f"{PROMPT} {PROMPT}", "Thank you. " * 30])
@pytest.mark.parametrize("detection", BOTH)
def test_what_an_engine_makes_up_for_a_bang_is_not_told(text, detection):
    """Neither early nor in the end; the item completes all the same."""
    stage = staged(detection, transcription=Transcription("scripted", prompt=PROMPT, delay="minimal"))
    stage.mend = lambda hypothesis: Hypothesis(tuple(Token(f" {word}", -0.1) for word in text.split()))
    stage.hear(say(200, "golf", 600))
    if detection is MANUAL:
        stage.give(m.CommitAudio()).answer_all()
    assert stage.requests(final=True)
    assert stage.transcripts() == (["Thank you."] if "Thank" in text else [""])


@pytest.mark.parametrize("detection", BOTH)
def test_who_reads_the_prompt_aloud_is_heard(detection):
    words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"]
    hints = {"prompt": " ".join(words), "keywords": ("golf", "hotel"), "language": "en"}
    stage = staged(detection, transcription=Transcription("scripted", **hints))
    stage.hear(say(200, *words, "golf", "hotel", 600))
    if detection is MANUAL:
        stage.give(m.CommitAudio()).answer_all()
    assert stage.transcripts() == [" ".join([*words, "golf", "hotel"])]


def test_what_led_the_engine_astray_is_left_out_when_it_is_asked_again():
    stage = staged(SERVER, transcription=Transcription("scripted", language="en", prompt="Просьба", keywords=("Харк",)))
    russian = Hypothesis((Token(" спасибо", -0.1), Token(" вам", -0.1)), draft=(1,))
    heard = iter([russian] * 9)
    stage.mend = lambda hypothesis: next(heard) if stage.requests(final=True)[-1].prompt else hypothesis
    stage.hear(say("alpha", 400))
    first, *_, again = stage.requests(final=True)
    assert (first.prompt, first.keywords, first.language) == ("Просьба", ("Харк",), "en")
    assert (again.prompt, again.keywords, again.language, again.draft) == (None, (), "en", ())
    assert stage.transcripts() == ["alpha"]


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
