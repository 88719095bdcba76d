"""Audio files of any container that FFmpeg reads -> mono float32, a piece at a time.

FFmpeg mixes the channels down and resamples. What is broken is skipped and what can be decoded is delivered, so that a
recording cut short is still transcribed; a file without any sound is an error of the caller's.

Rule: the memory used does not grow with the file, `read_audio` apart. Refuses: to open anything but the source it is
given. A playlist that names other files or addresses is not followed, as an upload must not read this machine's disk.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO, Final

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.container import InputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

from hark.errors import CallerError

_EXPECTED: Final = "Expected an audio file (flac, m4a, mp3, mp4, mpeg, mpga, oga, ogg, wav, webm or the like)"
# One block is resampled at once. Those of real codecs hold seconds; a file of 28 KB with one block of 14,000 samples at
# 1 Hz would take 5 GB.
MAX_BLOCK_S: Final = 60
# A filter from 2 GHz, which a file of 800 bytes may name, takes seconds and gigabytes. Nobody records faster than this.
MAX_RATE: Final = 768_000


def stream_audio(source: Path | BinaryIO, rate: int = 16_000) -> Generator[NDArray[np.float32]]:
    """The sound of `source` as mono float32 [n], about a second each, none empty.

    Raises CallerError, on the first step, for what is missing, is not audio, or holds no sound.
    """
    with _opened(source) as container:
        empty = True
        for piece in _resampled(container, rate):
            empty = False
            yield piece
    if empty:
        raise CallerError(f"{_EXPECTED}; got one without any sound that could be decoded. Send a file that plays.")


def read_audio(source: Path | BinaryIO, rate: int = 16_000, most_s: float = math.inf) -> NDArray[np.float32]:
    """All of `stream_audio` in one array, or a second more than `most_s` of it at most: a small file may hold days."""
    pieces, samples = list[NDArray[np.float32]](), 0
    with closing(stream_audio(source, rate)) as stream:
        for piece in stream:
            pieces.append(piece)
            samples += len(piece)
            if samples > most_s * rate:
                break
    return np.concatenate(pieces)


def probe(source: Path | BinaryIO) -> float | None:
    """The duration in seconds that the file declares, or None where it does not. Raises CallerError as above."""
    with _opened(source) as container:
        stream = container.streams.audio[0]
        if stream.duration is not None and stream.time_base is not None:
            duration = float(stream.duration * stream.time_base)
        else:
            duration = (container.duration or 0) / av.time_base
    return duration if duration > 0 else None


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[InputContainer]:
    """The container, with an audio stream in it. All that FFmpeg objects to becomes a CallerError."""
    try:
        with ExitStack() as stack:
            file = stack.enter_context(_open(source)) if isinstance(source, Path) else source
            if file.seekable():
                start = file.tell()
                stack.callback(file.seek, start)  # a source may be probed first and read then
                if not file.read(1):
                    raise CallerError(f"{_EXPECTED}; got 0 bytes. Send the whole file.")
                file.seek(start)
            container = stack.enter_context(av.open(file, "r", options=_options(), metadata_errors="replace"))
            if not container.streams.audio:
                kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
                raise CallerError(f"{_EXPECTED}; got a file with {kinds} in it but no audio. Send one with sound.")
            yield container
    except FFmpegError as error:
        message = f"{_EXPECTED}; got something that FFmpeg cannot read as one ({error.strerror}). Convert it to wav."
        raise CallerError(message) from error


@cache
def _options() -> dict[str, str]:
    """What FFmpeg may do with a file. No protocol may be opened from within one; the source itself is read by Python,
    which no protocol concerns. And only sound is decoded: FFmpeg would decode pictures too, to say what they are, and
    a cover of half a megabyte can unpack to many hundreds."""
    return {"protocol_whitelist": "none", "codec_whitelist": ",".join(filter(_decodes_sound, av.codecs_available))}


def _decodes_sound(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "audio"
    except UnknownCodecError:  # it only encodes
        return False


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise CallerError(f"{_EXPECTED} at {path}; it cannot be opened: {error.strerror}. Check the path.") from error


def _resampled(container: InputContainer, rate: int) -> Iterator[NDArray[np.float32]]:
    resampler, shape = av.AudioResampler(), None
    for frame in _frames(container):
        # Chained streams change their format on the way, and a resampler keeps to one.
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if frame.samples > MAX_BLOCK_S * frame.sample_rate:
            message = f"{_EXPECTED}; got one with a block of more than {MAX_BLOCK_S} s. Convert it to wav."
            raise CallerError(message)
        if frame.sample_rate > MAX_RATE:
            message = f"{_EXPECTED}; got one of more than {MAX_RATE} samples a second. Convert it to wav."
            raise CallerError(message)
        if now != shape:
            yield from _samples(resampler.resample(None))
            resampler, shape = av.AudioResampler("s32", "mono", rate, frame_size=rate), now
        yield from _samples(resampler.resample(frame))
    yield from _samples(resampler.resample(None))


def _samples(frames: list[av.AudioFrame]) -> Iterator[NDArray[np.float32]]:
    # As integers, since FFmpeg mixes down to those without exceeding full scale; its floats would.
    for frame in frames:
        if frame.samples:
            yield frame.to_ndarray()[0].astype(np.float32) * np.float32(2**-31)


def _frames(container: InputContainer) -> Iterator[av.AudioFrame]:
    """All frames that decode. A packet that does not is skipped; where the container breaks off, the file ends."""
    stream = container.streams.audio[0]
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:
            packet = None
        if packet is None:
            return
        with suppress(FFmpegError):
            yield from packet.decode()
