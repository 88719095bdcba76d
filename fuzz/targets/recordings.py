"""Audio files: audio/files.py, on FFmpeg. What cannot be read is the caller's error, and what can is finite sound.

A file that tells of more than MAX_S is not read to its end: it may hold hours, which edge/recording.py counts.
"""

import io
import wave
from random import Random

import av
import numpy as np

from hark.audio.files import probe, stream_audio
from hark.errors import CallerError

MAX_BYTES = 8_192
MEMORY_MB = 2_048
MAX_S = 120
RATE = 16_000
TOKENS = [b"RIFF", b"WAVE", b"fmt ", b"data", b"OggS", b"OpusHead", b"fLaC", b"ftyp", b"moov", b"\x1aE\xdf\xa3", b"ID3"]
KINDS = {
    "ogg": ("libopus", "libvorbis"), "mp4": ("aac",), "flac": ("flac",), "webm": ("libopus",), "mp3": ("libmp3lame",),
    "wav": ("pcm_s16le", "pcm_mulaw", "adpcm_ima_wav"), "aiff": ("pcm_s16be",), "caf": ("pcm_s16be",),
    "matroska": ("flac",), "mpegts": ("aac",), "au": ("pcm_s16be",), "w64": ("pcm_s16le",), "avi": ("mp3", "pcm_s16le"),
}  # fmt: skip


def seeds():
    sound = Random(3).randbytes(400) + bytes(1_200)
    plain = io.BytesIO()
    with wave.open(plain, "wb") as writer:
        writer.setparams((1, 2, RATE, 0, "NONE", ""))
        writer.writeframes(sound)
    yield "plain.wav", plain.getvalue()
    for container, codecs in KINDS.items():
        for codec in codecs:
            if (data := _written(container, codec, np.frombuffer(sound, "<i2"))) is not None:
                yield f"{codec}.{container}", data
    yield "list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:1/x.ts\n/etc/passwd\n"
    yield "list.ffconcat", b"ffconcat version 1.0\nfile /etc/passwd\n"


def _written(container, codec, samples):
    frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
    frame.sample_rate = RATE
    file = io.BytesIO()
    try:
        with av.open(file, "w", container) as target:
            stream = target.add_stream(codec, rate=RATE, layout="mono")
            context = stream.codec_context
            fit = av.AudioResampler(context.format, "mono", RATE, frame_size=context.frame_size or 0)
            for piece in [*fit.resample(frame), *fit.resample(None)]:
                target.mux(stream.encode(piece))
            target.mux(stream.encode(None))
    except (av.error.FFmpegError, ValueError):  # this build has no such encoder
        return None
    return file.getvalue()


def check(data):
    try:
        source = io.BytesIO(data)
        declared = probe(source)
        assert declared is None or declared > 0
        assert source.tell() == 0, "a source that was probed does not stand at its begin"
        samples = 0
        for piece in stream_audio(source, RATE):
            assert piece.dtype == np.float32
            assert 0 < len(piece) <= 2 * RATE
            assert np.abs(piece).max() <= 1
            samples += len(piece)
            if samples > MAX_S * RATE:
                break
    except CallerError as error:
        assert len(error.message) > 15
