"""What the log says of audio in another format than the session's, and that it says nothing of audio that is right."""

import numpy as np
import pytest

from hark.audio.formats import encode
from hark.audio.intake import Intake
from hark.audio.mistakes import LOOK_BYTES, LOOKS, Listener

RATE = 24_000


def voice(seconds=3.0, rate=RATE, level=0.3, pause=0.5):
    """Something like speech: a gliding buzz under a slow envelope, after a pause with a little hiss."""
    time = np.arange(int(seconds * rate)) / rate
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * time)) / rate
    buzz = sum(np.sin(k * pitch) / k**1.2 for k in range(1, 20))
    envelope = np.clip(np.sin(2 * np.pi * 2 * time), 0, 1) + 0.02
    hiss = np.random.default_rng(3).normal(0, 0.001, len(time) + int(pause * rate))
    sound = np.concatenate((np.zeros(int(pause * rate)), level * envelope * buzz)) + hiss
    return np.clip(sound, -1, 1).astype(np.float32)


def bytes_of(samples):
    return np.frombuffer(encode(samples, "pcm16"), "<i2")


def said(data, encoding="pcm16", chunk=4_801):
    """Every word of the listener about `data`, sent in chunks."""
    listener = Listener(encoding)
    findings = (listener.look(data[at : at + chunk]) for at in range(0, len(data), chunk))
    return [finding for finding in findings if finding]


WRONG = {
    "high byte first": (bytes_of(voice()).astype(">i2").tobytes(), "pcm16", "big-endian"),
    "unsigned bytes": (((bytes_of(voice()) >> 8) + 128).astype(np.uint8).tobytes(), "pcm16", "unsigned 8-bit"),
    "floats": (voice().astype("<f4").tobytes(), "pcm16", "32-bit floats"),
    "mu-law": (encode(voice(rate=8_000, seconds=6), "g711_ulaw"), "pcm16", "g711_ulaw"),
    "A-law": (encode(voice(rate=8_000, seconds=6), "g711_alaw"), "pcm16", "g711_alaw"),
    "pcm16 as mu-law": (encode(voice(), "pcm16"), "g711_ulaw", "read as pcm16 it is sound"),
    "pcm16 as A-law": (encode(voice(), "pcm16"), "g711_alaw", "read as pcm16 it is sound"),
    "two channels": (np.repeat(bytes_of(voice()), 2).tobytes(), "pcm16", "two channels"),
    "Ogg": (b"OggS\0\2" + bytes(90_000), "pcm16", "Ogg file"),
    "WebM": (b"\x1aE\xdf\xa3" + bytes(90_000), "pcm16", "WebM file"),
    "FLAC": (b"fLaC\0\0\0\x22" + bytes(90_000), "pcm16", "FLAC file"),
    "MP3": (b"ID3\4\0\0\0\0" + bytes(90_000), "pcm16", "MP3 file"),
    "MP4": (b"\0\0\0\x20ftypM4A " + bytes(90_000), "pcm16", "MP4 or M4A"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_named_once_with_what_was_expected(name):
    data, encoding, expected = WRONG[name]
    findings = said(data, encoding)
    assert len(findings) == 1
    assert expected in findings[0]
    assert "Expected" in findings[0]


@pytest.mark.parametrize("chunk", [1, 7, 4_096, 1 << 20])
def test_chunks_change_nothing(chunk):
    data, encoding, _ = WRONG["high byte first"]
    assert said(data[: 1 << 16], encoding, chunk) == said(data[: 1 << 16], encoding, 999)


@pytest.mark.parametrize("encoding", ["pcm16", "g711_ulaw", "g711_alaw"])
@pytest.mark.parametrize("level", [0.01, 0.1, 0.3])
def test_nothing_is_said_of_sound_as_declared(encoding, level):
    assert said(encode(voice(8.0, 8_000, level), encoding), encoding) == []


def test_nothing_is_said_of_noise_silence_and_clipped_sound():
    draw = np.random.default_rng(5)
    for samples in (draw.normal(0, 0.1, 10 * RATE), np.zeros(10 * RATE), voice(8.0) * 20):
        assert said(encode(np.clip(samples, -1, 1).astype(np.float32), "pcm16")) == []


def test_it_stops_looking():
    listener = Listener("pcm16")
    right = encode(voice(), "pcm16")
    for _ in range(LOOKS):
        for _ in range(LOOK_BYTES["pcm16"] // len(right) + 2):
            assert listener.look(right) is None
    assert listener.done
    assert listener.look(WRONG["two channels"][0]) is None


def test_the_intake_hands_it_to_the_log_and_keeps_the_audio():
    data, _, expected = WRONG["high byte first"]
    intake = Intake("pcm16", RATE)
    taken = intake.push(data)
    assert expected in intake.notice
    assert len(taken) + len(intake.tail()) == intake.position == len(data) // 2 * 2 // 3


def test_a_new_format_is_looked_at_anew():
    intake = Intake("pcm16", RATE)
    intake.push(encode(voice(), "pcm16"))
    intake.switch("g711_ulaw", 8_000)
    intake.push(encode(voice(), "pcm16"))
    assert "Read as g711_ulaw" in intake.notice
