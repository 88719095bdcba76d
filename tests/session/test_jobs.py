"""A job, heard and answered by hand: what it asks for, and when."""

from itertools import pairwise

import numpy as np
import pytest

from hark.core.work import Hypothesis, Token
from hark.errors import ModelError
from hark.session.buffer import AudioBuffer
from hark.session.guard import EVIDENCE_WINDOWS, MIN_EVIDENCE, MIN_LOGPROB, believable
from hark.session.hints import Hints
from hark.session.jobs import (
    HARD_CUT,
    LEAD,
    PARTIAL_SHARE,
    PARTIAL_STEP,
    TAIL,
    Job,
    Request,
    Segment,
    Stretch,
)

W = 512
MS = 16
SECOND = 16_000
LEVEL = 0.25
FAULT = ModelError("told to fail")


class Talk:
    """Windows for a job, counted."""

    def __init__(self, start=0):
        self.job = Job("item_1", start, LEVEL)
        self.window = -(-start // W)

    def hear(self, windows, probability):
        for _ in range(windows):
            self.job.hear(self.window, probability)
            self.window += 1
        return self

    def close(self):
        self.job.close(self.window * W)
        return self.job


def text(*words, logprob=-0.1):
    return Hypothesis(tuple(Token(f" {word}", logprob) for word in words))


def answered(job, *words):
    """The text that is settled when the model answers what the job asks."""
    tokens = job.answer(job.request(), text(*words)) + job.settle()
    return "".join(token.text for token in tokens)


# ---- what is worth transcribing


def test_a_stretch_reaches_from_before_the_first_voiced_window_to_behind_the_last():
    job = Talk().hear(40, 0.1).hear(30, 0.9).hear(40, 0.1).close()
    assert job.request() == Request(Stretch(40 * W - LEAD, 70 * W + TAIL), final=True)


def test_a_stretch_stays_inside_its_turn():
    job = Talk(start=1_000).hear(30, 0.9).close()
    assert job.request() == Request(Stretch(1_000, job.end), final=True)


def test_a_job_without_a_voiced_window_asks_nothing_and_is_empty():
    job = Talk().hear(200, LEVEL - 0.01).close()
    assert job.request() is None
    assert job.settle() == []
    assert job.finished
    assert job.transcript.text == ""


def test_what_was_held_back_at_the_end_is_heard_as_it_was_known_then():
    """The buffer holds something else there by the time the model is asked."""
    job, buffer = Talk().hear(30, 0.9).job, AudioBuffer()
    buffer.append(np.full(30 * W + 4, 0.25, np.float32))
    job.close(30 * W + 20, np.full(16, 0.5, np.float32))
    buffer.append(np.ones(W, np.float32))
    stretch = job.request().stretch
    assert stretch.last == job.end == 30 * W + 20
    assert job.audio(buffer, stretch)[-20:].tolist() == [0.25] * 4 + [0.5] * 16
    assert job.audio(buffer, Stretch(0, 30 * W + 2))[-4:].tolist() == [0.25] * 4
    assert job.audio(buffer, Stretch(30 * W + 10, job.end)).tolist() == [0.5] * 10


# ---- partial hypotheses


def test_a_partial_is_asked_for_at_each_step():
    talk = Talk()
    asked = []
    for _ in range(200):
        request = talk.hear(1, 0.9).job.request()
        if request is not None:
            assert not request.final
            talk.job.answer(request, text("word"))
            asked.append(request.stretch.last)
    steps = [after - before for before, after in pairwise([0, *asked])]
    assert steps[0] == PARTIAL_STEP
    due = [max(PARTIAL_STEP, last // PARTIAL_SHARE) for last in asked]
    assert all(least <= step < least + W for least, step in zip(due, steps, strict=True))


def test_while_a_partial_is_on_its_way_the_next_one_grows():
    talk = Talk().hear(10, 0.9)
    request = talk.job.request()
    talk.hear(20, 0.9)
    talk.job.answer(request, text("word"))
    assert talk.job.request() == Request(Stretch(0, 30 * W), final=False)


def test_the_draft_of_the_last_answer_goes_with_the_next_request_of_its_segment():
    talk = Talk().hear(20, 0.9)
    assert talk.job.request().draft == ()
    talk.job.answer(talk.job.request(), Hypothesis((Token(" word", -0.1),), draft=(7, 8)))
    assert talk.hear(20, 0.9).job.request() == Request(Stretch(0, 40 * W), final=False, draft=(7, 8))
    talk.job.refuse(talk.job.request(), FAULT)
    assert talk.close().request() == Request(Stretch(0, 40 * W), final=True)


def test_a_new_segment_begins_without_a_draft():
    talk = Talk().hear(13 * SECOND // W, 0.9)
    talk.job.answer(talk.job.request(), Hypothesis((Token(" word", -0.1),), draft=(7, 8)))
    talk.hear(12, 0.1)
    talk.job.answer(talk.job.request(), Hypothesis((Token(" word", -0.1),), draft=(7, 8, 9)))
    talk.job.settle()
    assert talk.hear(20, 0.9).job.request().draft == ()


def test_a_partial_that_failed_waits_for_more_audio():
    talk = Talk().hear(20, 0.9)
    for _ in range(5):
        talk.job.refuse(talk.job.request(), FAULT)
        assert talk.job.request() is None
        talk.hear(10, 0.9)
    assert talk.job.failure is None


# ---- early finish


def test_the_final_request_goes_out_in_the_pause_and_only_once():
    talk = Talk().hear(30, 0.9)
    talk.job.answer(talk.job.request(), text("one"))
    assert talk.hear(TAIL // W - 1, 0.1).job.request() is None
    assert talk.hear(1, 0.1).job.request() == Request(Stretch(0, 30 * W + TAIL), final=True)
    assert answered(talk.job, "one", "two") == ""
    assert talk.hear(30, 0.1).job.request() is None, "nothing is asked again in a pause"
    job = talk.close()
    assert job.request() is None
    assert "".join(token.text for token in job.settle()) == "one two"
    assert job.finished


def test_if_speech_resumes_the_early_answer_served_as_a_partial():
    talk = Talk().hear(30, 0.9).hear(3, 0.1)
    assert answered(talk.job, "one", "two", "three") == ""
    talk.hear(30, 0.9).hear(3, 0.1)
    assert answered(talk.job, "one", "two", "thirty", "four") == "one", "two hypotheses agree on two words"
    assert "".join(token.text for token in talk.close().settle()) == " two thirty four"


def test_an_early_answer_that_comes_after_speech_resumed():
    talk = Talk().hear(30, 0.9).hear(3, 0.1)
    early = talk.job.request()
    job = talk.hear(20, 0.9).hear(3, 0.1).close()
    job.answer(early, text("one"))
    assert not job.finished
    assert answered(job, "one", "two") == "one two"


# ---- failures


def test_a_final_request_is_asked_twice_and_then_given_up():
    job = Talk().hear(30, 0.9).close()
    again = job.request()
    job.refuse(again, FAULT)
    assert job.request() == again
    job.refuse(again, FAULT)
    assert job.finished
    assert job.failure is FAULT
    assert job.request() is None


def test_a_partial_that_ended_its_process_is_no_more_asked_and_the_final_one_once():
    deadly = ModelError("lost")
    deadly.deadly = True
    talk = Talk().hear(20, 0.9)
    talk.job.refuse(talk.job.request(), deadly)
    assert talk.hear(60, 0.9).job.request() is None
    assert talk.hear(20, 0.1).job.request() is None, "nor in a pause"
    job = talk.close()
    job.refuse(job.request(), deadly)
    assert job.failure is deadly


def test_after_a_partial_that_ended_its_process_the_final_one_may_work():
    deadly = ModelError("lost")
    deadly.deadly = True
    talk = Talk().hear(20, 0.9)
    talk.job.refuse(talk.job.request(), deadly)
    assert answered(talk.hear(60, 0.9).close(), "one", "two") == "one two"


def test_two_failures_with_success_between_them_are_not_two_in_a_row():
    talk = Talk()
    for _ in range(4):
        talk.hear(30, 0.9).hear(3, 0.1)
        talk.job.refuse(talk.job.request(), FAULT)
        talk.job.answer(talk.hear(30, 0.9).job.request(), text("fine"))
    assert talk.job.failure is None


def test_a_failed_job_still_knows_where_speech_was():
    talk = Talk().hear(30, 0.9).hear(3, 0.1)
    talk.job.fail(FAULT)
    assert talk.hear(10, 0.9).hear(5, 0.1).job.last_voiced == 43 * W


# ---- segments


def ask_all(talk, *runs):
    """Hear (windows, probability) one after another while the model answers with the length; every final stretch."""
    finals = []
    for windows, probability in runs:
        for _ in range(windows):
            talk.hear(1, probability)
            while (request := talk.job.request()) is not None:
                talk.job.answer(request, text("word"))
                finals += [request.stretch] if request.final else []
            talk.job.settle()
    return finals


def test_a_long_turn_is_cut_in_a_pause():
    talk = Talk()
    finals = ask_all(talk, (400, 0.9), (10, 0.1), (400, 0.9))
    assert finals[0] == Stretch(0, 400 * W + TAIL)
    assert talk.job.needs_from == 405 * W, "half of the pause belongs to either side"


def test_a_longer_turn_is_cut_in_a_shorter_pause_without_being_asked_for_again():
    talk = Talk()
    finals = ask_all(talk, (400, 0.9), (9, 0.1), (100, 0.9), (5, 0.1), (50, 0.9), (5, 0.1))
    assert finals == [Stretch(0, voiced * W + TAIL) for voiced in (400, 509, 564)]
    assert talk.job.needs_from == 564 * W + TAIL


def test_a_turn_without_a_pause_is_cut_where_it_is_least_voiced():
    talk = Talk()
    ask_all(talk, (700, 0.9), (1, 0.6), (80, 0.9), (300, 0.9))
    assert talk.job.needs_from == 700 * W + W // 2


def test_no_request_is_longer_than_the_hard_cut():
    talk = Talk()
    for _ in range(4_000):
        talk.hear(1, 0.9)
        request = talk.job.request()
        if request is not None:
            assert request.stretch.last - request.stretch.first <= HARD_CUT + W
            talk.job.answer(request, text("word"))
            talk.job.settle()


def test_segments_are_contiguous_and_their_text_is_joined_in_order():
    talk = Talk()
    said, asked = 0, []
    for runs in [(400, 0.9), (12, 0.1)] * 5:
        talk.hear(*runs)
    job = talk.close()
    while (request := job.request()) is not None:
        assert request.final
        said += 1
        asked.append(request.stretch)
        job.answer(request, text(f"segment{said}"))
        job.settle()
    assert job.finished
    assert len(asked) > 3
    assert all(before.last <= after.first for before, after in pairwise(asked))
    assert job.transcript.text == " ".join(f"segment{n + 1}" for n in range(said))


def test_silence_in_an_open_turn_costs_no_memory():
    talk = Talk()
    ask_all(talk, (20, 0.9), (600, 0.1))
    held = talk.job.needs_from
    ask_all(talk, (5_000, 0.1))
    assert talk.job.needs_from >= held + 4_000 * W
    assert sum(len(segment.scores) for segment in talk.job._segments) < 100


# ---- the guard against invented text


def voice(*scores):
    made = Segment(0)
    for window, score in enumerate(scores):
        made.hear(window, score, 0.01)
    return made.voice(Stretch(0, len(scores) * W))


@pytest.mark.parametrize(
    ("scores", "logprob", "expected"),
    [
        ([0.9] * 20, -0.2, True),
        ([0.9] * EVIDENCE_WINDOWS + [0.02] * 300, -0.2, True),
        ([MIN_EVIDENCE - 0.01] * 300, -0.2, False),
        ([0.9] * 20, MIN_LOGPROB + 0.01, True),
        ([0.9] * 20, MIN_LOGPROB - 0.01, False),
        ([0.9] * 3, -0.2, True),
    ],
)
def test_text_is_believed_if_there_was_voice_and_the_model_is_sure(scores, logprob, expected):
    assert believable(text("thank", "you", logprob=logprob), voice(*scores)) is expected


def test_silence_is_always_believed():
    assert believable(Hypothesis(()), voice(*[0.9] * 20))


def test_invented_text_is_not_told():
    job = Talk().hear(30, 0.9).close()
    job.answer(job.request(), text("you", logprob=MIN_LOGPROB - 1))
    assert job.settle() == []
    assert job.finished
    assert (job.transcript.text, job.failure) == ("", None)


# ---- usage


@pytest.mark.parametrize(
    ("samples", "tokens"), [(1_600, 1), (1_601, 2), (17_600, 11), (16_000 * 7, 70), (11 * 1_600, 11), (0, 0)]
)
def test_audio_costs_ten_tokens_a_second_begun_ones_too(samples, tokens):
    job = Job("item_1", 500, LEVEL)
    job.close(500 + samples)
    job.hints = Hints("a prompt", ("gate", "north"))
    usage = job.usage("tokens")
    assert (usage.kind, usage.input_audio_tokens, usage.input_text_tokens) == ("tokens", tokens, 6)
    assert usage.seconds == samples / SECOND


def test_text_costs_what_was_heard_in_the_end():
    job = Talk().hear(30, 0.9).close()
    answered(job, "one", "two")
    assert job.usage("duration").output_tokens == 2
    assert job.usage("duration").kind == "duration"


def test_the_times_of_tokens_are_counted_from_the_start_of_the_session():
    job = Talk(start=1_000).hear(30, 0.9).close()
    job.answer(job.request(), Hypothesis((Token(" word", -0.1, 160, 320),)))
    assert job.settle() == [Token("word", -0.1, 1_160, 1_320)]


def test_text_without_probabilities_may_be_believed():
    job = Talk().hear(30, 0.9).close()
    assert answered(job, "word", "after", "word") == "word after word"
    job = Talk().hear(30, 0.9).close()
    job.answer(job.request(), Hypothesis((Token(" word"), Token(" after"))))
    assert "".join(token.text for token in job.settle()) == "word after"
