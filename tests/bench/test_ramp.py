"""The search for the most sessions, against servers that carry a known number."""

import pytest

from hark.bench.ramp import Ramp


def search(carries, start=4, most=4096, precision=0.06):
    ramp, tried = Ramp(start, most, precision), []
    while (sessions := ramp.next()) is not None:
        tried.append(sessions)
        assert len(tried) < 40
        ramp.record(sessions, carried=sessions <= carries)
    return ramp.best, tried


@pytest.mark.parametrize("carries", [0, 1, 2, 3, 7, 16, 17, 63])
def test_small_numbers_are_found_exactly(carries):
    assert search(carries, precision=0)[0] == carries


@pytest.mark.parametrize("carries", [100, 333, 1000, 2500])
@pytest.mark.parametrize("start", [1, 4, 200])
def test_large_numbers_are_found_to_the_precision(carries, start):
    best, tried = search(carries, start)
    assert carries / 1.07 <= best <= carries
    assert best in tried


def test_it_doubles_and_then_bisects():
    assert search(11, start=2)[1] == [2, 4, 8, 16, 12, 10, 11]


def test_a_start_that_is_too_much_is_halved():
    assert search(3, start=16)[1][:3] == [16, 8, 4]
    assert search(3, start=16)[0] == 3


def test_no_more_are_tried_than_may_be():
    assert search(10_000, start=3, most=20) == (20, [3, 6, 12, 20])
