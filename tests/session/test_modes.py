"""Turns as a client sees them, in every mode: the sequence of events, their times, the words."""

import pytest

from hark.core import messages as m
from hark.core.settings import AudioFormat, TranscriptionPatch, TurnDetection, TurnDetectionPatch
from hark.core.work import ScoreVoice
from rehearsal import CARDS, Rehearsal, names, pcm, say, staged

# Eight words of 200 ms between silences, all on the borders of windows (32 ms): speech from 640 to 2240 ms.
WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel")
SPOKEN = say(640, *WORDS, 960)
MANUAL = None
SERVER = TurnDetection()
TURN = ["SpeechStarted", "SpeechStopped", "AudioCommitted", "ItemAdded", "TranscriptCompleted"]


def without_deltas(stage):
    return [name for name in names(stage.events) if name not in ("TranscriptDelta", "SessionCreated")]


def times(stage):
    """Of each turn, when it started and when it stopped."""
    started = [event.audio_start_ms for event in stage.said(m.SpeechStarted)]
    stopped = [event.audio_end_ms for event in stage.said(m.SpeechStopped)]
    return list(zip(started, stopped, strict=True))


def ids(stage):
    """The item ids that events name, in order and each once."""
    named = [event.item_id for event in stage.events if hasattr(event, "item_id")]
    return list(dict.fromkeys(named))


# ---- sequences


@pytest.mark.parametrize("mode", [SERVER, TurnDetection(type="semantic_vad", eagerness="high")])
def test_a_detected_turn(mode):
    stage = staged(mode).hear(SPOKEN).hear(say(320))
    assert without_deltas(stage) == TURN
    assert ids(stage) == ["item_1"]
    assert stage.transcripts() == [" ".join(WORDS)]


def test_a_committed_turn():
    stage = staged(MANUAL).hear(SPOKEN)
    assert without_deltas(stage) == []
    assert len(stage.said(m.TranscriptDelta)) > 2, "words are shown before the commit"
    stage.give(m.CommitAudio()).answer_all()
    assert without_deltas(stage) == ["AudioCommitted", "ItemAdded", "TranscriptCompleted"]
    assert ids(stage) == ["item_1"]
    assert stage.transcripts() == [" ".join(WORDS)]


@pytest.mark.parametrize("mode", [SERVER, MANUAL])
def test_deltas_of_a_turn_come_while_it_goes_on(mode):
    stage = staged(mode).hear(say(640, *WORDS))
    shown = "".join(event.text for event in stage.said(m.TranscriptDelta))
    assert " ".join(WORDS).startswith(shown)
    assert len(shown.split()) > 2


def test_items_follow_one_another():
    stage = staged(SERVER).hear(SPOKEN).hear(SPOKEN)
    assert without_deltas(stage) == TURN * 2
    assert [event.previous_item_id for event in stage.said(m.AudioCommitted)] == [None, "item_1"]
    assert [event.previous_item_id for event in stage.said(m.ItemAdded)] == [None, "item_1"]
    assert stage.transcripts() == [" ".join(WORDS)] * 2


def test_the_next_item_says_nothing_before_the_one_before_it_has_ended():
    stage = staged(SERVER).hear(SPOKEN, answering=False).hear(SPOKEN, answering=False).score_all()
    assert without_deltas(stage) == TURN[:-1] * 2
    stage.answer_all()
    ended = names(stage.events).index("TranscriptCompleted")
    assert {event.item_id for event in stage.events[:ended] if isinstance(event, m.TranscriptDelta)} == {"item_1"}
    assert [event.item_id for event in stage.said(m.TranscriptCompleted)] == ["item_1", "item_2"]


@pytest.mark.parametrize("mode", [SERVER, MANUAL])
def test_a_click_is_no_speech(mode):
    click = say(640, "juliett")[:11_264]  # two windows of it
    stage = staged(mode).hear(click).hear(say(2_000))
    assert without_deltas(stage) == []
    assert stage.requests(final=True) == stage.requests(final=False) == []


# ---- times


@pytest.mark.parametrize("silence_ms", [0, 200, 500])
@pytest.mark.parametrize("padding_ms", [0, 300, 640, 5_000])
def test_times_are_exact(silence_ms, padding_ms):
    stage = staged(TurnDetection(silence_duration_ms=silence_ms, prefix_padding_ms=padding_ms)).hear(SPOKEN)
    assert times(stage) == [(max(640 - padding_ms, 0), 2_240 + silence_ms)]
    (completed,) = stage.said(m.TranscriptCompleted)
    assert [(completed.audio_start_ms, completed.audio_end_ms)] == times(stage)


def test_padding_never_reaches_into_the_speech_of_the_turn_before():
    stage = staged(TurnDetection(prefix_padding_ms=5_000)).hear(SPOKEN).hear(SPOKEN)
    assert times(stage) == [(0, 2_440), (2_240, 5_640)]
    assert stage.transcripts() == [" ".join(WORDS)] * 2, "no word is heard twice"


