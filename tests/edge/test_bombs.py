"""Small uploads that want to become large: what they declare, what they decode to, what is in them beside the sound;
and bodies and frames that are compressed."""

import gzip
import io
import json
import struct
import time
import zlib

import av
import httpx
import numpy as np
import pytest

from hark.audio.files import probe
from rawsocket import raw_session
from serving import PATIENCE_S, speech
from uploading import SAID, encoded, pcm, post

MEBIBYTE = 1 << 20


def days(seconds=48 * 3_600):
    """A FLAC file that claims to hold so much (the low 36 bits of its STREAMINFO's sizes), and holds a second."""
    data = bytearray(encoded(bytes(32_000), "flac", "flac", 16_000))
    at = data.index(b"fLaC") + 8 + 13
    data[at] &= 0xF0
    data[at + 1 : at + 5] = struct.pack(">I", 16_000 * seconds)
    return bytes(data)


def test_a_file_that_claims_days_is_refused_before_it_is_decoded(server):
    assert probe(io.BytesIO(days())) == 48 * 3_600
    answer = post(server, file=days())
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "audio_too_long")
    assert post(server, file=days(seconds=3_600)).status_code == 200, "which is allowed, and heard as far as it goes"


@pytest.fixture
def small(serve):
    return serve(max_file_minutes=1)


def test_a_small_file_that_decodes_to_hours_ends_at_the_limit(small, tmp_path):
    hour = encoded(bytes(2 * 16_000 * 3_600), "flac", "flac", 16_000)
    assert len(hour) < MEBIBYTE
    # The header says nothing of how long it is: bits 108 to 143 of STREAMINFO.
    at = hour.index(b"fLaC") + 8
    unsaid = hour[: at + 13] + bytes([hour[at + 13] & 0xF0]) + bytes(4) + hour[at + 18 :]
    answer = post(small, file=unsaid)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "audio_too_long")


def test_of_many_tracks_one_is_heard(server, tmp_path):
    file = io.BytesIO()
    with av.open(file, "w", "matroska") as container:
        streams = [container.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(100)]
        for number, stream in enumerate(streams):
            audio = np.frombuffer(pcm(), np.int16) if number == 0 else np.zeros(16_000, np.int16)
            frame = av.AudioFrame.from_ndarray(audio[None], "s16", "mono")
            frame.sample_rate = 16_000
            container.mux([*stream.encode(frame), *stream.encode(None)])
    assert post(server, file=file.getvalue()).json()["text"] == SAID


# ---- what is compressed on the way


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/realtime/client_secrets", "/v1/realtime/calls"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip"])
def test_a_compressed_body_is_refused_before_it_is_read(server, path, coding):
    body = gzip.compress(bytes(MEBIBYTE))
    answer = httpx.post(server.url + path, content=body, headers={"Content-Encoding": coding}, verify=False)
    assert answer.status_code == 415
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "unsupported_media_type")
    assert "Content-Encoding" in error["message"]


def test_a_body_may_say_that_it_is_none(server):
    assert post(server, headers={"Content-Encoding": "identity"}).json()["text"] == SAID


HANDSHAKE = """
GET /v1/realtime HTTP/1.1
Host: <host>
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: <key>
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
"""


def test_a_compressed_frame_is_a_breach_of_the_protocol(server):
    packer = zlib.compressobj(wbits=-15)
    packed = (packer.compress(b" " * 64 * MEBIBYTE) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    with raw_session(server, HANDSHAKE) as wire:  # which sees that no extension was agreed on
        assert wire.receive()["type"] == "session.created"
        connection = wire.socket
        connection._socket.sendall(b"\xc1\xff" + struct.pack(">Q", len(packed)) + bytes(4) + packed)
        first, size = connection._file.read(2)
        assert (first, connection._file.read(size)[:2]) == (0x88, struct.pack(">H", 1_002))


def test_json_is_no_bomb(server):
    """What is small and nested, or small and repeated, is refused or answered, and quickly."""
    with server.session() as wire:
        for audio in ("[" * 100_000, json.dumps({"a": "\\u0000" * 10_000}), "9" * 100_000):
            wire.socket.send('{"type": "session.update", "session": ' + audio)
            assert wire.receive()["type"] == "error"
        began = time.monotonic()
        wire.append(speech("alpha"))
        assert wire.until("conversation.item.input_audio_transcription.completed")[-1]["transcript"] == "alpha"
        assert time.monotonic() - began < PATIENCE_S
