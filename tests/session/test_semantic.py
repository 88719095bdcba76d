"""semantic_vad as a client sees it: judged pauses, late judges, judges that fail."""

import pytest

from hark.core import messages as m
from hark.core.settings import TurnDetection, TurnDetectionPatch
from hark.core.work import SAMPLE_RATE, JudgeTurn, ScoreVoice, Transcribe, TurnJudged
from hark.session.listening import JUDGE_PATIENCE_S
from hark.session.turns import JUDGED_SAMPLES, PATIENCE
from rehearsal import say, staged

AUTO = TurnDetection(type="semantic_vad")
WAIT = PATIENCE["auto"]
# Speech from 640 to 1,240 ms. The judge is sure that "delta" ends a turn and that "bravo" does not.
OVER, OPEN = say(640, "alpha", "charlie", "delta"), say(640, "alpha", "charlie", "bravo")
END_MS = 640 + 600


def stops(stage):
    return [event.audio_end_ms for event in stage.said(m.SpeechStopped)]


def judgements(stage):
    return [work for work in stage.asked if isinstance(work, JudgeTurn)]


def waited(stage):
    return stops(stage)[0] - END_MS


def test_a_finished_sentence_ends_its_turn_soon():
    stage = staged(AUTO).hear(OVER).hear(say(1_000))
    assert 0 < waited(stage) < 500 - 32
    assert len(judgements(stage)) == 1


def test_an_unfinished_one_waits():
    stage = staged(AUTO).hear(OPEN).hear(say(2_000))
    assert stops(stage) == []
    stage.hear(say("delta", 1_000))
    assert len(stops(stage)) == 1
    assert stage.transcripts() == ["alpha charlie bravo delta"]
    stage.hear(OPEN).hear(say(5_000))
    assert len(stops(stage)) == 2
    assert len(judgements(stage)) == 3


def test_a_short_gap_is_not_judged():
    stage = staged(AUTO).hear(say(640, "alpha", 120, "delta", 100))
    assert judgements(stage) == []


def test_what_is_judged_is_the_turn_up_to_the_pause():
    stage = staged(TurnDetection(type="semantic_vad", prefix_padding_ms=0)).hear(OVER).hear(say(640))
    (asked,) = judgements(stage)
    assert len(asked.audio) == pytest.approx(600 * 16, abs=512)


@pytest.mark.parametrize("chunk", [100, 1_600, 40_000])
def test_of_a_long_turn_the_last_seconds_are_judged(chunk):
    stage = staged(AUTO).hear(say(640, *["alpha", "charlie"] * 80, 640), chunk)
    assert [len(asked.audio) for asked in judgements(stage)] == [JUDGED_SAMPLES]


def test_server_vad_asks_no_judge():
    for mode in (None, TurnDetection()):
        assert judgements(staged(mode).hear(OVER).hear(say(1_000))) == []


def test_a_late_judge_moves_no_time():
    prompt = staged(AUTO).hear(OVER).hear(say(3_000, "echo", 300))
    late = staged(AUTO).hear(OVER, answering=False).hear(say(3_000, "echo", 300), answering=False)
    late.score_all()
    assert stops(late) == []
    assert late.answer(JudgeTurn)
    late.answer_all()
    assert stops(late) == stops(prompt)
    assert late.transcripts()[:1] == prompt.transcripts()[:1] == ["alpha charlie delta"]


def test_a_judge_that_does_not_answer_holds_nothing_for_long():
    stage = staged(AUTO).hear(OVER, answering=False).hear(say(2_000), answering=False).score_all()
    assert stops(stage) == []
    stage.wait(JUDGE_PATIENCE_S)
    assert waited(stage) == pytest.approx(WAIT.unjudged_ms, abs=64)
    assert "did not answer within 1 s" in stage.session.take_notice()
    assert stage.session.take_notice() is None
    while stage.answer(Transcribe):
        pass
    assert stage.transcripts() == ["alpha charlie delta"]


def test_a_judge_that_fails_leaves_it_to_silence_and_the_log_says_so_once():
    stage = staged(AUTO)
    stage.fail = lambda work: isinstance(work, JudgeTurn)
    stage.hear(OVER).hear(say(2_000)).hear(OPEN).hear(say(2_000))
    assert waited(stage) == pytest.approx(WAIT.unjudged_ms, abs=64)
    assert len(stops(stage)) == 2
    assert stage.session.take_notice().endswith("told to fail This is said once a session.")
    assert stage.session.take_notice() is None


@pytest.mark.parametrize("probability", [float("nan"), -0.1, 1.1])
def test_what_is_no_probability_counts_as_none(probability):
    stage = staged(AUTO).hear(OVER, answering=False).hear(say(2_000), answering=False).score_all()
    stage.give(TurnJudged(stage.waiting[JudgeTurn].popleft().id, probability)).answer_all()
    assert waited(stage) == pytest.approx(WAIT.unjudged_ms, abs=64)
    assert "something else than a probability" in stage.session.take_notice()


def test_speech_that_goes_on_waits_for_no_judge():
    stage = staged(AUTO).hear(say(640, "alpha", 200), answering=False).score_all()
    assert len(stage.waiting[JudgeTurn]) == 1
    stage.hear(say("charlie", "delta"), answering=False).score_all()
    assert stage.session.next_timer() > JUDGE_PATIENCE_S, "the judge's deadline is gone with the pause"
    stage.hear(say(640), answering=False).score_all()
    assert len(stage.waiting[JudgeTurn]) == 2
    stage.answer(JudgeTurn)  # the first, whose pause is over
    assert stops(stage) == []
    stage.answer_all()
    assert len(stops(stage)) == 1


@pytest.mark.parametrize(
    "command",
    [m.CommitAudio(), m.FinishSession(), m.ClearAudio(), m.CreateResponse()],
    ids=lambda command: type(command).__name__,
)
def test_commands_wait_for_the_judge_of_the_audio_before_them(command):
    stage = staged(AUTO).hear(OVER, answering=False).hear(say(1_000), answering=False).score_all()
    before = len(stage.events)
    stage.give(command)
    assert len(stage.events) == before
    stage.answer_all()
    assert waited(stage) < 500


def test_a_client_that_stops_sending_while_a_pause_is_judged_has_its_turn_ended_once():
    stage = staged(AUTO).hear(OPEN, answering=False).hear(say(600), answering=False).score_all().wait(10)
    assert len(stops(stage)) == 1
    assert stage.session.next_timer() is not None


def test_switching_to_semantic_vad_in_a_pause_judges_that_pause():
    stage = staged(None).hear(say(640, "alpha", "charlie", "delta", 640))
    assert judgements(stage) == []
    stage.set(turn_detection=TurnDetectionPatch(type="semantic_vad")).hear(say(640))
    assert len(judgements(stage)) == 1
    assert len(stops(stage)) == 1


def test_switching_away_drops_the_judgement():
    stage = staged(AUTO).hear(say(640, "alpha", 200), answering=False).score_all()
    stage.set(turn_detection=None)
    assert stage.session.next_timer() > JUDGE_PATIENCE_S
    stage.answer_all().hear(say(5_000))
    assert stops(stage) == []


def test_the_scorer_is_not_held_up():
    stage = staged(AUTO).hear(OVER, answering=False).hear(say(1_000), answering=False).score_all()
    assert sum(len(work.audio) for work in stage.asked if isinstance(work, ScoreVoice)) > 2.2 * SAMPLE_RATE