def test_padding_never_reaches_before_a_commit():
    stage = staged(TurnDetection(prefix_padding_ms=5_000)).hear(SPOKEN).give(m.CommitAudio()).hear(SPOKEN)
    assert [event.audio_start_ms for event in stage.said(m.SpeechStarted)] == [0, 3_200]


def test_the_clock_runs_on_over_commits_and_clears():
    stage = staged(SERVER).hear(SPOKEN).give(m.CommitAudio()).hear(say(800)).give(m.ClearAudio()).hear(SPOKEN)
    assert times(stage)[1] == (3_200 + 800 + 640 - 300, 3_200 + 800 + 2_240 + 200)


@pytest.mark.parametrize(
    "audio_format", [AudioFormat("pcm16", 8_000), AudioFormat("pcm16", 24_000), AudioFormat("g711_ulaw", 8_000)]
)
def test_a_change_of_format_keeps_the_clock(audio_format):
    stage = staged(SERVER).hear(SPOKEN).set(format=audio_format)
    # The same bytes stand for another time now: 640 ms of zeros, or of u-law's loudest code.
    ratio = 16_000 / audio_format.rate * (2 if audio_format.encoding == "g711_ulaw" else 1)
    silence = b"\xff" if audio_format.encoding == "g711_ulaw" else b"\0"
    stage.give(m.AppendAudio(audio=silence * int(2 * 10_240 / ratio))).answer_all()
    stage.set(format=AudioFormat("pcm16", 16_000)).hear(SPOKEN)
    assert times(stage) == [(340, 2_440), (3_200 + 640 + 340, 3_200 + 640 + 2_440)]


# ---- early finish


def test_the_transcript_is_there_when_the_turn_ends():
    stage = staged(TurnDetection(silence_duration_ms=500)).hear(say(640, *WORDS, 320))
    assert stage.said(m.SpeechStopped) == []
    assert len(stage.requests(final=True)) == 1
    stage.hear(say(640), answering=False).score_all()
    assert without_deltas(stage) == TURN, "without another word from the engine"
    assert len(stage.requests(final=True)) == 1
    assert stage.transcripts() == [" ".join(WORDS)]


def test_if_speech_resumes_the_early_answer_is_a_partial():
    stage = staged(TurnDetection(silence_duration_ms=500)).hear(say(640, *WORDS, 320))
    assert len(stage.requests(final=True)) == 1
    assert len(stage.said(m.TranscriptDelta)) > 2
    stage.hear(say("india", "juliett", 960))
    assert len(stage.requests(final=True)) == 2
    assert stage.transcripts() == [" ".join([*WORDS, "india", "juliett"])]


def test_nothing_is_asked_again_in_a_pause():
    stage = staged(MANUAL).hear(SPOKEN)
    asked = len(stage.asked)
    stage.hear(say(10_000), 16_000)
    assert {type(work) for work in stage.asked[asked:]} == {ScoreVoice}


# ---- long turns


@pytest.mark.parametrize(("pause_ms", "words"), [(380, 70), (230, 100)])
def test_a_long_turn_is_cut_in_pauses_and_reads_as_one(pause_ms, words):
    said = [WORDS[n % 8] for n in range(words)]
    spoken = say(*said, pause_ms)
    stage = staged(TurnDetection(silence_duration_ms=500)).hear(spoken).hear(spoken).hear(say(600))
    assert without_deltas(stage) == TURN
    assert stage.transcripts() == [" ".join([*said, *said])]
    assert len(stage.requests(final=True)) == 2
    assert max(len(work.audio) for work in stage.asked) < len(spoken) + 16_000


def test_a_long_turn_without_pauses_is_cut_where_it_is_quietest():
    said = [WORDS[n % 8] for n in range(180)]
    breathless = say(*[part for word in said for part in (word, 90)], 600)
    stage = staged(SERVER).hear(breathless, 8_000)
    assert stage.transcripts() == [" ".join(said)]
    assert max(len(work.audio) for work in stage.asked) < 27 * 16_000


# ---- changes on the way


def test_commit_in_mid_speech_ends_the_announced_item():
    stage = staged(SERVER).hear(say(640, *WORDS, 40)).give(m.CommitAudio()).answer_all()
    assert without_deltas(stage) == ["SpeechStarted", "AudioCommitted", "ItemAdded", "TranscriptCompleted"]
    assert ids(stage) == ["item_1"]
    stage.hear(say("india", "juliett", 400))
    assert stage.transcripts() == [" ".join(WORDS), "india juliett"]
    assert stage.said(m.SpeechStarted)[1].audio_start_ms == 2_280, "the padding stops at the commit"


