"""Noise reduction: sample for sample in place, the same bits for any chunks, less noise, and the speech as it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hark.audio.denoise import RATE, Denoiser

KINDS = ("near_field", "far_field")
HELD_BACK = 511


def noise(count, seed=0, level=0.02):
    return np.random.default_rng(seed).normal(0, level, count).astype(np.float32)


def voice(seconds, hertz=140, level=0.2):
    """What speech is to a suppressor: a buzz with harmonics up to 4 kHz, 0.4 s on and 0.3 s off."""
    instants = np.arange(int(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * hertz * k * instants) / k for k in range(1, 4000 // hertz))
    spoken = instants % 0.7 < 0.4
    return (level * buzz * spoken / np.sqrt(np.mean(buzz**2))).astype(np.float32), spoken


def denoised(audio, kind="far_field", strength=1.0):
    denoiser = Denoiser(kind, strength)
    return np.concatenate((denoiser.push(audio), denoiser.flush()))


def decibels(audio, reference):
    """How far the power of `audio` lies above that of `reference`."""
    return 10 * np.log10(np.mean(audio.astype(float) ** 2) / np.mean(reference.astype(float) ** 2))


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    strength=st.floats(0, 1),
    sizes=st.lists(st.integers(0, 1500), max_size=15),
    seed=st.integers(0, 99),
)
def test_output_is_the_same_to_the_bit_for_any_chunks_and_as_long_as_the_input(kind, strength, sizes, seed):
    audio = noise(sum(sizes), seed)
    denoiser = Denoiser(kind, strength)
    pieces, taken = [], 0
    for size in sizes:
        pieces.append(denoiser.push(audio[taken : taken + size]))
        taken += size
        assert 0 <= taken - sum(map(len, pieces)) <= HELD_BACK
    pieces.append(denoiser.flush())
    assert sum(map(len, pieces)) == taken
    assert np.array_equal(np.concatenate(pieces), denoised(audio, kind, strength))


@pytest.mark.parametrize("pushed", [0, 1, 255, 256, 3_000, 3_333])
@pytest.mark.parametrize("more", [0, 1, 600])
def test_the_tail_is_what_a_flush_would_give_and_changes_nothing(pushed, more):
    audio = noise(8_000)
    denoiser, other = Denoiser("far_field", 1.0), Denoiser("far_field", 1.0)
    before = denoiser.push(audio[:pushed])
    tail = denoiser.tail(audio[pushed : pushed + more])
    assert np.array_equal(np.concatenate((before, tail)), denoised(audio[: pushed + more]))
    other.push(audio[:pushed])
    assert np.array_equal(denoiser.push(audio[pushed:]), other.push(audio[pushed:]))


def test_what_is_held_back_depends_on_the_count_alone():
    one_by_one, at_once = Denoiser("near_field", 1.0), Denoiser("near_field", 1.0)
    audio = noise(3000)
    assert sum(len(one_by_one.push(audio[i : i + 1])) for i in range(3000)) == len(at_once.push(audio)) == 2560


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0, 1, 255, 256, 511, 512, 5000, 9_999])
def test_a_click_stays_at_its_sample(kind, at):
    audio = noise(10_000, level=1e-4)
    audio[at] = 0.8
    assert np.argmax(np.abs(denoised(audio, kind))) == at


@pytest.mark.parametrize("kind", KINDS)
def test_speech_keeps_its_place_and_its_level(kind):
    clean, spoken = voice(7)
    heard = denoised(clean + noise(len(clean), level=0.01), kind)
    later = spoken & (np.arange(len(clean)) > 2 * RATE)
    assert abs(decibels(heard[later], clean[later])) < 0.5
    lags = [np.dot(heard[100:-100], np.roll(clean, lag)[100:-100]) for lag in range(-40, 41)]
    assert np.argmax(lags) == 40


@pytest.mark.parametrize(("kind", "least", "most"), [("near_field", 5, 9.1), ("far_field", 6, 18.1)])
def test_steady_noise_is_turned_down(kind, least, most):
    """By all of the depth where nobody has spoken for a while, less a little that fluctuates."""
    hiss = noise(6 * RATE)
    hum = 0.05 * np.sin(2 * np.pi * 50 * np.arange(6 * RATE) / RATE).astype(np.float32)
    rumble = np.convolve(noise(6 * RATE, 1, 0.1), np.full(40, 0.1), "same").astype(np.float32)
    for audio in (hiss, hum + 0.1 * hiss, rumble):
        later = slice(3 * RATE, None)
        assert least < -decibels(denoised(audio, kind)[later], audio[later]) < most


@pytest.mark.parametrize("kind", KINDS)
def test_speech_stands_out_more_than_before(kind):
    clean, spoken = voice(8)
    audio = clean + noise(len(clean), level=0.05)
    heard = denoised(audio, kind)
    later = np.arange(len(clean)) > 2 * RATE
    speech, pause = spoken & later, ~spoken & later
    gain = decibels(heard[speech], heard[pause]) - decibels(audio[speech], audio[pause])
    assert gain > 2


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_hardly_noisy_is_left_alone(kind):
    """Here speech stands 40 dB above the noise."""
    speech, spoken = voice(6.0)
    audio = speech + noise(len(speech), level=0.002)
    heard = denoised(audio, kind)
    for part in (spoken, ~spoken):
        late = np.flatnonzero(part)[2 * RATE :]
        assert decibels(heard[late], audio[late]) == pytest.approx(0, abs=0.1)


def test_far_field_takes_out_more_than_near_field_and_half_strength_less():
    audio = noise(6 * RATE)
    left = [
        decibels(denoised(audio, kind, strength)[-RATE:], audio[-RATE:])
        for kind, strength in (("far_field", 1.0), ("near_field", 1.0), ("near_field", 0.5))
    ]
    assert left == sorted(left)
    assert left[2] == pytest.approx(-4.5, abs=0.5)


def test_strength_nought_gives_back_the_input():
    audio = noise(5000)
    assert np.allclose(denoised(audio, strength=0.0), audio, atol=1e-6)


def test_silence_stays_silence():
    assert not denoised(np.zeros(20_000, np.float32)).any()


def test_noise_after_silence_and_noise_that_becomes_louder_are_learnt():
    audio = np.concatenate((np.zeros(RATE, np.float32), noise(9 * RATE), noise(9 * RATE, level=0.08)))
    heard = denoised(audio)
    for until in (10 * RATE, 19 * RATE):
        last = slice(until - RATE, until)
        assert decibels(heard[last], audio[last]) < -8


def test_full_scale_is_not_exceeded():
    square = np.where(np.arange(2 * RATE) % 160 < 80, 1, -1).astype(np.float32)
    heard = denoised(np.clip(square + noise(len(square)), -1, 1))
    assert np.abs(heard).max() <= 1
    assert np.isfinite(heard).all()


def test_a_new_setting_holds_from_then_on_and_what_was_learnt_stays():
    audio = noise(6 * RATE)
    denoiser = Denoiser("near_field", 0.2)
    before = denoiser.push(audio[: 4 * RATE])
    denoiser.set("far_field", 1.0)
    heard = np.concatenate((before, denoiser.push(audio[4 * RATE :]), denoiser.flush()))
    assert len(heard) == len(audio)
    assert decibels(heard[3 * RATE : 4 * RATE - 512], audio[3 * RATE : 4 * RATE - 512]) > -2
    after = slice(4 * RATE + 512, 5 * RATE)
    assert decibels(heard[after], audio[after]) < -8


@pytest.mark.parametrize(("kind", "softer"), [("near_field", 9), ("far_field", 6)])
def test_the_detector_hears_all_of_it_more_softly_at_once(kind, softer):
    audio = noise(700)
    assert decibels(Denoiser(kind, 1.0).for_detector(audio), audio) == pytest.approx(-softer, abs=0.01)
    assert np.array_equal(Denoiser(kind, 0.0).for_detector(audio), audio)
