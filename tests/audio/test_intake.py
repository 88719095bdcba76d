"""The intake: nothing lost, nothing doubled, whatever the chunks, the headers and the changes of format."""

import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hark.audio.formats import SAMPLE_BYTES, encode
from hark.audio.intake import Intake
from hark.errors import CallerError

FORMATS = [("pcm16", 24000), ("pcm16", 16000), ("pcm16", 44100), ("g711_ulaw", 8000), ("g711_alaw", 8000)]


def tone(rate, seconds=1.0, hertz=440):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def wav(pcm, rate=24000, channels=1):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, 2, rate, 0, "NONE", ""))
        writer.writeframes(pcm)
    return file.getvalue()


def riff(*chunks):
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def cut(data, sizes):
    at = 0
    for size in sizes:
        yield data[at : at + size]
        at += size
    yield data[at:]


def take(intake, chunks):
    return np.concatenate([intake.push(chunk) for chunk in chunks])


def whole(data, encoding="pcm16", rate=24000):
    intake = Intake(encoding, rate)
    return np.concatenate((intake.push(data), intake.tail()))


@settings(deadline=None, max_examples=60)
@given(wire=st.sampled_from(FORMATS), sizes=st.lists(st.integers(0, 999), max_size=20), header=st.booleans())
def test_chunks_change_nothing(wire, sizes, header):
    encoding, rate = wire
    sound = encode(tone(rate, 0.1), encoding)
    data = wav(sound) if header else sound
    intake = Intake(encoding, rate)
    audio = take(intake, cut(data, sizes))
    assert np.array_equal(np.concatenate((audio, intake.tail())), whole(sound, encoding, rate))
    assert intake.wire_samples == len(sound) // SAMPLE_BYTES[encoding]
    assert intake.position == len(audio) + len(intake.tail()) == intake.wire_samples * 16000 // rate


@pytest.mark.parametrize(("encoding", "rate"), FORMATS)
def test_a_tone_comes_out_as_itself_at_16_khz(encoding, rate):
    audio = whole(encode(tone(rate), encoding), encoding, rate)
    assert audio.dtype == np.float32
    assert np.max(np.abs(audio[100:-100] - tone(16000)[100:-100])) < 0.02  # G.711's own noise


def test_the_odd_byte_waits_for_its_other_half():
    intake = Intake("pcm16", 16000)
    assert intake.push(b"\x00").tolist() == []
    assert (intake.wire_samples, intake.position) == (0, 0)
    assert intake.push(b"\x40\x00").tolist() == [0.5]
    assert intake.push(b"\xc0").tolist() == [-0.5]


def test_a_wav_file_byte_by_byte_is_its_sound():
    sound = encode(tone(16000, 0.05), "pcm16")
    intake = Intake("pcm16", 16000)
    audio = take(intake, (bytes([byte]) for byte in wav(sound, 16000)))
    assert encode(audio, "pcm16") == sound
    assert intake.notice is None


def test_chunks_before_the_sound_are_skipped():
    sound = encode(tone(16000, 0.01), "pcm16")
    fmt = struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)
    intake = Intake("pcm16", 16000)
    assert encode(intake.push(riff((b"LIST", b"odd"), (b"fmt ", fmt), (b"data", sound))), "pcm16") == sound
    assert intake.notice is None


def test_an_extensible_header_is_read_by_its_true_format():
    fmt = struct.pack("<HHIIHHHHIH14x", 0xFFFE, 1, 16000, 32000, 2, 16, 22, 16, 4, 1)
    intake = Intake("pcm16", 16000)
    intake.push(riff((b"fmt ", fmt), (b"data", bytes(200))))
    assert intake.notice is None
    assert intake.wire_samples == 100


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (wav(bytes(400), rate=16000), "pcm16, channels: 1, rate: 16000"),
        (wav(bytes(400), channels=2), "pcm16, channels: 2, rate: 24000"),
        (
            riff((b"fmt ", struct.pack("<HHIIHH", 3, 1, 24000, 96000, 4, 32)), (b"data", bytes(400))),
            "format 3 with 32 bits",
        ),
        (riff((b"data", bytes(400))), "without a complete format chunk"),
    ],
)
def test_a_header_that_says_otherwise_is_noticed_and_not_obeyed(file, said):
    intake = Intake("pcm16", 24000)
    intake.push(file)
    assert said in (intake.notice or "")
    assert intake.wire_samples == 200
    assert intake.position == 200 * 16000 // 24000


@pytest.mark.parametrize("start", [b"RIFX", b"RIFF1234AVI ", b"RI12", b"RIFF1234WAVe"])
def test_what_only_begins_like_a_header_is_sound(start):
    data = start + bytes(20)
    assert encode(take(Intake("pcm16", 16000), (data[i : i + 1] for i in range(len(data)))), "pcm16") == data


def test_a_header_later_on_is_sound():
    intake = Intake("pcm16", 16000)
    intake.push(bytes(4))
    intake.push(wav(bytes(400), 16000))
    assert intake.wire_samples == 2 + (44 + 400) // 2


def test_a_header_without_end_is_sound_after_all():
    intake = Intake("pcm16", 16000)
    data = b"RIFF\xff\xff\xff\xffWAVELIST\xff\xff\xff\x7f" + bytes(70_000)
    assert encode(take(intake, cut(data, [1000] * 60)), "pcm16") == data


@pytest.mark.parametrize(("encoding", "rate"), FORMATS)
def test_a_switch_hands_out_the_rest_and_goes_on(encoding, rate):
    intake = Intake("pcm16", 24000)
    audio = [intake.push(encode(tone(24000), "pcm16")), intake.switch(encoding, rate)]
    audio += [intake.push(encode(tone(rate), encoding)), intake.tail()]
    assert sum(map(len, audio)) == intake.position == 32000
    joined = np.concatenate(audio)
    assert np.max(np.abs(joined[16100:-100] - tone(16000)[100:-100])) < 0.02
    assert intake.wire_samples == 24000 + rate


def test_a_switch_to_the_same_format_changes_nothing():
    data = encode(tone(24000), "pcm16")
    intake = Intake("pcm16", 24000)
    first = intake.push(data[:12345])
    assert len(intake.switch("pcm16", 24000)) == 0
    assert np.array_equal(np.concatenate((first, intake.push(data[12345:]), intake.tail())), whole(data))


def test_a_switch_before_any_sound_still_knows_a_header():
    intake = Intake("pcm16", 24000)
    assert len(intake.push(b"RIF")) == 0
    intake.switch("pcm16", 16000)
    intake.push(wav(bytes(400), 16000)[3:])
    assert (intake.wire_samples, intake.notice) == (200, None)


def test_many_switches_lose_no_sample_that_was_whole():
    intake, count, expected = Intake("pcm16", 24000), 0, 0
    for rate in [8000, 24000, 44100, 8001, 16000] * 5:
        count += len(intake.switch("pcm16", rate))
        count += len(intake.push(bytes(2 * 777)))
        expected += 777 * 16000 // rate
    assert count + len(intake.tail()) == intake.position == expected


def test_a_refused_switch_changes_nothing():
    intake = Intake("pcm16", 24000)
    intake.push(bytes(480))
    with pytest.raises(CallerError, match="got 96000"):
        intake.switch("pcm16", 96000)
    intake.push(bytes(480))
    assert intake.position == 320


def test_every_byte_there_is_becomes_finite_sound():
    noise = np.random.default_rng(0).bytes(9600)
    for encoding, rate in FORMATS:
        assert np.all(np.isfinite(whole(noise, encoding, rate)))
