"""What two web pages do: mint a secret in the page or with Node's SDK, and offer WebRTC with it (contract G.3, S3, S4).

The heads are those that Chromium 156 sends, from a page of another origin and from a file, and openai 7.55 on Node 24.
"""

import json
import re
import time

import pytest

from listening import BECKETT, error_rate, turns_of
from rawsocket import raw_request, raw_session
from serving import COMPLETED

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
ACCEPTS = "Accept-Encoding: gzip, deflate, br, zstd\nAccept-Language: en-US,en;q=0.9\n"
PREFLIGHT = f"""\
OPTIONS <target> HTTP/1.1
Host: <host>
Connection: keep-alive
Accept: */*
Access-Control-Request-Method: POST
Access-Control-Request-Headers: authorization,content-type
Origin: <origin>
User-Agent: {AGENT}
Sec-Fetch-Mode: cors
Sec-Fetch-Site: cross-site
Sec-Fetch-Dest: empty
{ACCEPTS}"""
POST = f"""\
POST <target> HTTP/1.1
Host: <host>
Connection: keep-alive
Content-Length: <length>
sec-ch-ua-platform: "Linux"
Authorization: Bearer <key>
User-Agent: {AGENT}
sec-ch-ua: "Not:A-Brand";v="8", "Chromium";v="156"
Content-Type: <kind>
sec-ch-ua-mobile: ?0
Accept: */*
Origin: <origin>
Sec-Fetch-Site: cross-site
Sec-Fetch-Mode: cors
Sec-Fetch-Dest: empty
{ACCEPTS}"""
SOCKET = f"""\
GET /v1/realtime?intent=transcription HTTP/1.1
Host: <host>
Connection: Upgrade
Pragma: no-cache
Cache-Control: no-cache
User-Agent: {AGENT}
Upgrade: websocket
Origin: https://app.example
Sec-WebSocket-Version: 13
{ACCEPTS}Sec-WebSocket-Key: <key>
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.<secret>
"""
NODE_MINTS = """\
POST /v1/realtime/transcription_sessions HTTP/1.1
host: <host>
connection: keep-alive
accept: application/json
user-agent: OpenAI/JS 7.55.0
x-stainless-retry-count: 0
x-stainless-lang: js
x-stainless-package-version: 7.55.0
x-stainless-os: Linux
x-stainless-arch: x64
x-stainless-runtime: node
x-stainless-runtime-version: v24.21.0
authorization: Bearer <key>
content-type: application/json
openai-beta: assistants=v2
accept-language: *
sec-fetch-mode: cors
accept-encoding: gzip, deflate
content-length: <length>
"""
MINT = "/v1/realtime/transcription_sessions"
IN_THE_PAGE = b'{"input_audio_transcription":{"model":"gpt-4o-transcribe","language":"en"}}'
IN_NODE = (
    b'{"input_audio_transcription":{"model":"gpt-4o-transcribe","language":"ja"},'
    b'"turn_detection":{"type":"semantic_vad","eagerness":"low"}}'
)
# A microphone and a data channel, as a browser offers them before it has looked for ways to be reached.
OFFER = b"\r\n".join(
    [
        b"v=0",
        b"o=- 4611731400430051336 2 IN IP4 127.0.0.1",
        b"s=-",
        b"t=0 0",
        b"a=group:BUNDLE 0 1",
        b"m=audio 9 UDP/TLS/RTP/SAVPF 111",
        b"c=IN IP4 0.0.0.0",
        b"a=ice-ufrag:abcd",
        b"a=ice-pwd:abcdefghijklmnopqrstuvwx",
        b"a=fingerprint:sha-256 " + b":".join([b"AB"] * 32),
        b"a=setup:actpass",
        b"a=mid:0",
        b"a=sendrecv",
        b"a=rtcp-mux",
        b"a=rtpmap:111 opus/48000/2",
        b"m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        b"c=IN IP4 0.0.0.0",
        b"a=mid:1",
        b"a=sctp-port:5000",
        b"",
    ]
)


@pytest.fixture(params=["https://app.example", "null"], ids=["page", "file"])
def origin(request):
    return request.param


