"""The rules around Whisper (whisper/decoding.py), without a network."""

import numpy as np
import pytest

from hark.core.work import SAMPLE_RATE
from hark.models.whisper import decoding as rules


def sound(seconds):
    return np.random.default_rng(1).normal(0, 0.2, int(seconds * SAMPLE_RATE)).astype(np.float32)


@pytest.mark.parametrize(
    ("said", "times", "kept"),
    [
        ([], 4, 0),
        ([1, 2, 3], 4, 3),
        ([1] * 15, 4, 15),  # people do say it
        ([1] * 16, 4, 1),
        ([5, 6, *[1] * 20, 9], 4, 3),
        ([9, *[1, 2, 3, 4, 5] * 4], 4, 6),
        ([9, *[1, 2, 3, 4, 5] * 3], 4, 16),
        ([9, *range(10, 40), *range(10, 40), *range(10, 40)], 3, 31),
        ([9, *range(10, 40), *range(10, 40), 1], 3, 62),
    ],
)
def test_loops_are_found_wherever_they_stand(said, times, kept):
    assert rules.unlooped(said, times) == kept


def test_a_text_that_compresses_too_well_is_cut_sooner():
    sentence = tuple(range(100, 120))
    text = "I will be right back with you. "
    doubtful = rules.Attempt(sentence * 3 + (5,), text * 9, -0.1, 0.0)
    assert doubtful.repeats
    assert doubtful.settled() == rules.Attempt(sentence, text * 9, -0.1, 0.0, cut=True)
    plain = rules.Attempt(sentence * 3 + (5,), "Each of these words differs from all others.", -0.1, 0.0)
    assert plain.settled() is plain


def test_the_best_of_several_attempts():
    def attempt(text, logprob, no_speech=0.0):
        return rules.Attempt((1,), text, logprob, no_speech)

    looped, poor, poorer, good = attempt("again " * 40, -0.1), attempt("a", -1.5), attempt("b", -2), attempt("c", -0.5)
    assert rules.best([looped, poor, good]) is good
    assert rules.best([looped, poorer, poor]) is poor
    assert rules.best([looped]) is looped


def test_saying_nothing_is_not_doubted():
    assert not rules.Attempt((), "", -3.0, 0.1).doubtful
    assert rules.Attempt((1,), "a", -3.0, 0.1).doubtful


@pytest.mark.parametrize(("seconds", "tokens"), [(0, 64), (2, 64), (3, 128), (6, 128), (10, 224), (30, 224)])
def test_the_token_limit_goes_by_the_length_of_the_audio(seconds, tokens):
    assert rules.Row(sound(seconds)).limit == tokens


@pytest.mark.parametrize("prompt", [4, 2, 30, 227])
@pytest.mark.parametrize("limit", rules.LIMITS)
def test_the_length_that_is_asked_for_leaves_room_for_the_limit(prompt, limit):
    """CTranslate2 generates min(max_length / 2, max_length - (prompt - 1)) tokens at most."""
    length = rules.max_length(prompt, limit)
    assert length <= rules.POSITIONS
    assert min(length // 2, length - (prompt - 1)) == rules.room(prompt, limit)


@pytest.mark.parametrize("seconds", [0, 1, 30, 30.1, 61, 100])
def test_windows_hold_all_of_the_audio(seconds):
    audio = sound(seconds)
    windows = rules.windows(audio)
    assert np.array_equal(np.concatenate(windows), audio)
    assert len(windows) == max(1, -(-len(audio) // rules.WINDOW_SAMPLES)) or seconds > 60
    assert all(25 * SAMPLE_RATE <= len(window) <= rules.WINDOW_SAMPLES for window in windows[:-1])


@pytest.mark.parametrize(
    ("text", "echo"),
    [
        ("Hello, world!", True),
        ("hello", False),  # one word says little
        ("Hello there", False),
        ("world she", False),
        ("said hello world", True),
        ("\u4e16\u754c", True),
        ("", False),
    ],
)
def test_an_echo_stands_word_for_word_in_what_was_told(text, echo):
    assert rules.is_echo(text, "She said: hello world. \u4f60\u597d\u4e16\u754c") is echo


@pytest.mark.parametrize(("among", "language"), [((), "de"), (("en", "fr"), "en"), (("xx",), "de")])
def test_the_likeliest_language(among, language):
    assert rules.likeliest_language([("<|de|>", 0.5), ("<|en|>", 0.3), ("<|fr|>", 0.2)], among) == language


def counted(encode, asked):
    def wrapped(text):
        asked.append(text)
        return encode(text)

    return wrapped


@pytest.mark.parametrize("prompt", [None, "Before."])
def test_keywords_without_room_cost_little_and_take_none(prompt):
    letters = lambda text: [ord(letter) for letter in text]  # noqa: E731  (a token a letter)
    for keywords in (("x" * 400,), ("x" * 100_000, "y"), tuple("ab" for _ in range(100_000))):
        asked = []
        ids, _ = rules.context(counted(letters, asked), prompt, keywords)
        assert len(ids) <= rules.KEYWORD_TOKENS + len(" Before.")
        assert len(asked) <= rules.KEYWORD_TOKENS + 2
        assert all(len(text) <= rules.KEYWORD_LETTERS + rules.KEYWORD_TOKENS for text in asked)
    ids, _ = rules.context(letters, "p" * 100_000, ())
    assert len(ids) == rules.CONTEXT_TOKENS
