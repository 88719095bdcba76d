"""Noise reduction in a session: two signals with one count of samples, switched at any time."""

import numpy as np
import pytest

from hark.audio.denoise import Denoiser
from hark.audio.formats import SAMPLE_BYTES
from hark.audio.intake import wire_bytes
from hark.core import messages as m
from hark.core.settings import AudioFormat, NoiseReduction, SessionSettings, TurnDetection
from hark.core.work import WINDOW_SAMPLES, ScoreVoice, Transcribe, Urgency
from hark.session.frontend import FrontEnd
from hark.session.jobs import LEAD
from rehearsal import PCM_16K, Rehearsal, pcm, say

WIRE = AudioFormat("pcm16", 16_000)
NEAR, FAR = NoiseReduction("near_field"), NoiseReduction("far_field")
SPOKEN = say(640, "alpha", "bravo", "charlie", 960)


def noise(count, seed=0):
    sound = np.random.default_rng(seed).normal(0, 0.05, count)
    return np.rint(sound * 32_767).astype("<i2")


def heard(front):
    """What the recogniser is given, from the first sample on."""
    return front.buffer.slice(0, front.buffer.end)


def asked(front):
    """What the detector is given until it has caught up."""
    pieces, work_id = [], 0
    while (request := front.request(work_id, 0.0)) is not None:
        pieces.append(request.audio)
        front.give_up()
        work_id += 1
    return np.concatenate(pieces)


@pytest.mark.parametrize("noise_reduction", [NEAR, FAR, NoiseReduction("far_field", strength=0.25)])
def test_the_recogniser_hears_it_denoised_and_the_detector_as_it_came_but_softer(noise_reduction):
    wire = noise(40_000)
    front = FrontEnd(WIRE, noise_reduction)
    front.append(wire.tobytes())
    audio = wire / np.float32(32_768)
    denoiser = Denoiser(noise_reduction.type, noise_reduction.strength)
    assert np.array_equal(heard(front), denoiser.push(audio))
    windows = front.buffer.end // WINDOW_SAMPLES
    assert np.array_equal(asked(front), denoiser.for_detector(audio)[: windows * WINDOW_SAMPLES])
    assert front.position == 40_000


@pytest.mark.parametrize("setting", [None, NoiseReduction("near_field", strength=0.0)])
def test_off_and_strength_nought_change_nothing(setting):
    wire = noise(5_000)
    front = FrontEnd(WIRE, setting)
    front.append(wire.tobytes())
    assert np.array_equal(heard(front), wire / np.float32(32_768))
    assert np.array_equal(asked(front), heard(front)[: 9 * WINDOW_SAMPLES])


@pytest.mark.parametrize("chunk", [1, 37, 512, 5_000])
def test_no_sample_is_lost_or_doubled_when_the_setting_changes_mid_stream(chunk):
    """Each change is a click in the audio, and each is where it was."""
    wire = noise(30_000) // 64
    plan = {5_000: NEAR, 10_000: FAR, 12_345: None, 12_400: NEAR, 20_000: NoiseReduction("far_field", strength=0.0)}
    wire[list(plan)] = 30_000
    front, at = FrontEnd(WIRE), 0
    for stop in (*plan, len(wire)):
        for first in range(at, stop, chunk):
            front.append(wire[first : min(first + chunk, stop)].tobytes())
        front.switch(WIRE, plan.get(stop))
        at = stop
    assert front.position == front.buffer.end == len(wire)
    for signal in (heard(front), asked(front)):
        clicks = np.flatnonzero(np.abs(signal) > 0.25).tolist()
        assert clicks == list(plan)


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100, 48_000])
def test_times_hold_at_every_rate(rate):
    wire = noise(3 * rate) // 64
    wire[rate] = wire[2 * rate] = 30_000
    front = FrontEnd(AudioFormat("pcm16", rate), FAR)
    front.append(wire.tobytes())
    assert front.position == 48_000
    front.switch(WIRE, None)
    assert front.buffer.end == 48_000
    loud = np.flatnonzero(np.abs(heard(front)) > 0.1)
    assert all(min(abs(place - 16_000), abs(place - 32_000)) <= 16 for place in loud)
    assert {16_000, 32_000} <= set(loud.tolist())


