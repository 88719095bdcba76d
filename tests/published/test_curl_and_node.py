"""What one guide has people type and run: curl that mints, curl that lists, and Node's `ws` in its two ways of showing
the secret (contract G.3, S0 and S2).

The heads are those that curl 7.88 and ws 8.23 send.
"""

import json
import shutil
import subprocess
import time

import pytest

from listening import BECKETT, error_rate, turns_of
from rawsocket import raw_request, raw_session
from serving import COMPLETED

BODY = b"""{
        "model": "gpt-4o-transcribe",
        "language": "en",
        "vad": { "enabled": true }
      }"""
CURL_MINTS = """\
POST /v1/realtime/transcription_sessions HTTP/1.1
Host: <host>
User-Agent: curl/7.88.1
Accept: */*
Authorization: Bearer <key>
Content-Type: application/json
OpenAI-Beta: realtime=v1
Content-Length: <length>
"""
CURL_LISTS = """\
GET /v1/models HTTP/1.1
Host: <host>
User-Agent: curl/7.88.1
Accept: */*
Authorization: Bearer <key>
"""
WS_WITH_HEADERS = """\
GET /v1/realtime?intent=transcription HTTP/1.1
Authorization: Bearer <secret>
OpenAI-Beta: realtime=v1
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: <key>
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
Host: <host>
"""
WS_WITH_QUERY = WS_WITH_HEADERS.replace("Authorization: Bearer <secret>\n", "").replace(
    "transcription HTTP", "transcription&authorization=Bearer%20<secret> HTTP"
)
curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


def minted(server, key):
    with raw_request(server, CURL_MINTS, BODY, key=key) as (status, _, body):
        assert status == 200, body
        return check_minted(json.loads(body))


def check_minted(session):
    assert session["object"] == "realtime.transcription_session"
    assert session["input_audio_transcription"] == {"model": "gpt-4o-transcribe", "language": "en", "prompt": ""}
    assert session["turn_detection"]["type"] == "server_vad"
    assert min(session["expires_at"], session["client_secret"]["expires_at"]) > time.time() + 300
    return session["client_secret"]["value"]


def check_listed(lines):
    for name in ("", "-2024-10-01", "-2024-12-17"):
        assert any(f'"gpt-4o-realtime-preview{name}"' in line for line in lines)


@pytest.mark.parametrize("head", [WS_WITH_HEADERS, WS_WITH_QUERY], ids=["headers", "query"])
def test_the_secret_that_curl_minted_opens_the_socket_of_ws_and_speech_is_heard(hearing, key, beckett, head):
    with raw_session(hearing, head, secret=minted(hearing, key)) as wire:
        created = wire.receive()
        assert created["type"] == "transcription_session.created"
        assert created["session"]["input_audio_transcription"]["model"] == "gpt-4o-transcribe"
        for piece in beckett:
            wire.append(piece)
        events = [event for _ in range(6) for event in wire.until(COMPLETED)]
        assert error_rate(BECKETT, turns_of(events)) <= 0.25


def test_an_sk_key_opens_it_too(keyed, key):
    with raw_session(keyed, WS_WITH_HEADERS, secret=key) as wire:
        assert wire.receive()["type"] == "transcription_session.created"
        assert wire.hear("alpha", "bravo") == "alpha bravo"


def test_what_curl_lists_can_be_grepped(keyed, key):
    with raw_request(keyed, CURL_LISTS, key=key) as (status, headers, body):
        assert (status, headers["content-type"]) == (200, "application/json")
        check_listed([line for line in body.decode().splitlines() if "gpt-4o-realtime" in line])


@curl
def test_curl_itself_mints_and_lists(keyed, key):
    # The commands, but for address and key.
    mint = f"""curl -s {keyed.url}/v1/realtime/transcription_sessions \\
  -X POST \\
  -H "Authorization: Bearer {key}" \\
  -H "Content-Type: application/json" \\
  -H "OpenAI-Beta: realtime=v1" \\
  -d '{BODY.decode()}'"""
    found = f"""curl -s {keyed.url}/v1/models \\
  -H "Authorization: Bearer {key}" | grep "gpt-4o-realtime\""""
    answers = [
        subprocess.run(line, shell=True, capture_output=True, text=True, timeout=20, check=True).stdout
        for line in (mint, found)
    ]
    check_minted(json.loads(answers[0]))
    check_listed(answers[1].splitlines())
