"""Files of the containers people send, made here by FFmpeg, and what is no audio file."""

import io
import struct
import wave

import av
import numpy as np
import pytest

from hark.audio.files import probe, read_audio, stream_audio
from hark.errors import CallerError

CHANNELS = {"mono": 1, "stereo": 2, "5.1": 6}
# Codecs pad the ends: by a frame or two at the most.
KINDS = [
    ("a.wav", "pcm_s16le", 44100, "stereo", 0.0001),
    ("a.flac", "flac", 44100, "stereo", 0.0001),
    ("a.mp3", "libmp3lame", 44100, "stereo", 0.06),
    ("a.ogg", "libopus", 48000, "stereo", 0.06),
    ("a.webm", "libopus", 48000, "mono", 0.06),
    ("a.m4a", "aac", 44100, "stereo", 0.06),
    ("law.wav", "pcm_mulaw", 8000, "mono", 0.0001),
    ("six.wav", "pcm_s24le", 48000, "5.1", 0.0001),
]


def write(path, codec, rate, layout, seconds=2.0, level=0.5):
    """A 440 Hz tone, the same in each channel."""
    tone = level * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    frame = av.AudioFrame.from_ndarray(np.tile(tone, (CHANNELS[layout], 1)).astype(np.float32), "fltp", layout)
    frame.sample_rate = rate
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        context = stream.codec_context
        fit = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or 0)
        for piece in [*fit.resample(frame), *fit.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def wav(samples, rate=16000):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, rate, 0, "NONE", ""))
        writer.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def pitch(audio, rate=16000):
    return np.argmax(np.abs(np.fft.rfft(audio * np.hanning(len(audio))))) * rate / len(audio)


@pytest.mark.parametrize(("name", "codec", "rate", "layout", "slack"), KINDS)
def test_containers_and_codecs(tmp_path, name, codec, rate, layout, slack):
    path = write(tmp_path / name, codec, rate, layout)
    audio = read_audio(path)
    assert audio.dtype == np.float32
    assert audio.ndim == 1
    assert abs(len(audio) / 16000 - 2) <= slack
    assert abs((probe(path) or 0) - 2) <= slack
    assert abs(pitch(audio) - 440) < 1
    assert 0.45 < np.max(np.abs(audio[4000:-4000])) < 0.55  # channels are averaged, not added


def test_another_rate(tmp_path):
    audio = read_audio(write(tmp_path / "a.wav", "pcm_s16le", 44100, "stereo"), rate=24000)
    assert len(audio) == 48000
    assert abs(pitch(audio, 24000) - 440) < 1


def test_16_khz_mono_pcm_is_untouched():
    samples = np.random.default_rng(0).integers(-32768, 32768, 40000)
    assert np.array_equal(read_audio(io.BytesIO(wav(samples))) * 32768, samples)


def test_a_loud_stereo_file_stays_within_full_scale(tmp_path):
    audio = read_audio(write(tmp_path / "a.wav", "pcm_s16le", 16000, "stereo", level=1.0))
    assert 0.99 < np.max(np.abs(audio)) <= 1.0


def test_there_is_no_delay():
    click = np.zeros(44100)
    click[22050] = 30000
    assert np.argmax(read_audio(io.BytesIO(wav(click, 44100)))) == 8000


def test_pieces_are_about_a_second_and_join_to_the_whole(tmp_path):
    path = write(tmp_path / "a.mp3", "libmp3lame", 44100, "stereo", seconds=5)
    pieces = list(stream_audio(path))
    assert len(pieces) in (5, 6)
    assert all(0 < len(piece) <= 16000 for piece in pieces)
    assert np.array_equal(np.concatenate(pieces), read_audio(path))


def test_a_file_object_is_left_where_it_was_and_open(tmp_path):
    file = io.BytesIO(b"before" + write(tmp_path / "a.flac", "flac", 16000, "mono").read_bytes())
    file.seek(6)
    assert probe(file) == 2
    assert len(read_audio(file)) == 32000
    assert next(stream_audio(file)).size == 16000
    assert file.tell() == 6


