"""Scores in, signals out: each detector, fed by hand."""

import pytest

from hark.core.settings import TurnDetection
from hark.session.turns import (
    JUDGE_AFTER,
    JUDGED_SAMPLES,
    PATIENCE,
    Manual,
    Pause,
    Semantic,
    Server,
    Started,
    Stopped,
    detector,
)

W = 512
MS = 16


def feed(subject, *runs, first=0):
    """Feed (how many windows, probability) after one another; the signals, each with the window that gave it."""
    signals = []
    window = first
    for count, probability in runs:
        for _ in range(count):
            signal = subject.feed(window, probability)
            if signal is not None:
                signals.append((window, signal))
            window += 1
    return signals


def server(**settings):
    return Server(TurnDetection(**settings))


def test_speech_starts_with_the_third_voiced_window_and_is_padded():
    assert feed(server(), (20, 0.1), (3, 0.9)) == [(22, Started(20 * W - 300 * MS, 20 * W))]


@pytest.mark.parametrize("windows", [1, 2])
def test_a_click_starts_nothing(windows):
    assert feed(server(), (20, 0.1), (windows, 0.99), (1, 0.4), (windows, 0.99), (20, 0.1)) == []
    assert feed(Manual(), (20, 0.1), (windows, 0.99), (1, 0.3), (windows, 0.99), (20, 0.1)) == []


def test_padding_does_not_reach_before_the_first_sample():
    assert feed(server(), (2, 0.1), (3, 0.9)) == [(4, Started(0, 2 * W))]


@pytest.mark.parametrize("padding_ms", [0, 1, 300, 10_000])
def test_padding_is_exact(padding_ms):
    ((_, started),) = feed(server(prefix_padding_ms=padding_ms), (400, 0.1), (3, 0.9))
    assert started == Started(400 * W - padding_ms * MS, 400 * W)


@pytest.mark.parametrize("silence_ms", [0, 1, 200, 500, 1_000])
def test_the_end_is_where_the_silence_is_long_enough_to_the_sample(silence_ms):
    subject = server(silence_duration_ms=silence_ms)
    _, (window, stopped) = feed(subject, (10, 0.1), (30, 0.9), (100, 0.1))
    assert stopped == Stopped(40 * W + silence_ms * MS)
    assert (window + 1) * W >= stopped.end > window * W or silence_ms == 0
    if silence_ms == 0:
        assert window == 40


def test_a_shorter_silence_ends_nothing():
    assert len(feed(server(silence_duration_ms=500), (10, 0.9), (15, 0.1), (10, 0.9), (15, 0.1))) == 1


def test_between_the_two_thresholds_speech_neither_starts_nor_ends():
    assert feed(server(), (50, 0.4)) == []
    assert len(feed(server(), (3, 0.6), (50, 0.3))) == 1
    assert len(feed(server(), (3, 0.6), (50, 0.2))) == 2


@pytest.mark.parametrize(("threshold", "lower"), [(0.5, 0.25), (0.9, 0.65), (0.2, 0.01), (0.0, 0.01)])
def test_the_lower_threshold(threshold, lower):
    assert server(threshold=threshold).voiced_level == pytest.approx(lower)


def test_a_turn_may_overlap_the_silence_of_the_one_before_but_not_its_speech():
    subject = server(silence_duration_ms=200, prefix_padding_ms=5_000)
    signals = [signal for _, signal in feed(subject, (10, 0.9), (7, 0.1), (3, 0.9))]
    assert signals == [Started(0, 0), Stopped(10 * W + 3_200), Started(10 * W, 17 * W)]


def test_after_rest_nothing_before_the_floor_belongs_to_a_turn():
    subject = server(prefix_padding_ms=5_000)
    feed(subject, (10, 0.9))
    subject.rest(10 * W + 100)
    assert feed(subject, (3, 0.9), first=10) == [(12, Started(10 * W + 100, 10 * W + 100))]


def test_rest_forgets_half_an_onset():
    subject = server()
    feed(subject, (2, 0.9))
    subject.rest(2 * W)
    assert feed(subject, (2, 0.9), first=2) == []


def semantic(eagerness="auto"):
    return Semantic(TurnDetection(type="semantic_vad", eagerness=eagerness))


def pause_of(subject, probability, first=10):
    """Ten voiced windows, then silence that is judged with this probability: the samples of it that ended the turn."""
    feed(subject, (10, 0.9), first=first - 10)
    for window in range(first, first + 1_000):
        if subject.holds(window, 0.1):
            subject.judged(probability)
        signal = subject.feed(window, 0.1)
        if signal is not None:
            return signal.end - first * W
    return None


