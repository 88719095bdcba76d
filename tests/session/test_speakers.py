"""Who speaks: vectors to labels, and the segments of a session."""

import numpy as np
import pytest

from hark.core import messages as m
from hark.core.settings import ModelCard, SessionSettings, Transcription, TurnDetection
from hark.core.work import EmbedSpeaker, SpeakerEmbedded
from hark.models.scripted import ScriptedEars
from hark.session.speakers import SAME, SPEAKER_PATIENCE_S, Known, Speakers
from rehearsal import CARDS, PCM_16K, Rehearsal, names, say

DIARIZE = "gpt-4o-transcribe-diarize"
TURNS = TurnDetection(silence_duration_ms=200)
LOW, HIGH, OTHER = (np.array(vector, np.float32) for vector in ([1, 0, 0], [0, 1, 0], [0, 0, 1]))


def high(audio):
    """The same words in another voice: as loud at each moment, and of another pitch."""
    return audio * np.where(np.arange(len(audio)) % 8 < 4, 1, -1).astype(np.float32)


# ---- vectors to labels


def test_speakers_are_called_by_letters_in_the_order_in_which_they_are_heard():
    speakers = Speakers()
    heard = [LOW, HIGH, LOW * 7, OTHER + LOW * 0.1, HIGH + LOW * 0.3]
    assert [speakers.label(vector, 3) for vector in heard] == ["A", "B", "A", "C", "B"]


def test_after_z_letters_are_doubled():
    speakers = Speakers()
    assert [speakers.label(vector, 3) for vector in np.eye(28, dtype=np.float32)][-3:] == ["Z", "AA", "BB"]


def test_a_speaker_s_mean_follows_him():
    speakers = Speakers()
    turn = [np.array([np.cos(angle), np.sin(angle), 0], np.float32) for angle in np.linspace(0, 1.4, 8)]
    assert {speakers.label(vector, 3) for vector in turn} == {"A"}
    # Short pieces do not move it: the last of them is far from where he was.
    unmoved = Speakers()
    unmoved.label(turn[0], 3)
    for vector in turn[1:-1]:
        unmoved.label(vector, 0.5)
    assert unmoved.label(turn[-1], 3) == "B"


def test_a_short_piece_is_nobody_new_unless_nobody_has_spoken():
    speakers = Speakers()
    assert speakers.label(LOW, 0.4) == "A"
    assert speakers.label(HIGH, 0.4) == "A"
    assert speakers.label(HIGH, 1.5) == "B"
    assert speakers.label(HIGH, 0.4) == "B"


@pytest.mark.parametrize("nothing", [None, np.zeros(3, np.float32), np.full(3, np.nan, np.float32)])
def test_where_nothing_is_known_it_is_whoever_spoke_before(nothing):
    speakers = Speakers()
    assert speakers.label(nothing, 3) == "A"
    speakers.label(HIGH, 3)
    spoke = speakers.label(LOW, 3)
    assert speakers.label(nothing, 3) == spoke


def test_known_speakers_have_their_names_and_others_letters_that_nobody_has():
    speakers = Speakers()
    speakers.know("Ann", LOW, 5)
    speakers.know("A", HIGH, 5)
    speakers.know("nobody heard", None, 5)
    assert [speakers.label(vector, 3) for vector in (LOW, OTHER, HIGH, LOW)] == ["Ann", "B", "A", "Ann"]


def test_a_stranger_never_has_the_name_of_somebody_known():
    speakers = Speakers()
    speakers.know("A", None, 5)  # of whose recording no model made anything
    speakers.know("C", HIGH, 5)
    assert [speakers.label(vector, 3) for vector in (LOW, OTHER)] == ["B", "D"]


def test_a_model_that_changes_its_mind_about_sizes_harms_nobody():
    speakers = Speakers()
    speakers.label(LOW, 3)
    assert speakers.label(np.ones(5, np.float32), 3) == "B"


# ---- sessions


@pytest.fixture
def stage(monkeypatch):
    monkeypatch.setitem(CARDS, DIARIZE, ModelCard(DIARIZE, "scripted", usage="tokens", diarizes=True))

    def staged(turn_detection=TURNS, **options):
        settings = SessionSettings(turn_detection=turn_detection, transcription=Transcription(DIARIZE), **PCM_16K)
        return Rehearsal(settings, **options)

    return staged


def conversation():
    first, second = say("alpha", "bravo", "alpha", "bravo", "alpha", 600), say("charlie", "delta", "echo", "golf", 600)
    return [first, high(second), say("hotel", "india", "juliett", "hotel", 600)]


def segments(stage):
    return [event for event in stage.events if isinstance(event, m.SpeakerSegment)]


