"""Audio by sample number: a number names the same sample for ever."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hark.core.work import to_ms, to_samples
from hark.session.buffer import AudioBuffer


def ramp(first, last):
    return np.arange(first, last, dtype=np.float32)


def filled(*lengths):
    buffer = AudioBuffer()
    for length in lengths:
        buffer.append(ramp(buffer.end, buffer.end + length))
    return buffer


def test_a_slice_is_what_was_appended():
    buffer = filled(1_000, 500)
    assert (buffer.start, buffer.end) == (0, 1_500)
    assert np.array_equal(buffer.slice(990, 1_010), ramp(990, 1_010))


def test_a_slice_is_a_copy():
    buffer = filled(100)
    buffer.slice(0, 100)[:] = -1
    assert np.array_equal(buffer.slice(0, 100), ramp(0, 100))


@pytest.mark.parametrize(("first", "last"), [(-5, 3), (90, 200), (100, 120), (50, 40), (0, 0)])
def test_a_slice_is_cut_to_what_is_held(first, last):
    buffer = filled(100)
    assert np.array_equal(buffer.slice(first, last), ramp(max(first, 0), min(last, 100)))


def test_what_was_dropped_is_gone():
    buffer = filled(100)
    buffer.drop_before(60)
    assert np.array_equal(buffer.slice(0, 100), ramp(60, 100))
    buffer.drop_before(10)
    assert buffer.start == 60
    buffer.drop_before(1_000)
    assert (buffer.start, buffer.end) == (100, 100)


@given(st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 120_000)), max_size=20))
def test_numbers_stay_whatever_is_appended_and_dropped(steps):
    buffer = AudioBuffer()
    for length, kept in steps:
        buffer.append(ramp(buffer.end, buffer.end + length))
        buffer.drop_before(buffer.end - kept)
        assert np.array_equal(buffer.slice(0, buffer.end), ramp(buffer.start, buffer.end))


def test_memory_follows_what_is_kept():
    buffer = AudioBuffer()
    for _ in range(2_000):
        buffer.append(np.zeros(1_600, np.float32))
        buffer.drop_before(buffer.end - 16_000)
    assert buffer.end == 3_200_000
    assert len(buffer._store) <= 4 * 16_000


def test_milliseconds_and_samples():
    assert (to_ms(16_000), to_ms(15), to_samples(1_000), to_samples(1)) == (1_000, 0, 16_000, 16)
