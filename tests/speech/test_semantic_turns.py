"""semantic_vad on real speech, with the real judge: words, events, and what eagerness changes."""

import numpy as np
import pytest

from listening import BECKETT, TWO_CITIES, check, check_times, configure, error_rate, hear, silence

EAGERNESS = ("low", "medium", "high")


@pytest.fixture(scope="module")
def turns_at(server, recording):
    """The turns of the long sample, by eagerness."""
    found = {}
    for eagerness in EAGERNESS:
        with server.session() as wire:
            configure(wire, "ga", detection={"type": "semantic_vad", "eagerness": eagerness})
            found[eagerness] = check(hear(wire, recording("two_cities"), sizes=(640,)), "ga")
    return found


@pytest.mark.parametrize("eagerness", EAGERNESS)
def test_no_word_is_lost(turns_at, eagerness):
    assert error_rate(TWO_CITIES, turns_at[eagerness]) <= 0.12
    check_times(turns_at[eagerness], 45_000)


def test_the_eager_take_more_pauses_for_ends(turns_at):
    counts = [len(turns_at[eagerness]) for eagerness in EAGERNESS]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_auto_is_the_default_and_both_dialects_do_the_same(server, recording, dialect, turns_at):
    with server.session(dialect) as wire:
        configure(wire, dialect, detection={"type": "semantic_vad"})
        turns = check(hear(wire, recording("two_cities"), sizes=(48_000,)), dialect)
    assert [turn.times for turn in turns] == [turn.times for turn in turns_at["medium"]]


def test_a_sentence_ends_by_itself(server, recording):
    audio = np.concatenate([recording("beckett"), silence(10)])
    with server.session() as wire:
        configure(wire, "ga", detection={"type": "semantic_vad", "eagerness": "low"})
        turns = check(hear(wire, audio), "ga")
    assert error_rate(BECKETT, turns) <= 0.25