@pytest.mark.parametrize("eagerness", PATIENCE)
def test_a_pause_is_judged_once_by_what_was_heard_up_to_it(eagerness):
    subject = semantic(eagerness)
    feed(subject, (10, 0.9), (3, 0.1))
    assert subject.pause is None
    feed(subject, (1, 0.1), first=13)
    assert subject.pause == Pause(10 * W - JUDGED_SAMPLES, 10 * W)
    subject.judged(0.0)
    feed(subject, (10, 0.1), first=14)
    assert subject.pause is None
    feed(subject, (1, 0.9), (4, 0.1), first=24)
    assert subject.pause == Pause(25 * W - JUDGED_SAMPLES, 25 * W)


@pytest.mark.parametrize("eagerness", PATIENCE)
def test_nothing_is_decided_before_the_judgement(eagerness):
    subject = semantic(eagerness)
    feed(subject, (10, 0.9), (4, 0.1))
    window = 14
    while not subject.holds(window, 0.1):
        assert feed(subject, (1, 0.1), first=window) == []
        window += 1
    assert (window + 1 - 10) * W >= PATIENCE[eagerness].silence(1.0)
    assert not subject.holds(window, 0.9), "speech that goes on needs no judgement"
    subject.judged(0.3)
    assert not subject.holds(window, 0.1)


@pytest.mark.parametrize("eagerness", PATIENCE)
def test_the_surer_the_judge_the_shorter_the_silence(eagerness):
    waits = [pause_of(semantic(eagerness), probability) for probability in (1.0, 0.95, 0.8, 0.5, 0.1, 0.0)]
    assert waits == sorted(set(waits))
    assert (waits[0], waits[-1]) == (PATIENCE[eagerness].least_ms * MS, PATIENCE[eagerness].most_ms * MS)


@pytest.mark.parametrize("eagerness", PATIENCE)
def test_without_a_judgement_silence_decides(eagerness):
    assert pause_of(semantic(eagerness), None) == PATIENCE[eagerness].unjudged_ms * MS


def test_the_most_is_openai_s():
    assert {name: patience.most_ms for name, patience in PATIENCE.items()} == {
        "low": 8_000, "medium": 4_000, "auto": 4_000, "high": 2_000
    }  # fmt: skip


@pytest.mark.parametrize("probability", [0.99, 0.9, 0.5, 0.0, None])
def test_the_eager_wait_less(probability):
    waits = [pause_of(semantic(name), probability) for name in ("high", "medium", "low")]
    assert waits == sorted(set(waits))
    assert pause_of(semantic("auto"), probability) == waits[1]


def test_no_pause_ends_before_it_can_be_judged():
    assert min(patience.silence(1.0) for patience in PATIENCE.values()) > JUDGE_AFTER


@pytest.mark.parametrize("ending", [lambda it: it.rest(14 * W), lambda it: feed(it, (1, 0.9), first=14)])
def test_a_pause_that_is_over_is_not_judged_any_more(ending):
    subject = semantic()
    feed(subject, (10, 0.9), (4, 0.1))
    assert subject.pause is not None
    ending(subject)
    assert subject.pause is None


def test_one_pause_s_judgement_says_nothing_of_the_next():
    subject = semantic()
    feed(subject, (10, 0.9), (4, 0.1))
    subject.judged(1.0)
    feed(subject, (2, 0.9), first=14)
    assert pause_of(subject, 0.0, first=30) == PATIENCE["auto"].most_ms * MS


def test_manual_notices_speech_from_its_floor_on_and_ends_nothing():
    assert feed(Manual(700), (20, 0.1), (30, 0.5), (500, 0.1), (30, 0.5)) == [(22, Started(700, 20 * W))]


def test_manual_notices_the_next_speech_after_a_rest():
    subject = Manual()
    feed(subject, (3, 0.9))
    subject.rest(3 * W)
    assert feed(subject, (3, 0.9), first=3) == [(5, Started(3 * W, 3 * W))]


def test_who_carries_on_ends_what_another_began():
    subject = detector(TurnDetection(), 0)
    subject.carry_on(10 * W)
    assert feed(subject, (20, 0.1), first=10) == [(16, Stopped(10 * W + 3_200))]
    subject = detector(None, 0)
    subject.carry_on(10 * W)
    assert feed(subject, (20, 0.9), first=10) == []


def test_only_a_mode_that_ends_turns_announces_them():
    assert detector(TurnDetection(), 0).announces
    assert detector(TurnDetection(type="semantic_vad"), 0).announces
    assert not detector(None, 0).announces
