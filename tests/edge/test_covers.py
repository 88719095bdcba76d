"""What stands beside the sound of a file, or after as much of it as anybody wants, is not unpacked."""

import io
import struct
import subprocess
import sys
import zlib

import pytest

from hark.audio.files import read_audio
from serving import PATIENCE_S
from uploading import encoded, pcm, post, wav

MEBIBYTE = 1 << 20
# The most memory that a file may take beside what a sound one of the same length takes.
MOST_BYTES = 64 * MEBIBYTE
MEASURE = """
import resource, sys
from hark.audio.files import probe, stream_audio
def hear(path):
    with open(path, "rb") as file:
        probe(file)
        return sum(map(len, stream_audio(file)))
hear(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
heard = hear(sys.argv[2])
print(heard, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def heard_and_grown(tmp_path, data):
    """Samples that came out of it, and the bytes that a process needed more than for a sound file."""
    for name, content in (("sound", wav()), ("bomb", data)):
        (tmp_path / name).write_bytes(content)
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path / "sound", tmp_path / "bomb"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return map(int, run.stdout.split())


def picture(size):
    """PNG, black: three bytes a pixel that compress to nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, row = zlib.compressobj(1), bytes(3 * size + 1)
    packed = b"".join(packer.compress(row) for _ in range(size)) + packer.flush()
    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def covered(mp3, image, times=1):
    """ID3v2.4 with pictures (APIC)."""

    def safe(number):
        return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))

    content = b"\0image/png\0\x03\0" + image
    frames = (b"APIC" + safe(len(content)) + b"\0\0" + content) * times
    return b"ID3\x04\0\0" + safe(len(frames)) + frames + mp3


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_a_cover_is_not_unpacked(tmp_path):
    image = picture(8_000)
    assert len(image) < 2 * MEBIBYTE
    heard, grown = heard_and_grown(tmp_path, covered(encoded(pcm(48_000), "mp3", "libmp3lame"), image, times=3))
    assert heard > 16_000
    assert grown < MOST_BYTES, "one picture is 183 MiB"


def test_a_file_with_a_cover_is_heard(server):
    assert len(post(server, file=covered(encoded(pcm(48_000), "mp3", "libmp3lame"), picture(10))).json()["text"]) > 10


def test_a_recording_of_a_speaker_is_decoded_no_further_than_it_may_be_long():
    hour = encoded(bytes(2 * 16_000 * 3_600), "flac", "flac", 16_000)
    assert len(read_audio(io.BytesIO(hour), most_s=10)) <= 12 * 16_000
