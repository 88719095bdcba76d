"""What nobody said is not told, and what somebody said is."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hark.core.languages import LANGUAGES
from hark.core.work import Hypothesis, Token
from hark.session.guard import (
    FASTEST_WORDS,
    LOOP_TIMES,
    MIN_LOGPROB,
    NO_SPEECH,
    NO_SPEECH_LOGPROB,
    NOTHING,
    SOFT_S,
    Voice,
    believable,
    checked,
    too_fast,
    words,
)
from hark.session.hints import Hints
from hark.session.jobs import LEAD, TAIL, Job
from hark.session.scripts import SCRIPTS, in_another_script

PROMPT = "The speaker talks about Hark, Moonshine and Kubernetes on small machines."
HINTS = Hints(PROMPT, ("Silero", "sherpa-onnx", "faster-whisper"))
SURE = -0.1
W = 512


def heard(text, logprob=SURE, **more):
    """A hypothesis whose tokens are pieces of up to four characters, as engines have them."""
    pieces = [piece[at : at + 4] for word in text.split() for piece in [f" {word}"] for at in range(0, len(piece), 4)]
    return Hypothesis(tuple(Token(piece, logprob) for piece in pieces), **more)


def time_for(text):
    """Seconds of voice in which one says it: three words each."""
    return len(text.split()) / 3


def left(text, seconds, hints=HINTS, logprob=SURE, **more):
    return checked(heard(text, logprob, **more), Voice(0.9, seconds), hints).text


# ---- the prompt


@pytest.mark.parametrize(
    "text",
    [
        PROMPT,
        PROMPT.upper(),
        "Hark, Moonshine and Kubernetes on small machines",
        "Silero, sherpa-onnx, faster-whisper.",
        f"{PROMPT} {PROMPT}",
    ],
)
@pytest.mark.parametrize("more", [{"logprob": SURE}, {"logprob": None}, {"logprob": -0.9}, {"no_speech": 0.9}])
def test_the_prompt_is_not_told_where_nobody_can_have_said_it(text, more):
    """Too little voice for so many words, or an engine that thinks that nobody spoke."""
    assert left(text, time_for(text) if "no_speech" in more else 0.0, **more) == ""


def test_what_stands_beside_the_prompt_is_told():
    assert left(f"{PROMPT} Hello there.", 0.5) == "Hello there."
    assert left(f"Well, {PROMPT}", 0.5) == "Well,"
    assert left(f"Well, {PROMPT} Hello there.", 0.5) == "Well, Hello there."


def test_who_reads_the_prompt_aloud_is_heard():
    for text in (PROMPT, "Silero, sherpa-onnx, faster-whisper."):
        assert left(text, time_for(text)) == text
        assert left(text, time_for(text), logprob=None) == text
        assert left(text, time_for(text), logprob=MIN_LOGPROB + 0.1) == text


def test_a_prompt_of_megabytes_holds_up_nobody():
    """It is compared while all other sessions wait; each word with each would take hours."""
    assert left("a " * 400, 0.0, Hints("a " * 1_000_000)) == ""


def test_two_words_of_the_prompt_are_an_accident():
    assert left("small machines", 0.0) == "small machines"
    assert left("on small boats", 2.0, no_speech=0.7) == "on small boats"


def test_a_prompt_without_spaces_is_found_however_tokens_are_cut():
    hints = Hints("これは会議の記録です。")
    for cut in (1, 2, 5):
        text = "会議の記録です"
        tokens = tuple(Token(text[at : at + cut]) for at in range(0, len(text), cut))
        assert checked(Hypothesis(tokens, no_speech=0.7), Voice(0.9, 0.1), hints) == NOTHING


@given(st.lists(st.sampled_from(["hark", "moon,", "Gate.", "no", "東京", "да"]), max_size=30), st.floats(0, 20))
def test_with_time_enough_every_word_is_told(said, seconds):
    """Whatever the prompt is, and however often things are said again."""
    text = " ".join(said)
    hypothesis, voice = heard(text), Voice(0.9, seconds)
    if not too_fast(text, voice):
        assert checked(hypothesis, voice, Hints(text, tuple(said))) == hypothesis


@given(st.text("ab ,.", max_size=60), st.text("ab ,.", max_size=60), st.floats(0, 3), st.floats(-2, 0))
def test_nothing_is_told_that_was_not_heard(text, prompt, seconds, logprob):
    """Guards take words away and add or move none."""
    hypothesis = heard(text, logprob)
    rest = checked(hypothesis, Voice(0.9, seconds), Hints(prompt))
    before, after = iter([word.key for word in words(hypothesis.text)]), [word.key for word in words(rest.text)]
    assert all(word in before for word in after)
    assert rest in (hypothesis, NOTHING) or (rest.cut and rest.draft == ())


# ---- loops


def test_a_loop_is_said_once():
    loop = "we are going to the store "
    assert left("Today " + loop * 20, 3.0) == "Today we are going to the store"
    assert left("you " * 60, 3.0) == "you"
    assert left("so " + "you " * 60 + "and now we go", 3.0) == "so you and now we go"


def test_a_loop_in_characters_is_said_once():
    tokens = tuple(Token(letter) for letter in "谢谢大家" * 30)
    assert checked(Hypothesis(tokens), Voice(0.9, 2.0), Hints()).text == "谢谢大家"


def test_the_pieces_that_stay_are_the_engines_own():
    rest = checked(heard("no " * 40), Voice(0.9, 1.0), Hints())
    assert rest.tokens == (Token(" no", SURE),)
    assert rest.cut


@pytest.mark.parametrize("times", [LOOP_TIMES - 1, LOOP_TIMES, 10])
def test_who_says_the_same_again_and_again_is_heard(times):
    text = " ".join(["no,"] * times)
    assert left(text, times / 4) == text


@given(st.lists(st.sampled_from("abc"), max_size=40))
@example(["a"] * 40)
@example([*"ababababcccc"] * 4)
@example(([*"abc"] * 3 + ["a"] * 4) * 4)
def test_no_loop_is_left_in_what_is_too_fast(said):
    """At no length, and what is cut has at least that many repetitions."""
    text = " ".join(said)
    rest = checked(heard(text), Voice(0.9, 0.0), Hints()).text.split()
    if len(said) > FASTEST_WORDS * SOFT_S:
        assert not any(
            rest[at : at + n] * LOOP_TIMES == rest[at : at + n * LOOP_TIMES]
            for n in range(1, 17)
            for at in range(len(rest))
        )


# ---- no speech


@pytest.mark.parametrize(
    ("no_speech", "logprob", "expected"),
    [
        (NO_SPEECH + 0.1, NO_SPEECH_LOGPROB - 0.1, False),
        (NO_SPEECH + 0.1, NO_SPEECH_LOGPROB + 0.1, True),
        (NO_SPEECH - 0.1, NO_SPEECH_LOGPROB - 0.1, True),
        (NO_SPEECH - 0.1, MIN_LOGPROB - 0.1, False),
        (NO_SPEECH + 0.1, None, False),
        (NO_SPEECH - 0.1, None, True),
        (None, None, True),
    ],
)
def test_an_engine_that_thinks_nobody_spoke_has_to_be_sure_of_its_words(no_speech, logprob, expected):
    assert believable(heard("thank you", logprob, no_speech=no_speech), Voice(0.9, 1.0)) is expected


# ---- scripts


@pytest.mark.parametrize(
    ("languages", "text"),
    [
        (("en",), "Спасибо за просмотр"),
        (("en",), "ご視聴ありがとうございました"),
        (("de", "fr"), "شكرا لكم"),
        (("ru",), "感谢观看"),
        (("ja",), "감사합니다"),
        (("zh",), "ご視聴ありがとうございました"),
        (("ko",), "谢谢大家"),
        (("hi",), "شکریہ بہت"),
    ],
)
def test_text_in_another_script_is_not_told(languages, text):
    assert in_another_script(text, languages)
    assert left(text, 5.0, Hints(languages=languages)) == ""


@pytest.mark.parametrize(
    ("languages", "text"),
    [
        (("en",), "Thank you for watching!"),
        (("en",), "the letter π, and Москва"),
        (("ja",), "今日はカタカナとひらがなとOpenAIと々とー"),
        (("ru",), "Это OpenAI Whisper Large Turbo"),
        (("ru",), "OpenAI Whisper"),
        (("ko",), "오늘 大韓民國 뉴스입니다"),
        (("sr",), "Ово је нешто and something"),
        (("en", "ru"), "Спасибо"),
        (("zh",), "ＯＫ好的"),
        (("hi",), "धन्यवाद"),
        (("vi",), "Cảm ơn bạn"),
        (("en",), "123 … !"),
        ((), "Спасибо"),
        (("xx",), "Спасибо"),
        (("en", "xx"), "Спасибо"),
    ],
)
def test_text_in_the_scripts_of_its_language_is_told(languages, text):
    assert not in_another_script(text, languages)


def test_every_language_of_the_api_is_known_or_written_in_scripts_that_we_do_not_judge():
    assert set(SCRIPTS) <= set(LANGUAGES)
    assert set(LANGUAGES) - set(SCRIPTS) == {"ae", "pi"}


# ---- what a job makes of it


def asked(hints, voiced=30):
    job = Job("item_1", 0, 0.25)
    job.hints = hints
    for window in range(voiced):
        job.hear(window, 0.9)
    return job


def said(job):
    return "".join(token.text for token in job.settle())


def test_text_in_another_script_is_asked_for_again_without_what_led_to_it():
    job = asked(Hints("Просьба записать", (), ("en",)))
    job.close(30 * W)
    first = job.request()
    assert (first.final, first.plain) == (True, False)
    assert job.answer(first, heard("спасибо вам", draft=(1, 2))) == []
    again = job.request()
    assert (again.stretch, again.plain, again.draft) == (first.stretch, True, ())
    job.answer(again, heard("thank you"))
    assert said(job) == "thank you"


def test_the_second_time_it_is_empty():
    job = asked(Hints("Просьба записать", (), ("en",)))
    job.close(30 * W)
    for _ in range(2):
        job.answer(job.request(), heard("спасибо вам"))
    assert job.request() is None
    assert (said(job), job.finished, job.failure) == ("", True, None)


def test_an_engine_that_was_told_nothing_is_not_asked_again():
    job = asked(Hints(languages=("en",)))
    job.close(30 * W)
    job.answer(job.request(), heard("спасибо вам"))
    assert (said(job), job.finished) == ("", True)


def test_nothing_of_what_is_guarded_leaves_while_one_speaks():
    for text, hints in [("спасибо вам вам", Hints(languages=("en",))), (PROMPT, HINTS), ("you " * 40, Hints())]:
        job, sent = asked(hints, 12), []
        for window in range(12, 60, 11):
            request = job.request()
            assert not request.final
            sent += job.answer(request, heard(text, no_speech=0.65))
            for more in range(11):
                job.hear(window + more, 0.3)
        assert "".join(token.text for token in sent) in ("", "you")


def test_only_the_voice_in_what_was_asked_about_counts():
    """While the engine answers, the talker goes on: that is no time for what it heard before."""
    job = asked(HINTS, 12)
    request = job.request()
    for window in range(12, 400):
        job.hear(window, 0.9)
    job.answer(request, heard(PROMPT))
    assert request.stretch.last <= 12 * W + TAIL
    assert LEAD > 0
    assert job._segments[0].hypothesis == NOTHING