def test_each_turn_is_told_with_its_speaker_before_it_is_completed(stage):
    heard = stage()
    for part in conversation():
        heard.hear(part)
    told = segments(heard)
    assert [(each.id, each.speaker) for each in told] == [("seg_0", "A"), ("seg_1", "B"), ("seg_2", "A")]
    completed = [event for event in heard.events if isinstance(event, m.TranscriptCompleted)]
    assert [(each.item_id, each.text) for each in told] == [(each.item_id, each.transcript) for each in completed]
    for piece, whole in zip(told, completed, strict=True):
        assert heard.events.index(piece) < heard.events.index(whole)
        assert whole.audio_start_ms <= piece.start_ms < piece.end_ms <= whole.audio_end_ms
    # The vector is made of what was transcribed, and nothing else.
    asked = [work for work in heard.asked if isinstance(work, EmbedSpeaker)]
    assert [len(work.audio) // 16 for work in asked] == pytest.approx(
        [each.end_ms - each.start_ms for each in told], abs=1
    )


def test_pieces_of_one_item_each_have_a_speaker(stage):
    heard = stage(TurnDetection(silence_duration_ms=900))
    words = ["alpha", "bravo", "charlie", "delta", "echo"]
    heard.hear(np.concatenate([say(*words * 13), say(500), high(say(*words * 3)), say(1_200)]), 8_000)
    told = segments(heard)
    [completed] = [event for event in heard.events if isinstance(event, m.TranscriptCompleted)]
    assert [each.speaker for each in told] == ["A", "B"]
    assert {each.item_id for each in told} == {completed.item_id}
    assert " ".join(each.text for each in told) == completed.transcript
    assert told[0].end_ms <= told[1].start_ms


def test_completed_waits_for_the_speaker_and_order_is_kept(stage):
    heard = stage()
    heard.hold_speakers = True
    for part in conversation():
        heard.hear(part)
    assert "TranscriptCompleted" not in names(heard.events)
    while heard.answer(EmbedSpeaker):
        heard.hold_speakers = False
        heard.answer_all()
        heard.hold_speakers = True
    told = [name for name in names(heard.events) if name in ("SpeakerSegment", "TranscriptCompleted")]
    assert told == ["SpeakerSegment", "TranscriptCompleted"] * 3


@pytest.mark.parametrize("fault", ["fails", "is silent"])
def test_without_a_model_everybody_is_a_and_transcripts_come(stage, fault):
    heard = stage()
    if fault == "fails":
        heard.fail = lambda work: isinstance(work, EmbedSpeaker)
    else:
        heard.hold_speakers = True
    for part in conversation():
        heard.hear(part)
        if fault == "is silent":
            heard.wait(SPEAKER_PATIENCE_S + 1).answer_all()
    assert [each.speaker for each in segments(heard)] == ["A"] * 3
    assert names(heard.events).count("TranscriptCompleted") == 3


def test_a_late_vector_is_of_no_account(stage):
    heard = stage()
    heard.hold_speakers = True
    heard.hear(conversation()[0])
    asked = heard.waiting[EmbedSpeaker][0]
    heard.wait(SPEAKER_PATIENCE_S + 1)
    before = len(heard.events)
    heard.session.receive(SpeakerEmbedded(asked.id, HIGH), heard.now)
    heard._collect()
    assert len(heard.events) == before


def test_an_item_deleted_meanwhile_is_told_no_more(stage):
    heard = stage()
    heard.hold_speakers = True
    heard.hear(conversation()[0])
    [added] = [event.item.id for event in heard.events if isinstance(event, m.ItemAdded)]
    heard.give(m.DeleteItem(item_id=added))
    heard.hold_speakers = False
    heard.answer_all()
    assert segments(heard) == []
    heard.hear(conversation()[1])
    assert len(segments(heard)) == 1


def test_known_speakers_are_heard_first(stage):
    recordings = [Known("Bea", high(say("alpha", "bravo") * 3)), Known("Cid", say("alpha", "bravo"))]
    heard = stage(known_speakers=recordings)
    for part in conversation():
        heard.hear(part)
    assert [each.speaker for each in segments(heard)] == ["Cid", "Bea", "Cid"]


def test_other_models_ask_for_nobody_s_voice(stage):
    heard = Rehearsal(SessionSettings(turn_detection=TURNS, **PCM_16K))
    heard.hear(conversation()[0])
    assert "TranscriptCompleted" in names(heard.events)
    assert not [work for work in heard.asked if isinstance(work, EmbedSpeaker)]
    assert segments(heard) == []


def test_the_stand_in_tells_these_voices_apart():
    low, other, again = ScriptedEars().embed([say("alpha", "echo"), high(say("alpha", "echo")), say("golf")])
    cosine = [float(low @ vector / np.linalg.norm(low) / np.linalg.norm(vector)) for vector in (other, again)]
    assert cosine[0] < SAME < 0.9 < cosine[1]
