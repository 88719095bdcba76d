"""The check of the pace: a wrong rate is named, right speech is left alone, and it asks for little."""

import numpy as np
import pytest

from hark.core.work import SAMPLE_RATE, Hypothesis, ScoreVoice, Token, Transcribe, Transcribed, Urgency, WorkFailed
from hark.errors import ModelError
from hark.models.scripted import WORDS
from hark.session.pace import TRIALS, PaceCheck, others, played_at
from rehearsal import Rehearsal, say

DECLARED = 24_000


def final(seconds):
    return Transcribe(1, "engine", np.zeros(round(seconds * SAMPLE_RATE), np.float32), language="en")


def words(number, sure):
    return Hypothesis(tuple(Token(f" word{at}", sure) for at in range(number)))


def play(check, true_rate, *, seconds=6.0, pace=3.0, sure=-0.1, turns=5, model=None):
    """Turns of a talker at `pace` words a second, sent at `true_rate`, before a model that is `sure` of speech at its
    own speed and less so the further off it is; the number of trials."""
    model = model or (lambda off: words(round(seconds * pace), sure - off))
    trials, ids = 0, iter(range(10, 10_000))
    speed = DECLARED / true_rate
    for _ in range(turns):
        check.hear(final(seconds / speed), model(abs(np.log(speed))))
        while trial := check.request(next(ids), 0.0):
            trials += 1
            assert trial.urgency is Urgency.GROWING
            played = len(trial.audio) / SAMPLE_RATE  # what would be `seconds` at the right rate
            check.accept(Transcribed(trial.id, model(abs(np.log(seconds / played)))))
    return trials


@pytest.mark.parametrize(("true_rate", "said"), [(16_000, "1.5 times too fast"), (48_000, "2.0 times too slow")])
def test_a_wrong_rate_is_named(true_rate, said):
    check = PaceCheck(DECLARED)
    assert play(check, true_rate, seconds=5.0) == 3  # the usual rates within a factor of two, once
    notice = check.take_notice()
    assert said in notice
    assert f"best as {true_rate}" in notice
    assert check.take_notice() is None, "once"


def test_every_rate_has_others_to_try_and_none_that_sounds_the_same():
    assert others(24_000) == [16_000, 44_100, 48_000]
    assert others(44_100) == others(48_000) == [24_000]
    assert all(others(rate) for rate in range(8_000, 48_001))


def test_right_speech_is_never_tried():
    check = PaceCheck(DECLARED)
    assert play(check, DECLARED) == 0
    assert check.take_notice() is None


@pytest.mark.parametrize(("pace", "sure"), [(5.0, -0.1), (1.0, -0.1), (3.0, -0.9)])
def test_a_fast_slow_or_mumbling_talker_is_tried_and_left_alone(pace, sure):
    check = PaceCheck(DECLARED)
    assert play(check, DECLARED, pace=pace, sure=sure, turns=50) == 3 * TRIALS
    assert check.take_notice() is None


def test_an_engine_without_probabilities_is_never_doubted():
    check = PaceCheck(DECLARED)
    play(check, 16_000, model=lambda off: words(18, 0.0))
    assert check.take_notice() is None


def test_a_few_sure_words_do_not_outweigh_a_sentence():
    check = PaceCheck(DECLARED)
    play(check, DECLARED, pace=6.0, sure=-0.3, model=lambda off: words(2, -0.01) if off else words(36, -0.3))
    assert check.take_notice() is None


def test_one_short_sentence_is_not_enough():
    check = PaceCheck(DECLARED)
    check.hear(final(3.0), words(20, -0.1))
    assert check.request(2, 0.0) is None


def test_failed_and_late_answers_end_the_trial():
    check = PaceCheck(DECLARED)
    check.hear(final(6.0), words(60, -0.1))
    check.accept(WorkFailed(99, ModelError("not ours")))
    for work_id in (2, 3, 4):
        assert check.request(work_id, 0.0) is not None
        assert check.request(5, 0.0) is None, "one at a time"
        check.accept(WorkFailed(work_id, ModelError("no")))
    assert check.request(6, 0.0) is None
    assert check.take_notice() is None


def test_audio_is_played_longer_or_shorter():
    audio = np.ones(SAMPLE_RATE, np.float32)
    assert len(played_at(audio, 2 / 3)) == pytest.approx(1.5 * SAMPLE_RATE, abs=2)
    assert len(played_at(audio, 2.0)) == pytest.approx(0.5 * SAMPLE_RATE, abs=2)


# ---- in a session --------------------------------------------------------------------------------------------------

FAST = say(*[WORDS[at % 8] for at in range(40)], 1_000)  # five scripted words a second, for 8 s


def test_a_session_asks_when_it_asks_nothing_else_and_says_nothing():
    quiet, judging = Rehearsal().hear(FAST), Rehearsal(judges_pace=True).hear(FAST)
    assert judging.events == quiet.events
    trials = [work for work in judging.asked if isinstance(work, Transcribe)][len(quiet.requests(final=False)) + 1 :]
    assert len(trials) == 2, "8000 and 24000: within a factor of two of 16000"
    assert {work.urgency for work in trials} == {Urgency.GROWING}
    assert judging.session.take_notice() is None, "scripted models are as sure at any speed"


def test_what_it_finds_goes_to_the_log():
    stage = Rehearsal(judges_pace=True).hear(FAST, answering=False)
    lengths = []
    while stage.answer(ScoreVoice) or stage.waiting[Transcribe]:
        while stage.waiting[Transcribe]:
            work = stage.waiting[Transcribe].popleft()
            lengths.append(len(work.audio))
            sure = -0.1 if len(work.audio) > 1.5 * lengths[0] and work.urgency is Urgency.GROWING else -0.5
            stage.session.receive(Transcribed(work.id, words(40, sure)), stage.now)
            stage._collect()
    notice = stage.session.take_notice()
    assert "2.0 times too fast: it is declared as 16000 samples a second and is understood best as 8000" in notice
    assert stage.session.take_notice() is None
