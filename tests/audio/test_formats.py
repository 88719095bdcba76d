"""Wire formats against FFmpeg's own G.711 codecs, code by code and sample by sample."""

import av
import numpy as np
import pytest

from hark.audio.formats import SAMPLE_BYTES, decode, encode

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = np.arange(-32768, 32768).astype("<i2")
FFMPEG_CODECS = {"g711_ulaw": "pcm_mulaw", "g711_alaw": "pcm_alaw"}
G711 = pytest.mark.parametrize("encoding", FFMPEG_CODECS)


def ffmpeg_decode(data, encoding):
    codec = av.CodecContext.create(FFMPEG_CODECS[encoding], "r")
    codec.sample_rate, codec.layout = 8000, "mono"
    return np.concatenate([frame.to_ndarray()[0] for frame in codec.decode(av.Packet(data))])


def ffmpeg_encode(samples, encoding):
    codec = av.CodecContext.create(FFMPEG_CODECS[encoding], "w")
    codec.sample_rate, codec.layout, codec.format = 8000, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
    frame.sample_rate = 8000
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


@pytest.mark.parametrize("encoding", SAMPLE_BYTES)
def test_decoded_is_finite_float32_within_full_scale(encoding):
    samples = decode(EVERY_CODE, encoding)
    assert samples.dtype == np.float32
    assert len(samples) == 256 // SAMPLE_BYTES[encoding]
    assert np.all(np.abs(samples) <= 1)


def test_every_pcm16_sample_comes_back_as_itself():
    samples = decode(EVERY_SAMPLE.tobytes(), "pcm16")
    assert (samples.min(), samples.max()) == (-1.0, 32767 / 32768)
    assert encode(samples, "pcm16") == EVERY_SAMPLE.tobytes()


def test_pcm16_is_little_endian():
    assert decode(b"\x00\x40\x00\xc0", "pcm16").tolist() == [0.5, -0.5]


@G711
def test_every_g711_code_comes_back_as_itself(encoding):
    assert encode(decode(EVERY_CODE, encoding), encoding) == EVERY_CODE


@G711
def test_g711_decodes_as_ffmpeg_does(encoding):
    assert np.array_equal(decode(EVERY_CODE, encoding) * 32768, ffmpeg_decode(EVERY_CODE, encoding))


@G711
def test_g711_encodes_as_ffmpeg_does(encoding):
    inverted = {"g711_ulaw": 0x7F, "g711_alaw": 0x55}[encoding]
    ours = np.frombuffer(encode(decode(EVERY_SAMPLE.tobytes(), "pcm16"), encoding), np.uint8)
    theirs = np.frombuffer(ffmpeg_encode(EVERY_SAMPLE, encoding), np.uint8)
    # FFmpeg picks the nearest level; where two segments meet, G.711's own decision value is not half-way.
    assert np.mean(ours != theirs) < 0.02
    assert np.max(np.abs((ours & 0x7F ^ inverted).astype(int) - (theirs & 0x7F ^ inverted))) <= 1
    assert np.array_equal(ours & 0x80, theirs & 0x80)


@pytest.mark.parametrize(
    ("encoding", "edge"),
    [("g711_ulaw", 4 * 4063), ("g711_ulaw", 4 * 31), ("g711_alaw", 8 * 2048), ("g711_alaw", 8 * 64)],
)
def test_segments_meet_where_the_tables_of_g711_say(encoding, edge):
    below, at = decode(encode(np.array([edge - 1, edge], np.float32) / 32768, encoding), encoding) * 32768
    assert below < edge < at
    assert at - edge == 2 * (edge - below)


@pytest.mark.parametrize("encoding", SAMPLE_BYTES)
def test_what_is_too_loud_is_clipped(encoding):
    too_loud = np.array([1.0, 7.5, -1.0, -7.5], np.float32)
    loudest = decode(encode(too_loud, encoding), encoding)
    assert np.all(np.abs(loudest) > 0.97)
    assert np.sign(loudest).tolist() == [1, 1, -1, -1]


@pytest.mark.parametrize("encoding", SAMPLE_BYTES)
def test_nothing_is_nothing(encoding):
    assert len(decode(b"", encoding)) == 0
    assert encode(np.zeros(0, np.float32), encoding) == b""
