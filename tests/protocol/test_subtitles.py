"""Cues obey their limits for any transcript; the files are what their formats ask for."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hark.core.messages import Word
from hark.protocol.subtitles import CUE_MS, LINE_CHARS, WRITERS, Spoken, cues, to_json, to_srt, to_vtt

words = st.text(alphabet="abcdefg,.?! -<>&。，、", max_size=300)
spoken = st.builds(
    lambda start, length, text: Spoken(start, start + length, text),
    st.integers(0, 4_000_000),
    st.integers(0, 60_000),
    words,
)


@given(st.lists(spoken, max_size=6))
def test_cues_keep_their_limits_and_every_word(turns):
    found = cues(turns)
    for cue in found:
        assert 1 <= len(cue.lines) <= 2
        assert all(0 < len(line) <= LINE_CHARS for line in cue.lines)
        assert 0 < cue.end_ms - cue.start_ms <= CUE_MS
    for before, after in pairwise(found):
        assert before.end_ms <= after.start_ms
    said = "".join("".join(cue.lines) for cue in found)
    assert said.replace(" ", "") == "".join(turn.text for turn in turns).replace(" ", "")


def lines_of(text, duration_ms=6_000):
    return [cue.lines for cue in cues([Spoken(0, duration_ms, text)])]


def test_a_short_turn_is_one_line():
    assert lines_of("Open the north gate.") == [("Open the north gate.",)]


def test_two_lines_are_about_equally_long():
    assert lines_of("The birch canoe slid on the smooth planks of the old pier") == [
        ("The birch canoe slid on the", "smooth planks of the old pier")
    ]


def test_a_long_turn_is_cut_where_a_sentence_ends():
    text = "The birch canoe slid on the smooth planks of the pier. Glue the sheet to the dark blue background, please."
    assert [" ".join(lines) for lines in lines_of(text)] == [
        "The birch canoe slid on the smooth planks of the pier.",
        "Glue the sheet to the dark blue background, please.",
    ]


def test_a_long_sentence_is_cut_at_a_comma_and_not_near_its_edge():
    text = "Well, it is easy to tell the depth of a well if one has a rope, and these days a chicken leg is a rare dish"
    assert [" ".join(lines) for lines in lines_of(text)] == [
        "Well, it is easy to tell the depth of a well if one has a rope,",
        "and these days a chicken leg is a rare dish",
    ]


def test_slow_speech_is_cut_by_time():
    found = cues([Spoken(0, 21_000, "one two three four five six")])
    assert len(found) >= 3
    assert " ".join(line for cue in found for line in cue.lines) == "one two three four five six"


def test_time_is_shared_out_by_characters():
    found = cues([Spoken(1_000, 9_000, "a" * 79 + ". " + "b" * 39 + ".")])
    assert [(cue.start_ms, cue.end_ms) for cue in found] == [(1_000, 6_333), (6_333, 9_000)]


def test_a_turn_that_overlaps_the_one_before_starts_after_it():
    found = cues([Spoken(0, 2_000, "one"), Spoken(1_700, 3_000, "two")])
    assert [(cue.start_ms, cue.end_ms) for cue in found] == [(0, 2_000), (2_000, 3_000)]


def test_srt():
    turns = [Spoken(1_000, 2_500, "Tea & cake?"), Spoken(3_600_000, 3_601_001, "Yes.")]
    assert to_srt(turns, 3_700_000) == (
        "1\n00:00:01,000 --> 00:00:02,500\nTea & cake?\n\n2\n01:00:00,000 --> 01:00:01,001\nYes.\n"
    )


def test_vtt_escapes_what_would_be_markup():
    assert to_vtt([Spoken(1_000, 2_500, "a --> b & <c>")], 3_000) == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\na --&gt; b &amp; &lt;c&gt;\n"
    )


def test_json_is_in_seconds():
    told = json.loads(to_json([Spoken(500, 1_250, "Öffne das Tor."), Spoken(2_000, 2_750, "Ja.")], 3_000))
    assert told == {
        "text": "Öffne das Tor. Ja.",
        "duration": 3.0,
        "turns": [{"start": 0.5, "end": 1.25, "text": "Öffne das Tor."}, {"start": 2.0, "end": 2.75, "text": "Ja."}],
    }


@pytest.mark.parametrize(("suffix", "empty"), [(".txt", ""), (".srt", ""), (".vtt", "WEBVTT\n")])
def test_no_words_give_an_empty_file_of_the_format(suffix, empty):
    assert WRITERS[suffix]([], 1_000) == empty


def test_no_words_give_json_without_turns():
    assert json.loads(to_json([], 1_000)) == {"text": "", "duration": 1.0, "turns": []}


# ---- words with times


timed = st.lists(
    st.tuples(st.text("abc,.", min_size=1, max_size=12), st.integers(-200, 3_000), st.integers(0, 9_000)), max_size=60
)


def with_times(said):
    """Words one after another, each some ms after the one before; a few overlap, as engines have it."""
    at, found = 1_000, []
    for text, gap, length in said:
        at = max(0, at + gap)
        found.append(Word(text, at, at + length))
        at += length
    return tuple(found)


@given(timed, st.booleans())
def test_cues_by_words_keep_their_limits_too(said, told):
    words = with_times(said)
    text = " ".join(word.text for word in words)
    found = cues([Spoken(0, 5_000, text, words if told else ()), Spoken(5_000, 6_000, "after")])
    assert all(0 < cue.end_ms - cue.start_ms <= CUE_MS for cue in found)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(found))
    assert " ".join(" ".join(cue.lines) for cue in found).split() == [*text.split(), "after"]


def test_cues_begin_and_end_with_their_words():
    words = (
        Word("One,", 500, 800),
        Word("two.", 5_000, 5_400),
        Word("Three", 7_500, 7_900),
        Word("four.", 12_000, 12_400),
    )
    turn = Spoken(400, 12_500, "One, two. Three four.", words)
    assert [(cue.start_ms, cue.end_ms) for cue in cues([turn])] == [(500, 5_400), (7_500, 12_400)]


def test_words_that_are_not_those_of_the_text_do_not_count():
    turn = Spoken(0, 1_000, "one two", (Word("one", 300, 400),))
    assert [(cue.start_ms, cue.end_ms) for cue in cues([turn])] == [(0, 1_000)]
