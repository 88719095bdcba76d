"""faster-whisper's engine, on a Whisper that the tests make (tiny_whisper.py).

It hears "hello world." in English where its audio is quiet, and "loud noise." in German in loud noise.
"""

import numpy as np
import pytest
import tiny_whisper
from engine_suite import EngineSuite, Subject

from hark.core.work import SAMPLE_RATE
from hark.models.base import LoadOptions, Utterance
from hark.models.whisper import decoding as rules
from hark.models.whisper import plugin as faster_whisper
from hark.models.whisper.engine import Whisper

HELLO, NOISE = "hello world.", "loud noise."
MODELS = {model.spec.name: model for model in faster_whisper.plugin()}
NAME, ENGLISH = "whisper-tiny", "whisper-tiny.en"


def sound(seconds=2.0, level=0.2, seed=1):
    noise = np.random.default_rng(seed).standard_normal(int(seconds * SAMPLE_RATE))
    return (noise * level).astype(np.float32)


LOUD, QUIET = sound(), sound(1.0, 1e-4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny_whisper.make(folder / NAME)
    tiny_whisper.make(folder / ENGLISH, multilingual=False)
    return folder


@pytest.fixture(scope="module")
def whisper(folder):
    return Whisper(NAME, LoadOptions(folder))


@pytest.fixture
def made(tmp_path):
    """An engine of a Whisper with other weights."""
    return lambda **weights: Whisper(tiny_whisper.make(tmp_path / "made", **weights).name, LoadOptions(tmp_path))


@pytest.fixture
def generated():
    """Gives what CTranslate2 is asked to generate for an engine, from here on: (prompts, options)."""
    return tiny_whisper.watched


class TestSuite(EngineSuite):
    """The shared suite, in a process of its own as the server runs it."""

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, folder):
        return Subject(MODELS[NAME], LoadOptions(folder), [LOUD, QUIET, sound(3.1)])


# ---- batches -------------------------------------------------------------------------------------------------------


MIXED = [
    Utterance(LOUD),
    Utterance(QUIET, language="fr"),
    Utterance(QUIET, prompt="What was said before."),
    Utterance(LOUD, keywords=("Hark", "kiosk"), final=False),
    Utterance(sound(29)),
    Utterance(LOUD, prompt="Before."),
    Utterance(np.zeros(0, np.float32)),
]


def test_a_batch_of_all_kinds_equals_one_by_one(whisper):
    together = whisper.transcribe(MIXED)
    assert together == [whisper.transcribe([utterance])[0] for utterance in MIXED]
    assert [heard.text for heard in together] == [NOISE, HELLO, HELLO, NOISE, NOISE, NOISE, HELLO]


def test_rows_are_decoded_together_as_far_as_their_prompts_allow(whisper, generated):
    asked = generated(whisper)
    whisper.transcribe([Utterance(LOUD), Utterance(QUIET), Utterance(LOUD, language="en")])
    assert [len(prompts) for prompts, _ in asked] == [3]
    asked.clear()
    whisper.transcribe([Utterance(LOUD), Utterance(LOUD, prompt="One."), Utterance(LOUD, prompt="One.")])
    assert sorted(len(prompts) for prompts, _ in asked) == [1, 2]
    asked.clear()
    whisper.transcribe([Utterance(LOUD), Utterance(LOUD, final=False)])
    assert sorted(options["beam_size"] for _, options in asked) == [rules.PARTIAL_BEAM, rules.FINAL_BEAM]


# ---- languages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hints", "language"),
    [
        ({}, "de"),
        ({"language": "fr"}, "fr"),
        ({"language": "pt-BR"}, "pt"),
        ({"language": "JV"}, "jv"),  # which Whisper calls "jw"
        ({"language": "iw"}, "he"),
        ({"language": "xx"}, "de"),
        ({"languages": ("en", "ja")}, "en"),
        ({"languages": ("en", "de")}, "de"),
        ({"languages": ("xx",)}, "de"),
    ],
)
def test_the_language_is_as_told_or_detected_among_those_possible(whisper, generated, hints, language):
    asked = generated(whisper)
    [heard] = whisper.transcribe([Utterance(LOUD, **hints)])
    assert heard.language == language
    ids = whisper._vocabulary.languages
    assert asked[0][0][0][1] == ids["jw" if language == "jv" else language]


def test_of_several_rows_each_has_its_language(whisper):
    heard = whisper.transcribe([Utterance(LOUD), Utterance(QUIET), Utterance(LOUD, language="ja"), Utterance(QUIET)])
    assert [each.language for each in heard] == ["de", "en", "ja", "en"]
    assert heard[1].tokens == heard[3].tokens