def test_a_source_that_cannot_seek_is_read_once(tmp_path):
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise io.UnsupportedOperation("seek")

    assert len(read_audio(Pipe(write(tmp_path / "a.ogg", "libopus", 48000, "mono").read_bytes()))) == 32000


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.webm"])
def test_of_a_truncated_file_what_is_there_is_delivered(tmp_path, name):
    kind = next(kind for kind in KINDS if kind[0] == name)
    data = write(tmp_path / name, *kind[1:4], seconds=4).read_bytes()
    audio = read_audio(io.BytesIO(data[: len(data) * 3 // 5]))
    assert 1.2 < len(audio) / 16000 < 2.5
    assert abs(pitch(audio) - 440) < 2


def test_damage_in_the_middle_is_skipped(tmp_path):
    data = bytearray(write(tmp_path / "a.mp3", "libmp3lame", 44100, "stereo", seconds=4).read_bytes())
    data[20000:22000] = b"\x55" * 2000
    assert len(read_audio(io.BytesIO(data))) / 16000 > 3.5


def test_nothing_is_written_to_stderr(tmp_path, capfd):
    data = bytearray(write(tmp_path / "a.mp3", "libmp3lame", 44100, "stereo").read_bytes())
    data[9000:9900] = b"\x55" * 900
    read_audio(io.BytesIO(data))
    with pytest.raises(CallerError):
        read_audio(io.BytesIO(bytes(3000)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("data", "came"),
    [
        (b"", "got 0 bytes"),
        (b"this is a letter, not a song\n" * 50, "cannot read as one"),
        (np.random.default_rng(0).bytes(20000), "cannot read as one"),
        (wav(np.zeros(0)), "without any sound"),
        # A codec that nobody knows.
        (wav(np.zeros(9999)).replace(b"\x01\x00\x01\x00", struct.pack("<HH", 0x9999, 1), 1), "without any sound"),
    ],
)
def test_what_holds_no_sound_is_refused(data, came):
    with pytest.raises(CallerError, match=came) as caught:
        read_audio(io.BytesIO(data))
    assert "Expected an audio file" in caught.value.message


@pytest.mark.parametrize(("rate", "samples"), [(1, 14_000), (1_000, 5_000_000)])
def test_a_block_that_would_fill_the_memory_is_refused(rate, samples):
    """Matroska keeps blocks as they are; of this one file of 28 KB would come 5 GB at once."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.int16), "s16", "mono")
        frame.sample_rate = rate
        container.mux([*stream.encode(frame), *stream.encode(None)])
    file.seek(0)
    with pytest.raises(CallerError, match="a block of more than 60 s"):
        next(stream_audio(file))


@pytest.mark.parametrize("rate", [768_001, 1_900_000_000])
def test_a_rate_that_nobody_records_at_is_refused(rate):
    with pytest.raises(CallerError, match="more than 768000 samples a second"):
        read_audio(io.BytesIO(wav(np.zeros(800, np.int16), rate)))


def test_a_film_without_sound_is_refused(tmp_path):
    path = tmp_path / "silent.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    for use in (read_audio, probe):
        with pytest.raises(CallerError, match="got a file with video in it but no audio"):
            use(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    for path in (tmp_path / "nowhere.wav", tmp_path):
        for use in (read_audio, probe):
            with pytest.raises(CallerError, match="cannot be opened"):
                use(path)


def test_a_playlist_is_not_followed(tmp_path):
    secret = write(tmp_path / "secret.mp3", "libmp3lame", 44100, "mono")
    hls = tmp_path / "list.m3u8"
    hls.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n")
    concat = tmp_path / "list.ffconcat"
    concat.write_text("ffconcat version 1.0\nfile secret.mp3\n")
    for path in (hls, concat):
        with pytest.raises(CallerError, match="cannot read as one"):
            read_audio(path)
