"""Hypotheses in, deltas out: text that only grows."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hark.core.messages import Word
from hark.core.work import Hypothesis, Token
from hark.session.transcript import USUAL, WAITS, Transcript

PATIENCE = USUAL.patience
SURELY, DOUBTFULLY = USUAL.sure / 4, USUAL.sure * 2


def heard(text, logprob=SURELY):
    return Hypothesis(tuple(Token(f" {word}", logprob) for word in text.split()))


def spelled(tokens):
    return "".join(token.text for token in tokens)


def told(*partials, final):
    """The text of each delta; the last one is that of the final hypothesis."""
    transcript = Transcript()
    deltas = [spelled(transcript.add_partial(heard(text))) for text in partials]
    return [*deltas, spelled(transcript.add_final(heard(final)))]


def test_a_word_leaves_when_two_hypotheses_agree_on_it_and_on_the_next():
    assert told("open", "open the", "open the north", final="open the north gate") == [
        "",
        "",
        "open",
        " the north gate",
    ]


def test_agreement_of_the_last_word_alone_shows_nothing():
    assert told("open", "open", "open", final="open") == ["", "", "", "open"]


def test_what_changes_is_not_shown():
    assert told("a b", "x y", "a b", "x y", final="z") == ["", "", "", "", "z"]


def test_case_and_punctuation_are_no_disagreement():
    assert told("Open the", "open, The gate", final="Open the gate!") == ["", "open,", " the gate!"]


def test_a_sign_alone_is_a_word_of_its_own():
    assert told("a - b", "a + b", final="a + b") == ["", "", "a + b"]


def test_an_empty_hypothesis_takes_nothing_back():
    assert told("a b c", "a b c", "", "a b c d", final="a b c d") == ["", "a b", "", "", " c d"]
    assert told("a b c", "a b c", final="") == ["", "a b", ""]
    assert told("", "", final="") == ["", "", ""]


def test_a_word_the_model_is_unsure_of_has_to_stand_longer():
    transcript = Transcript()
    deltas = [spelled(transcript.add_partial(heard("a b c", DOUBTFULLY))) for _ in range(PATIENCE + 2)]
    assert deltas == [""] * (PATIENCE - 1) + ["a b", "", ""]


def test_a_sure_word_waits_for_the_unsure_one_before_it():
    tokens = (Token(" a", SURELY), Token(" b", DOUBTFULLY), Token(" c", SURELY), Token(" d", SURELY))
    transcript = Transcript()
    assert [spelled(transcript.add_partial(Hypothesis(tokens))) for _ in range(3)] == ["", "a", ""]


@pytest.mark.parametrize(
    ("final", "rest"),
    [
        ("the cat sat", " sat"),
        ("the cap sat", " sat"),  # another word instead
        ("the fat cat sat", " sat"),  # a word more: "cat" must not come twice
        ("cat sat", " sat"),  # a word less
        ("the", ""),
        ("a dog ran away", " ran away"),
        ("the cat the cat", " the cat"),
    ],
)
def test_what_was_sent_stays_when_the_final_hypothesis_differs(final, rest):
    assert told("the cat on", "the cat on", final=final) == ["", "the cat", rest]


def test_partials_that_deny_what_was_sent_go_on_behind_it():
    hypotheses = ("a b c d", "a b c x", *["q b c x y z"] * PATIENCE)
    waited = [""] * (PATIENCE - 1)
    assert told(*hypotheses, final="q b c x y z") == ["", "a b", *waited, " c x y", " z"]


def test_scripts_without_spaces_grow_by_character():
    transcript = Transcript()

    def hypothesis(text):
        return Hypothesis(tuple(Token(character, SURELY) for character in text))

    assert spelled(transcript.add_partial(hypothesis("你好世"))) == ""
    assert spelled(transcript.add_partial(hypothesis("你好世界"))) == "你好"
    assert spelled(transcript.add_final(hypothesis("你好世界"))) == "世界"
    assert spelled(transcript.add_final(hypothesis("再见"))) == "再见"
    assert transcript.text == "你好世界再见"


def test_segments_are_joined_with_one_space():
    transcript = Transcript()
    for tokens in (["One"], [" two", " "], [" three"], [], ["", "four"], [" ", "five"], ["  six"]):
        transcript.add_final(Hypothesis(tuple(Token(text, -0.1) for text in tokens)))
    assert transcript.text == "One two three four five six"


def test_spelling_does_not_depend_on_how_the_text_was_cut_into_deltas():
    hypothesis = Hypothesis(tuple(Token(text, SURELY) for text in (" one", "\ntwo", "  three", " ", " four", " five")))
    at_once, growing = Transcript(), Transcript()
    at_once.add_final(hypothesis)
    for length in range(7):
        growing.add_partial(Hypothesis(hypothesis.tokens[:length]))
    growing.add_final(hypothesis)
    assert at_once.text == growing.text == "one two three four five"


def test_a_word_of_many_tokens_is_one():
    transcript = Transcript()
    tokens = tuple(Token(text, SURELY) for text in (" trans", "crip", "tion", " is", " fun"))
    assert transcript.add_partial(Hypothesis(tokens)) == []
    sent = transcript.add_partial(Hypothesis(tokens))
    assert [token.text for token in sent] == ["trans", "crip", "tion", " is"]


spellings = st.sampled_from(["a", "b", "B,", "c", "C.", "-", "don't", "日", "本", "é"])
leads = st.sampled_from([" ", " ", " ", "", "  "])
word_tokens = st.builds(lambda lead, word: [lead + word], leads, spellings)
odd_tokens = st.sampled_from([[" "], [""], [" ab", "cd"], [" ", "a"]])
logprobs = st.sampled_from([SURELY, SURELY, DOUBTFULLY])


def _hypothesis(groups, logprob):
    return Hypothesis(tuple(Token(text, logprob) for group in groups for text in group))


hypotheses = st.builds(_hypothesis, st.lists(st.one_of(word_tokens, word_tokens, odd_tokens), max_size=8), logprobs)
segments = st.tuples(st.lists(hypotheses, max_size=6), hypotheses)


@given(st.lists(segments, max_size=4), st.sampled_from(sorted(WAITS)))
def test_deltas_add_up_whatever_the_model_says(talk, delay):
    transcript = Transcript(WAITS[delay])
    deltas = []
    for partials, final in talk:
        deltas += [transcript.add_partial(partial) for partial in partials]
        deltas.append(transcript.add_final(final))
    assert "".join(map(spelled, deltas)) == transcript.text == spelled(transcript.tokens)
    assert all(spelled(delta).strip() for delta in deltas if delta), "a delta without content"
    assert transcript.text == transcript.text.strip()
    assert "  " not in transcript.text


@given(st.lists(spellings.map(lambda word: [f" {word}"]), max_size=12), st.lists(st.integers(0, 12), max_size=12))
def test_a_model_that_never_changes_its_mind_is_quoted_exactly(groups, lengths):
    transcript = Transcript()
    for length in lengths:
        transcript.add_partial(_hypothesis(groups[:length], SURELY))
    transcript.add_final(_hypothesis(groups, SURELY))
    assert transcript.text == _hypothesis(groups, SURELY).text


# ---- delay

TALK = ["open", "the", "north", "gate", "before", "the", "sun", "goes", "down", "behind", "the", "hill"]


def shown_at(delay, logprob):
    """For each word, after how many hypotheses it is shown; each hears one word more, and misspells the last."""
    transcript, shown = Transcript(WAITS[delay]), {}
    partials = [heard(" ".join([*TALK[:length], "cut"]), logprob) for length in range(1, len(TALK))]
    partials += [heard(" ".join(TALK), logprob)] * 3
    for count, partial in enumerate(partials):
        before = len(transcript.text.split())
        transcript.add_partial(partial)
        shown |= dict.fromkeys(range(before, len(transcript.text.split())), count)
    transcript.add_final(heard(" ".join(TALK), logprob))
    assert transcript.text == " ".join(TALK)
    return [shown.get(word, len(partials)) for word in range(len(TALK))]


@pytest.mark.parametrize("logprob", [SURELY, None])
def test_the_more_delay_the_later_are_words_shown(logprob):
    """From the same hypotheses, of engines with probabilities and without; the last word waits in most of them."""
    shown = [shown_at(delay, logprob) for delay in ("minimal", "low", "medium", "high", "xhigh")]
    for sooner, later in pairwise(shown):
        assert sum(sooner) < sum(later)
        assert all(a <= b for a, b in zip(sooner[:-1], later[:-1], strict=True))


def test_minimal_shows_words_that_xhigh_never_would():
    """That is its price: what is said early and meant otherwise stays."""
    changing = [heard(text, SURELY) for text in ("a b", "a x y", "a b c", "a x y z")]
    early = {delay: Transcript(WAITS[delay]) for delay in ("minimal", "xhigh")}
    for transcript in early.values():
        for partial in changing:
            transcript.add_partial(partial)
    assert early["minimal"].text.startswith("a x")
    assert early["xhigh"].text == ""


def test_korean_has_words():
    transcript = Transcript()
    transcript.add_final(Hypothesis((Token(" 안녕", SURELY), Token("하세요", SURELY))))
    transcript.add_final(Hypothesis((Token("반갑", SURELY), Token("습니다", SURELY))))
    assert transcript.text == "안녕하세요 반갑습니다"


# ---- when words were said


def timed(*words):
    return Hypothesis(tuple(Token(f" {word}", SURELY, 1_600 * place, 1_600 * place + 800) for place, word in words))


def test_words_are_told_with_the_times_of_the_hypothesis_that_they_left_with():
    transcript = Transcript()
    transcript.add_partial(timed((1, "open"), (2, "the")))
    transcript.add_partial(timed((3, "open"), (4, "the")))
    transcript.add_final(timed((5, "Open"), (6, "the"), (7, "gate.")))
    assert transcript.words == (Word("open", 300, 350), Word("the", 600, 650), Word("gate.", 700, 750))
    transcript.add_final(timed((9, "Now.")))
    assert [word.text for word in transcript.words] == transcript.text.split()


def test_a_word_of_many_tokens_reaches_from_the_first_to_the_last():
    transcript = Transcript()
    tokens = (Token(" trans", None, 0, 160), Token("crip"), Token("tion", None, 320, 480), Token("."))
    transcript.add_final(Hypothesis(tokens))
    assert transcript.words == (Word("transcription.", 0, 30),)


def test_where_a_time_is_missing_no_times_are_told():
    transcript = Transcript()
    transcript.add_final(Hypothesis((Token(" open", SURELY, 0, 160), Token(" the", SURELY))))
    assert transcript.words is None
    assert Transcript().words is None


def test_without_probabilities_agreement_is_enough():
    transcript = Transcript()
    plain = Hypothesis((Token(" open"), Token(" the")))
    assert spelled(transcript.add_partial(plain)) == ""
    assert spelled(transcript.add_partial(plain)) == "open"
