"""The resampler: exact counts, the same bits for any chunks, no delay, and the quality its file promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hark.audio.resample import Resampler
from hark.errors import CallerError

USUAL_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
ODD_RATES = (8001, 15999, 16001, 47999)


def noise(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, count).astype(np.float32)


def tone(hertz, rate, seconds=1):
    return np.sin(2 * np.pi * hertz * np.arange(rate * seconds) / rate).astype(np.float32)


def whole(audio, rate_in, rate_out=16000):
    resampler = Resampler(rate_in, rate_out)
    return np.concatenate((resampler.push(audio), resampler.tail()))


def decibels(ratio):
    return 20 * np.log10(ratio)


def level(audio):
    """RMS of the middle: the edges have silence next to them."""
    return np.sqrt(np.mean(audio[400:-400].astype(float) ** 2))


@settings(deadline=None, max_examples=60)
@given(
    rate=st.sampled_from(USUAL_RATES + ODD_RATES) | st.integers(8000, 48000),
    rate_out=st.sampled_from((16000, 24000)),
    sizes=st.lists(st.integers(0, 700), max_size=25),
    seed=st.integers(0, 99),
)
def test_output_is_the_same_to_the_bit_for_any_chunks(rate, rate_out, sizes, seed):
    audio = noise(sum(sizes), seed)
    resampler = Resampler(rate, rate_out)
    pieces, taken = [], 0
    for size in sizes:
        pieces.append(resampler.push(audio[taken : taken + size]))
        taken += size
        given_out = sum(map(len, pieces)) + len(resampler.tail())
        assert given_out == taken * rate_out // rate
    assert np.array_equal(np.concatenate([*pieces, resampler.tail()]), whole(audio, rate, rate_out))


@pytest.mark.parametrize("rate", USUAL_RATES + ODD_RATES)
def test_single_samples_and_long_chunks_give_the_same_bits(rate):
    audio = noise(3000)
    one_by_one = Resampler(rate)
    pieces = [one_by_one.push(audio[i : i + 1]) for i in range(len(audio))]
    assert np.array_equal(np.concatenate(pieces), Resampler(rate).push(audio))


@pytest.mark.parametrize("rate", USUAL_RATES + ODD_RATES)
def test_tail_changes_nothing_and_is_what_silence_would_bring(rate):
    audio = noise(2000)
    resampler, other = Resampler(rate), Resampler(rate)
    first = resampler.push(audio)
    tail = resampler.tail()
    assert np.array_equal(resampler.tail(), tail)
    assert np.array_equal(first, other.push(audio))
    assert np.array_equal(tail, other.push(np.zeros(200, np.float32))[: len(tail)])
    assert np.array_equal(resampler.push(audio), Resampler(rate).push(np.concatenate((audio, audio)))[len(first) :])


@pytest.mark.parametrize("rate", USUAL_RATES + ODD_RATES)
def test_no_more_than_a_millisecond_is_held_back_and_two_from_8_khz(rate):
    resampler = Resampler(rate)
    for _ in range(20):
        resampler.push(noise(rate // 50))
        assert len(resampler.tail()) <= 16 * max(16000 / rate, 1) + 1


@pytest.mark.parametrize("rate", [44100, 47999])
def test_nothing_drifts(rate):
    second, resampler, count = tone(440, rate), Resampler(rate), 0
    for _ in range(200):
        count += len(last := resampler.push(second))
    assert count + len(resampler.tail()) == 200 * 16000
    held_back = 200 * 16000 - count
    expected = np.roll(tone(440, 16000), held_back)[:16000]
    assert np.max(np.abs(last[-8000:] - expected[-8000:])) < 2e-3


@pytest.mark.parametrize("rate", USUAL_RATES + ODD_RATES)
def test_there_is_no_delay(rate):
    resampled = whole(tone(440, rate), rate)
    expected = tone(440, 16000)
    assert np.max(np.abs(resampled[400:-400] - expected[400:-400])) < 2e-3


def test_a_click_stays_where_it_is():
    click = np.zeros(24000, np.float32)
    click[12000] = 1
    resampled = whole(click, 24000)
    assert np.argmax(resampled) == 8000
    assert np.allclose(resampled[7900:8000], resampled[8001:8101][::-1], atol=1e-6)


@pytest.mark.parametrize("rate", USUAL_RATES + ODD_RATES)
@pytest.mark.parametrize("part", [0.01, 0.2, 0.5, 0.8, 0.875])
def test_the_passband_is_flat(rate, part):
    hertz = part * min(rate, 16000) / 2
    assert abs(decibels(level(whole(tone(hertz, rate), rate)) * np.sqrt(2))) < 0.05


@pytest.mark.parametrize("hertz", [9000, 9300, 10000, 11000, 11900])
def test_what_is_above_the_band_does_not_fold_back(hertz):
    assert decibels(level(whole(tone(hertz, 24000), 24000))) < -60


@pytest.mark.parametrize("rate", [44100, 48000, 47999])
def test_a_sweep_above_the_band_vanishes(rate):
    times = np.arange(rate) / rate
    sweep = np.sin(2 * np.pi * (9000 * times + 5000 * times**2)).astype(np.float32)  # 9 to 19 kHz
    assert decibels(level(whole(sweep, rate))) < -60


def test_8_khz_leaves_no_image():
    spectrum = np.abs(np.fft.rfft(whole(tone(3000, 8000), 8000) * np.hanning(16000)))
    assert decibels(spectrum[4600:].max() / spectrum.max()) < -60


def test_a_steady_level_is_kept_exactly():
    assert np.allclose(whole(np.full(24000, 0.5, np.float32), 24000)[100:-100], 0.5, atol=1e-6)


def test_equal_rates_pass_through():
    audio = noise(1000)
    resampler = Resampler(16000)
    assert np.array_equal(resampler.push(audio), audio)
    assert len(resampler.tail()) == 0


@pytest.mark.parametrize("rate", [0, -16000, 7999, 48001])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(CallerError, match=rf"from 8000 to 48000; got {rate}"):
        Resampler(rate)