def test_a_format_may_change_while_noise_is_reduced():
    front = FrontEnd(AudioFormat("pcm16", 24_000), NEAR)
    front.append(noise(24_000).tobytes())
    front.switch(AudioFormat("g711_ulaw", 8_000), NEAR)
    front.append(bytes(8_000))
    front.switch(WIRE, None)
    assert front.position == front.buffer.end == 32_000


def test_less_is_taken_in_at_once_as_it_costs_more():
    plain, reducing = FrontEnd(WIRE), FrontEnd(WIRE, FAR)
    for front in (plain, reducing):
        front.append(bytes(2 * 16_000 * 5))
    assert not plain.full
    assert reducing.full


@pytest.mark.parametrize("noise_reduction", [NEAR, FAR])
def test_turns_start_and_stop_where_they_did(noise_reduction):
    """A loud talker in silence: no time moves."""
    stages = [Rehearsal(SessionSettings(noise_reduction=setting, **PCM_16K)) for setting in (None, noise_reduction)]
    plain, reduced = [
        [event for event in stage.hear(SPOKEN).events if type(event).__name__ in ("SpeechStarted", "SpeechStopped")]
        for stage in stages
    ]
    assert len(plain) == 2
    assert reduced == plain


def test_a_change_in_mid_turn_keeps_the_turn():
    stage = Rehearsal(SessionSettings(**PCM_16K))
    half = len(pcm(SPOKEN)) // 4
    stage.hear(SPOKEN[:half]).set(noise_reduction=FAR)
    stage.hear(SPOKEN[half:]).set(noise_reduction=None)
    assert [work for work in stage.asked if isinstance(work, ScoreVoice)]
    kinds = [type(event).__name__ for event in stage.events]
    assert kinds.count("SpeechStarted") == kinds.count("SpeechStopped") == kinds.count("TranscriptCompleted") == 1


@pytest.mark.parametrize("wire", [WIRE, AudioFormat("pcm16", 24_000), AudioFormat("g711_ulaw", 8_000)])
@pytest.mark.parametrize("noise_reduction", [None, NEAR, FAR])
@pytest.mark.parametrize("turn_detection", [None, TurnDetection()])
def test_a_commit_in_mid_word_holds_the_audio_to_its_last_sample(wire, noise_reduction, turn_detection):
    """What resampler and denoiser hold back is in the item and is heard, whatever comes next and however late."""
    settings = SessionSettings(format=wire, noise_reduction=noise_reduction, turn_detection=turn_detection)
    stage = Rehearsal(settings)
    spoken = wire_bytes(say(640, "alpha", "bravo", "charlie"), wire.encoding, wire.rate)
    stage.give(m.AppendAudio(audio=spoken)).score_all().give(m.CommitAudio())
    stage.give(m.AppendAudio(audio=bytes(8_000))).answer_all()
    work = next(work for work in stage.asked if isinstance(work, Transcribe) and work.urgency is not Urgency.GROWING)
    assert len(work.audio) == (1_240 - 640) * 16 + LEAD
    assert np.abs(work.audio[-64:-16]).min() > 0.01, "the square wave of the word, and no silence in its place"
    [done] = stage.said(m.TranscriptCompleted)
    assert done.audio_end_ms == 1_240
    stage.give(m.RetrieveItem(item_id=done.item_id))
    [item] = stage.said(m.ItemRetrieved)
    expected_ms = done.audio_end_ms - done.audio_start_ms
    assert len(item.audio) == expected_ms * wire.rate * SAMPLE_BYTES[wire.encoding] // 1_000


def test_a_commit_of_silence_holds_all_of_it_in_every_mode():
    for mode in (None, TurnDetection(), TurnDetection(type="semantic_vad")):
        stage = Rehearsal(SessionSettings(turn_detection=mode, **PCM_16K)).hear(say(5_000)).give(m.CommitAudio())
        [committed] = stage.said(m.AudioCommitted)
        stage.answer_all().give(m.RetrieveItem(item_id=committed.item_id))
        [item] = stage.said(m.ItemRetrieved)
        assert len(item.audio) == 2 * 5 * 16_000