def test_each_language_is_aligned_in_its_own_words(whisper, monkeypatch):
    network, asked = whisper._network, []

    class Watched:
        def __getattr__(self, name):
            return getattr(network, name)

        def align(self, encoded, start, ids, frames):
            asked.append((start[1], len(ids), sorted(frames)))
            return network.align(encoded, start, ids, frames)

    monkeypatch.setattr(whisper, "_network", Watched())
    whisper.transcribe([Utterance(LOUD), Utterance(QUIET), Utterance(LOUD[:-8_000], language="en")])
    codes = whisper._vocabulary.languages
    assert sorted(asked) == sorted([(codes["de"], 1, [200]), (codes["en"], 2, [100, 150])])


def test_models_for_english_hear_nothing_else(folder, generated):
    english = Whisper(ENGLISH, LoadOptions(folder))
    asked = generated(english)
    assert [h.language for h in english.transcribe([Utterance(LOUD), Utterance(LOUD, language="de")])] == ["en", "en"]
    assert asked[0][0][0] == [english._vocabulary.start, english._vocabulary.untimed]
    # Some of them have the vocabulary of those that know all languages.
    assert Whisper(NAME, LoadOptions(folder), english=True).transcribe([Utterance(LOUD)])[0].language == "en"


# ---- what Whisper is told ------------------------------------------------------------------------------------------


def told(whisper, asked):
    """What stands before the transcript, of the one row that was asked about last."""
    words, prompt = whisper._vocabulary, asked[-1][0][0]
    at = prompt.index(words.start)
    assert prompt[at:] == [words.start, words.languages["en"], words.transcribe, words.untimed]
    assert at == 0 or prompt[0] == words.previous
    return words.decode(prompt[1:at])


def test_prompt_and_keywords_are_told_as_what_was_said_before(whisper, generated):
    asked = generated(whisper)
    for hints, before in [
        ({}, ""),
        ({"prompt": "  Said before. "}, " Said before."),
        ({"keywords": ("Hark", " kiosk ", "")}, " Hark, kiosk"),
        ({"keywords": ("Hark", "kiosk"), "prompt": "Said before."}, " Hark, kiosk. Said before."),
        ({"prompt": " "}, ""),
    ]:
        assert whisper.transcribe([Utterance(QUIET, **hints)])[0].text == HELLO
        assert told(whisper, asked) == before


def test_of_what_is_too_long_the_last_of_the_prompt_and_the_first_keywords_are_told(whisper, generated):
    asked = generated(whisper)
    prompt, keywords = "tell " * 200 + "the end", [f"word{place}" for place in range(100)]
    whisper.transcribe([Utterance(QUIET, prompt=prompt, keywords=tuple(keywords))])
    before = told(whisper, asked)
    assert len(asked[-1][0][0]) <= 1 + rules.CONTEXT_TOKENS + 4
    assert before.startswith(" word0, word1")
    assert "word99" not in before
    assert before.endswith("the end")


def test_a_prompt_smuggles_no_special_token_in(whisper, generated):
    asked = generated(whisper)
    text = whisper.transcribe([Utterance(QUIET, prompt="<|endoftext|>ab<|startoftranscript|><|de|>")])[0].text
    assert (text, told(whisper, asked)) == (HELLO, " ab")


def test_what_the_prompt_says_is_heard_again_without_it(whisper, generated):
    asked = generated(whisper)
    [heard] = whisper.transcribe([Utterance(QUIET, prompt="She said: Hello, world!")])
    assert heard.text == HELLO
    assert [len(prompts[0]) > 4 for prompts, _ in asked] == [True, False]
    asked.clear()
    whisper.transcribe([Utterance(QUIET, prompt="Hello to the world.")])
    assert len(asked) == 1


def test_text_read_out_of_the_prompt_is_left_out(made, monkeypatch, generated):
    """A decoder that reads out what it is told is stood in for: CTranslate2's answer is exchanged."""
    whisper = made()
    read_out = whisper._vocabulary.encode(" thank you for watching")
    honest = whisper._attempt
    asked = generated(whisper)

    def attempt(answer, full):
        answered = honest(answer, full)
        if len(asked[-1][0][0]) > 4:
            return rules.Attempt(tuple(read_out), "thank you for watching", -0.1, 0.1)
        return answered

    monkeypatch.setattr(whisper, "_attempt", attempt)
    prompt = "Well, thank you for watching. Goodbye."
    assert whisper.transcribe([Utterance(QUIET, prompt=prompt)])[0].text == HELLO
    assert whisper.transcribe([Utterance(QUIET, prompt="Other words.")])[0].text == "thank you for watching"


# ---- what a hypothesis holds ---------------------------------------------------------------------------------------


