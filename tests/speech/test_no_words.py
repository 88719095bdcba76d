"""What is no speech gives no words, though the model alone prints some for it (contract H.14)."""

import numpy as np
import pytest

from listening import COMPLETED, STARTED, configure, hear, send, server_vad, turns_of

RATE = 16_000
SECONDS = 5
NOTES = (262, 330, 392, 523, 392, 330, 294, 349, 440, 349)  # Hz, one after another


def sounds():
    """Name -> mono float32 with a peak of 1; the same in every run."""
    rng, n = np.random.default_rng(7), SECONDS * RATE
    t = np.arange(n) / RATE
    white = rng.normal(size=n)
    spectrum = np.fft.rfft(white)
    note = np.arange(n // len(NOTES)) / RATE
    clicks = np.zeros(n)
    clicks[rng.integers(0, n, 30)] = 1
    made = {
        "white noise": white,
        "pink noise": np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.size), 1)), n),
        "breathing noise": white * (1 + np.sin(2 * np.pi * 0.5 * t)),
        "hum": sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 8)),
        "clicks": clicks,
        "beeps": np.sin(2 * np.pi * 1000 * t) * (t % 1 < 0.3),
        "melody": np.concatenate(
            [sum(np.sin(2 * np.pi * f * k * note) / k for k in range(1, 6)) * np.exp(-3 * note) for f in NOTES]
        ),
        "chord": sum(np.sin(2 * np.pi * f * t + 0.3 * np.sin(2 * np.pi * 5 * t)) for f in (220, 277, 330, 440)),
    }
    return {name: (sound / np.abs(sound).max()).astype(np.float32) for name, sound in made.items()}


@pytest.fixture(scope="module", params=["silence", *sounds()])
def sound(request):
    return sounds().get(request.param, np.zeros(SECONDS * RATE, np.float32))


@pytest.mark.parametrize("level", [0.5, 0.02])
@pytest.mark.parametrize("detection", [server_vad(200), {"type": "semantic_vad"}], ids=lambda it: it["type"])
def test_turn_detection_finds_no_words(server, sound, level, detection):
    with server.session() as wire:
        configure(wire, "ga", detection=detection)
        turns = turns_of(hear(wire, level * sound))
    assert "".join(turn.text for turn in turns) == ""


@pytest.mark.parametrize("kind", ["near_field", "far_field"])
def test_nor_does_it_where_noise_is_reduced(server, sound, kind):
    with server.session() as wire:
        configure(wire, "ga", detection=server_vad(200), noise_reduction={"type": kind})
        turns = turns_of(hear(wire, 0.5 * sound))
    assert "".join(turn.text for turn in turns) == ""


@pytest.mark.parametrize("kind", ["near_field", "far_field"])
def test_words_in_noise_are_heard_where_it_is_reduced(server, recording, kind):
    speech = recording("beckett")[: 6 * RATE]
    hiss = np.random.default_rng(1).normal(0, 0.1 * np.sqrt(np.mean(speech**2)), len(speech))
    with server.session() as wire:
        configure(wire, "ga", detection=server_vad(500), noise_reduction={"type": kind})
        turns = turns_of(hear(wire, (speech + hiss).astype(np.float32)))
    assert turns[0].text.startswith("Ever tried")


def test_a_commit_gives_an_empty_transcript(server, sound, dialect):
    with server.session(dialect) as wire:
        configure(wire, dialect, detection=None, transcription={"model": "whisper-1"})
        send(wire, 0.3 * sound)
        wire.send("input_audio_buffer.commit")
        (turn,) = turns_of(wire.until(COMPLETED))
    assert (turn.text, turn.deltas, turn.times) == ("", [], (0, SECONDS * 1_000))
    assert turn.events[-1]["usage"] == {"type": "duration", "seconds": SECONDS}


def test_words_after_noise_are_heard(server, recording):
    pause = np.zeros(RATE // 2, np.float32)
    noise = 0.05 * sounds()["pink noise"]
    with server.session() as wire:
        configure(wire, "ga", detection=server_vad(500))
        turns = turns_of(hear(wire, np.concatenate([noise, pause, recording("beckett")[: 3 * RATE]])))
    assert turns[0].kinds[0] == STARTED
    assert turns[0].times[0] >= SECONDS * 1_000
    assert turns[0].text.startswith("Ever tried")