def fetch(server, target, kind, body, *, key, origin):
    """Status and body, as the page gets them: None for both where Chromium would keep them from it."""
    with raw_request(server, PREFLIGHT, target=target, origin=origin) as (status, headers, _):
        named = re.split(r",\s*", headers.get("access-control-allow-headers", "").lower())
        # A star would not cover Authorization.
        if not (200 <= status < 300 and readable(headers, origin) and {"authorization", "content-type"} <= set(named)):
            return None, None
    with raw_request(server, POST, body, target=target, kind=kind, key=key, origin=origin) as (status, headers, told):
        return (status, told) if readable(headers, origin) else (None, None)


def readable(headers, origin):
    return headers.get("access-control-allow-origin") in ("*", origin)


def mint_in_the_page(server, key, origin):
    status, told = fetch(server, MINT, "application/json", IN_THE_PAGE, key=key, origin=origin)
    assert status == 200, told
    session = json.loads(told)
    assert session["client_secret"]["expires_at"] > time.time() + 300
    return session["client_secret"]["value"]


def mint_in_node(server, key):
    with raw_request(server, NODE_MINTS, IN_NODE, key=key) as (status, _, told):
        assert status == 200, told
        session = json.loads(told)
        assert session["turn_detection"] == {"type": "semantic_vad", "eagerness": "low"}
        assert session["input_audio_transcription"]["language"] == "ja"
        return session["client_secret"]["value"]


def test_a_page_mints_and_its_socket_opens(keyed, key, origin):
    with raw_session(keyed, SOCKET, secret=mint_in_the_page(keyed, key, origin)) as wire:
        assert wire.subprotocol == "realtime"
        assert wire.receive()["type"] == "transcription_session.created"
        assert wire.hear("alpha", "bravo") == "alpha bravo"


def test_a_page_without_the_key_can_read_why_it_gets_nothing(keyed, origin):
    status, told = fetch(keyed, MINT, "application/json", IN_THE_PAGE, key="undefined", origin=origin)
    assert (status, json.loads(told)["error"]["code"]) == (401, "invalid_api_key")


def test_without_a_key_only_pages_of_this_machine_mint(server, origin):
    """Any other page that the user visits could listen in (docs/architecture.md)."""
    assert fetch(server, MINT, "application/json", IN_THE_PAGE, key="any", origin=origin) == (None, None)
    assert mint_in_the_page(server, "any", "http://localhost:3000")


@pytest.mark.parametrize("mint", ["page", "node"])
def test_what_was_minted_hears_speech(hearing, key, beckett, mint):
    secret = mint_in_node(hearing, key) if mint == "node" else mint_in_the_page(hearing, key, "null")
    with raw_session(hearing, SOCKET, secret=secret) as wire:
        detection = wire.receive()["session"]["turn_detection"]
        assert detection["type"] == ("semantic_vad" if mint == "node" else "server_vad")
        for piece in [*beckett, bytes(4 * 48_000)]:
            wire.append(piece)
        wire.send("transcription_session.update", session={"turn_detection": None})  # ends a turn that is open
        events = wire.until("transcription_session.updated")
        while events[-1]["type"] != COMPLETED or open_items(events):
            events.append(wire.receive())
        assert error_rate(BECKETT, turns_of([event for event in events if event["type"] == COMPLETED])) <= 0.25


def open_items(events):
    committed = {event["item_id"] for event in events if event["type"] == "input_audio_buffer.committed"}
    return committed - {event["item_id"] for event in events if event["type"] == COMPLETED}


@pytest.mark.parametrize(
    "target",
    ["/v1/realtime/transcription_sessions?model=gpt-4o-transcribe", "/v1/realtime?model=gpt-4o-transcribe"],
    ids=["S3", "S4"],
)
def test_an_offer_is_answered(keyed, key, origin, target):
    for secret in (mint_in_node(keyed, key), mint_in_the_page(keyed, key, origin)):
        status, told = fetch(keyed, target, "application/sdp", OFFER, key=secret, origin=origin)
        assert status == 201
        lines = told.decode().splitlines()
        assert [line.split()[0] for line in lines if line.startswith("m=")] == ["m=audio", "m=application"]
        assert {"a=recvonly", "a=rtpmap:111 opus/48000/2", "a=mid:0", "a=mid:1"} <= set(lines)
        assert [line for line in lines if line.startswith("a=candidate:")]