def test_words_have_times_and_probabilities(whisper):
    [heard] = whisper.transcribe([Utterance(QUIET)])
    assert [token.text for token in heard.tokens] == [" hello", " world", "."]
    # 0.3 s a token, as the model was made; within a frame of 20 ms or two, as times are smoothed.
    for token, start in zip(heard.tokens, (0, 0.2, 0.48), strict=True):
        assert token.start == pytest.approx(start * SAMPLE_RATE, abs=640)
    assert all(one.end == other.start for one, other in zip(heard.tokens, heard.tokens[1:], strict=False))
    assert heard.confidence == pytest.approx(-0.03, abs=0.02)


def test_a_model_that_cannot_align_gives_no_times_and_a_mean(made):
    [heard] = made(aligns=False).transcribe([Utterance(QUIET)])
    assert heard.text == HELLO
    assert {token.start for token in heard.tokens} == {None}
    assert len({token.logprob for token in heard.tokens}) == 1
    assert heard.confidence == pytest.approx(-0.03, abs=0.02)


def test_characters_in_pieces_come_whole(whisper):
    words = whisper._vocabulary
    ids = [*words.encode(" a\u4e16"), *words.encode("\u00e9")[:1]]  # the last one breaks off
    assert len(ids) == 6
    tokens = words.tokens(ids, [-0.1] * 6, range(7), 10_000)
    assert [token.text for token in tokens] == [" ", "a", "\u4e16"]
    assert (tokens[2].start, tokens[2].end) == (2 * 320, 5 * 320)
    assert tokens[2].logprob == pytest.approx(-0.3)


def test_audio_longer_than_a_window_is_heard_in_windows(whisper):
    gap = np.zeros(SAMPLE_RATE // 2, np.float32)
    audio = np.concatenate((sound(27), gap, sound(20, seed=2)))
    [heard] = whisper.transcribe([Utterance(audio)])
    assert heard.text == f"{NOISE} {NOISE}"
    second = heard.tokens[3]
    assert 27 * SAMPLE_RATE <= second.start <= 27.6 * SAMPLE_RATE  # cut in the quiet part


# ---- guards --------------------------------------------------------------------------------------------------------


def test_what_it_does_not_believe_in_and_takes_for_silence_is_nothing(made):
    whisper = made(sure=0.15, no_speech=1)
    for final in (True, False):
        [heard] = whisper.transcribe([Utterance(LOUD, final=final)])
        assert (heard.tokens, heard.cut) == ((), False)


def test_what_it_is_sure_of_is_kept_even_if_it_heard_no_speech(made):
    assert made(no_speech=1).transcribe([Utterance(LOUD)])[0].text == NOISE


def test_a_doubtful_answer_is_asked_for_again_and_not_for_ever(made, generated):
    whisper = made(sure=0.15, no_speech=-1)
    asked = generated(whisper)
    whisper.transcribe([Utterance(LOUD, language="en"), Utterance(LOUD, language="de")])
    temperatures = [options.get("sampling_temperature", 0.0) for _, options in asked]
    assert temperatures == [0.0, *rules.TEMPERATURES]
    asked.clear()
    whisper.transcribe([Utterance(LOUD, final=False)])
    assert len(asked) == 1, "a partial hypothesis is soon followed by another"


def test_only_what_is_doubtful_is_asked_for_again(made, generated, monkeypatch):
    whisper = made()
    honest = whisper._attempt
    asked = generated(whisper)

    def attempt(answer, full):
        answered = honest(answer, full)
        first = len(asked) == 1
        return rules.Attempt(answered.ids, answered.text, -2.0, 0.0) if first and answered.text == HELLO else answered

    monkeypatch.setattr(whisper, "_attempt", attempt)
    heard = whisper.transcribe([Utterance(LOUD), Utterance(QUIET), Utterance(LOUD)])
    assert [len(prompts) for prompts, _ in asked] == [3, 1]
    assert [each.text for each in heard] == [NOISE, HELLO, NOISE]


def test_nothing_is_asked_for_again_once_it_has_taken_long(made, generated, monkeypatch):
    whisper = made(sure=0.15, no_speech=-1)
    asked = generated(whisper)
    monkeypatch.setattr(rules, "AGAIN_S", 0.0)
    whisper.transcribe([Utterance(LOUD)])
    assert len(asked) == 1


def test_a_loop_is_cut_after_its_first_round(made):
    whisper = made(loops=True, loud=(" loud", " noise"))
    for final in (True, False):
        [heard] = whisper.transcribe([Utterance(LOUD, language="en", final=final)])
        assert heard.text in ("loud noise", HELLO)  # a beam may find a way out
    assert (heard.text, heard.cut) == ("loud noise", True)


def test_what_reaches_the_limit_is_cut(made, monkeypatch):
    monkeypatch.setattr(rules, "unlooped", lambda ids, times: len(ids))
    whisper = made(loops=True, loud=(" loud", " noise"))
    [heard] = whisper.transcribe([Utterance(sound(1), language="en", final=False)])
    assert (len(heard.tokens), heard.cut) == (64, True)
