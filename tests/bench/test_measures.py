"""From what sessions heard to figures, over conversations that are written down."""

import math

import pytest

from hark.bench.heard import Started, Stopped, Transcript, Trouble, Words
from hark.bench.measures import Packing, Played, answers, late_turns, percentile, sum_up
from hark.bench.schedule import Script, Turn

# Two clips: speech ends at 2 s and at 7 s; the second begins at 4 s.
SCRIPT = Script((Turn(0, 0, 32_000, 64_000), Turn(1, 64_000, 112_000, 160_000)), (), ())
ZERO = 100.0
GOOD = [
    Started(100.4, "a"),
    Words(101.0, "a"),
    Words(101.5, "a"),
    Stopped(102.4, "a", 2.3),
    Transcript(102.5, "a", "one two"),
    Started(104.4, "b"),
    Stopped(107.35, "b", 7.3),
    Transcript(107.4, "b", "three four"),
]


def played(*heard, **fields):
    return Played(SCRIPT, ZERO, heard=list(heard), **fields)


def summed(*sessions, transcripts=("one two", "three five")):
    return sum_up(sessions, transcripts, silence_s=0.3, frame_s=0.1)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3, 1, 2], 0.5, 2), ([1], 0.99, 1), (list(range(1, 101)), 0.95, 95), (list(range(1, 101)), 0.99, 99)],
)
def test_percentiles_are_values_that_were_there(values, share, expected):
    assert percentile(values, share) == expected


def test_a_percentile_of_nothing_is_no_number():
    assert math.isnan(percentile([], 0.5))


def test_latencies_count_from_the_end_of_speech():
    sums = summed(played(*GOOD))
    assert sums.final == pytest.approx([0.5, 0.4])
    assert sums.stopped == pytest.approx([0.4, 0.35])
    assert sums.done_after_stop == pytest.approx([0.1, 0.05])
    assert sums.words_after_start == pytest.approx([0.6])
    assert (sums.words.wrong, sums.words.units) == (1, 4)
    assert sums.carried(1.0)
    assert not sums.carried(0.45)


def test_of_packets_they_count_from_the_one_that_carries_the_end_of_speech():
    """The last sample is number 31,999, and the codec is 104 behind; packet number 100 holds 32,000 to 32,319."""
    arrivals = tuple(0.02 * (number + 1) for number in range(500))
    sent = [ZERO + at for at in arrivals]
    sent[100] += 0.015  # it was late
    session = played(*GOOD, packing=Packing(320, 104), sent=sent)
    session.script = Script(SCRIPT.turns, (), arrivals)
    assert summed(session).final == pytest.approx([102.5 - 102.035, 107.4 - 107.02])
    assert summed(session).stopped == pytest.approx([102.4 - 102.035, 107.35 - 107.02])
    session.packing = Packing(320, 0)
    assert summed(session).final[0] == pytest.approx(102.5 - 102.0)


def test_a_packet_that_has_not_left_is_due_when_the_script_says():
    session = played(packing=Packing(320, 104), sent=[ZERO + 0.02] * 10)
    session.script = Script(SCRIPT.turns, (), tuple(0.02 * (number + 1) for number in range(500)))
    assert [late_turns(session, at, 1.0) for at in (103.0, 103.05, 108.05)] == [0, 1, 2]


def test_a_clip_that_a_server_cuts_counts_to_its_last_part():
    cut = [
        Stopped(101, "x", 0.9),
        Transcript(101.1, "x", "one"),
        Stopped(102.3, "y", 2.2),
        Transcript(102.9, "y", "two"),
    ]
    sums = summed(played(*cut, *GOOD[5:]))
    assert sums.final == pytest.approx([0.9, 0.4])
    assert sums.words.wrong == 1


def test_a_late_answer_still_belongs_to_its_own_clip():
    late = [Stopped(102.4, "a", 2.3), *GOOD[5:], Transcript(108, "a", "one two")]
    assert summed(played(*late)).final == pytest.approx([6.0, 0.4])


def test_a_server_without_times_answers_in_order():
    sums = summed(played(Transcript(102.2, "", "one two"), Transcript(107.3, "", "three four")))
    assert sums.final == pytest.approx([0.2, 0.3])


def test_what_never_comes_is_infinitely_late():
    sums = summed(played(*GOOD[:5]))
    assert (sums.turns, sums.missed) == (2, 1)
    assert not sums.carried(1e9)


@pytest.mark.parametrize(
    ("session", "counted"),
    [
        (played(*GOOD, Trouble(103, "a", "broken")), "failed"),
        (played(*GOOD, Trouble(103, "", "full")), "refused"),
        (played(*GOOD, backlog_s=1.5), "behind"),
        (played(GOOD[0], Stopped(103.4, "a", 2.3), Transcript(103.5, "a", "one two"), *GOOD[5:]), "behind"),
    ],
)
def test_what_went_wrong_is_counted_and_forbids_the_number(session, counted):
    sums = summed(session, played(*GOOD))
    assert {name: getattr(sums, name) for name in ("failed", "refused", "behind")} == {
        "failed": 0, "refused": 0, "behind": 0, counted: 1,
    }  # fmt: skip
    assert not sums.carried(60)


def test_a_late_load_generator_makes_a_run_no_result():
    punctual = played(*GOOD, lateness=[0.001] * 99 + [0.2])
    assert not summed(punctual).late
    assert summed(played(*GOOD, lateness=[0.001] * 98 + [0.2] * 2)).late


def test_added_delay_counts_from_the_frame_that_ended_the_turn():
    sent = [ZERO + 0.1 * number for number in range(1, 100)]
    # 2.3 s lies in the window that ends at 2.304 s, whose last sample comes with the frame that ends at 2.4 s.
    sums = summed(played(Stopped(102.45, "a", 2.3), sent=sent))
    assert sums.added == pytest.approx([0.05])


@pytest.mark.parametrize(
    ("heard", "now", "late"),
    [(GOOD, 120.0, 0), ([], 102.5, 0), ([], 103.5, 1), ([], 120.0, 2), (GOOD[:5], 107.5, 0), (GOOD[:5], 108.5, 1)],
)
def test_turns_are_late_once_their_limit_is_over(heard, now, late):
    assert late_turns(played(*heard), now, 1.0) == late


def test_an_answer_that_came_late_stays_late():
    assert late_turns(played(*GOOD), 120.0, 0.45) == 1


def test_only_turns_have_answers():
    assert answers(played(Transcript(101, "z", "stray", 50.0)))[0].texts == []