def test_detection_switched_off_in_mid_speech_leaves_the_turn_to_the_client():
    stage = staged(SERVER).hear(say(640, *WORDS[:4])).set(turn_detection=None).hear(say(*WORDS[4:], 5_000))
    assert without_deltas(stage) == ["SpeechStarted", "SessionUpdated"]
    stage.give(m.CommitAudio()).answer_all()
    assert without_deltas(stage)[2:] == ["AudioCommitted", "ItemAdded", "TranscriptCompleted"]
    assert ids(stage) == ["item_1"]
    assert stage.transcripts() == [" ".join(WORDS)]


def test_detection_switched_on_in_mid_speech_announces_what_it_finds():
    stage = staged(MANUAL).hear(say(640, *WORDS[:4])).set(turn_detection=TurnDetectionPatch(type="server_vad"))
    assert without_deltas(stage) == ["SessionUpdated", "SpeechStarted"]
    stage.hear(say(*WORDS[4:], 960))
    assert without_deltas(stage) == ["SessionUpdated", *TURN]
    assert times(stage) == [(0, 2_440)]
    assert stage.transcripts() == [" ".join(WORDS)]


def test_detection_switched_on_after_speech_ends_the_turn_where_it_ended():
    stage = staged(MANUAL).hear(SPOKEN).set(turn_detection=TurnDetectionPatch()).hear(say(100))
    assert times(stage) == [(0, 2_440)]


def test_a_patient_setting_in_mid_speech_holds_for_this_turn():
    stage = staged(SERVER).hear(say(640, *WORDS)).set(turn_detection=TurnDetectionPatch(silence_duration_ms=800))
    stage.hear(say(960))
    assert times(stage) == [(340, 3_040)]


LIVE = TranscriptionPatch(model="gpt-live-transcribe")


def test_a_live_model_leaves_turns_to_the_client():
    stage = Rehearsal().set(transcription=LIVE)
    assert stage.said(m.SessionUpdated)[0].session.settings.turn_detection is None
    stage.hear(SPOKEN).give(m.CommitAudio()).answer_all()
    assert without_deltas(stage)[1:] == ["AudioCommitted", "ItemAdded", "TranscriptCompleted"]


@pytest.mark.parametrize("together", [True, False])
def test_a_live_model_with_detection_that_was_asked_for(together):
    chosen = TurnDetectionPatch(type="server_vad")
    if together:
        stage = Rehearsal().set(transcription=LIVE, turn_detection=chosen)
    else:
        stage = Rehearsal().set(turn_detection=chosen).set(transcription=LIVE)
    assert stage.hear(SPOKEN).said(m.SpeechStarted)
    assert CARDS["gpt-live-transcribe"].live


def test_a_sample_may_be_split_between_chunks():
    whole, split = Rehearsal(), Rehearsal()
    data = pcm(SPOKEN)
    whole.give(m.AppendAudio(audio=data)).answer_all()
    for first in range(0, len(data), 1_601):
        split.give(m.AppendAudio(audio=data[first : first + 1_601])).answer_all()
    assert times(split) == times(whole)
    assert split.transcripts() == whole.transcripts()


def test_leaving_a_live_model_turns_detection_on_again_unless_it_was_chosen():
    stage = Rehearsal().set(transcription=TranscriptionPatch(model="gpt-live-transcribe"))
    assert stage.session.settings.turn_detection is None
    stage.set(transcription=TranscriptionPatch(model="gpt-4o-transcribe"))
    assert stage.session.settings.turn_detection == TurnDetection()
    stage.set(turn_detection=None).set(transcription=TranscriptionPatch(model="scripted"))
    assert stage.session.settings.turn_detection is None


def test_what_the_session_began_with_counts_as_chosen():
    stage = staged(None).set(transcription=TranscriptionPatch(model="gpt-4o-transcribe"))
    assert stage.session.settings.turn_detection is None


def test_a_turn_is_announced_once_however_often_the_mode_changes():
    stage = staged(TurnDetection()).hear(say(300, "alpha", "bravo"))
    stage.set(turn_detection=None).set(turn_detection=TurnDetectionPatch(type="server_vad"))
    stage.hear(say("charlie", 600))
    assert [event.item_id for event in stage.said(m.SpeechStarted)] == ["item_1"]
    assert stage.transcripts() == ["alpha bravo charlie"]


@pytest.mark.parametrize("commit", [False, True])
def test_an_item_of_the_clients_own_may_not_take_the_name_of_a_turn(commit):
    """Of one that was announced, and is no item yet, either."""
    stage = staged(TurnDetection()).hear(say(320, "alpha", "bravo", *([900] if commit else [])))
    (started,) = stage.said(m.SpeechStarted)
    stage.give(m.CreateItem(item={"id": started.item_id, "type": "message"})).hear(say(900))
    (refused,) = stage.said(m.Refused)
    assert refused.error.param == "item.id"
    assert [event.item.id for event in stage.said(m.ItemAdded)] == [started.item_id]
    assert stage.transcripts() == ["alpha bravo"]
