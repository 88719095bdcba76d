"""A client that sends its request a byte at a time, or none at all, holds no connection for ever; one that is kept
waiting by the server is not blamed for it."""

import asyncio
import json
import socket
import ssl
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

from hark.edge import forms, patience, tls
from rawsocket import Connection
from serving import PATIENCE_S, Server
from uploading import SAID, post, wav

SOON_S = 0.3
LONG_AFTER_S = 3 * SOON_S
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
BODY = b"POST /transcribe HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
PART = b"--b\r\nContent-Disposition: form-data; name=file; filename=a.wav\r\n\r\n"


@pytest.fixture
def hurried(monkeypatch):
    for name in ("HEAD_S", "WINDOW_S", "KEPT_S"):
        monkeypatch.setattr(patience, name, SOON_S)


@contextmanager
def trickling(wire, byte=b"a"):
    """A byte every now and then, for as long as the server takes it."""
    over = threading.Event()

    def trickle():
        try:
            while not over.wait(SOON_S / 10):
                wire._socket.sendall(byte)
        except OSError:
            pass

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def check_told(answer):
    status, headers, body = answer
    error = json.loads(body)["error"]
    assert (status, headers["connection"]) == (408, "close")
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "request_timeout", None)
    assert "too slowly" in error["message"]


def check_closed(wire):
    """Without a word."""
    assert wire._file.read() == b""


@pytest.mark.parametrize(
    "begin", [b"GET /", b"GET / HTTP/1.1\r\nx: ", UPGRADE + b"x: "], ids=["URL", "header", "WebSocket"]
)
def test_a_head_that_trickles_is_told_and_cut_off(server, hurried, begin):
    with Connection(server) as wire, trickling(wire):
        check_told(wire.exchange(begin))
        check_closed(wire)


@pytest.mark.parametrize("before", [b"", GET], ids=["first", "next"])
def test_a_head_that_stops_is_told_and_cut_off(server, hurried, before):
    with Connection(server) as wire:
        if before:
            assert wire.exchange(before)[0] == 200
        check_told(wire.exchange(b"GET / HTTP/1.1\r\nHos"))
        check_closed(wire)


def test_who_says_nothing_is_left_without_a_word(server, hurried):
    with Connection(server) as wire:
        check_closed(wire)


def test_empty_lines_are_no_request(server, hurried):
    with Connection(server) as wire:
        assert wire.exchange(GET)[0] == 200
        with trickling(wire, b"\r\n"):
            check_told(wire.exchange(b"\r\n"))


def test_the_head_of_the_next_request_has_its_own_time(server, hurried):
    with Connection(server) as wire:
        for _ in range(3):
            assert wire.exchange(GET)[0] == 200
        with trickling(wire):
            check_told(wire.exchange(b"GET /"))


def test_a_connection_is_kept_for_the_next_request_and_not_for_ever(server, hurried):
    with Connection(server) as wire:
        assert wire.exchange(GET)[0] == 200
        check_closed(wire)


@pytest.mark.parametrize("length", [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n8000\r\n"])
def test_a_body_that_trickles_is_told_and_cut_off(server, hurried, length):
    with Connection(server) as wire, trickling(wire):
        check_told(wire.exchange(BODY + length + PART))
        check_closed(wire)
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_what_of_a_body_comes_after_its_answer_is_not_waited_for(serve, hurried):
    with Connection(serve(api_key="k" * 20)) as wire, trickling(wire):
        status, _, _ = wire.exchange(BODY + b"Content-Length: 100000\r\n\r\n")
        assert status == 401
        check_closed(wire)


def test_a_body_that_comes_steadily_may_take_its_time(server, hurried, monkeypatch):
    monkeypatch.setattr(patience, "LEAST_BYTES", 100)
    file = wav()
    body = PART + file + b"\r\n--b--\r\n"
    with Connection(server) as wire:
        wire._socket.sendall(BODY + b"Content-Length: %d\r\n\r\n" % len(body))
        began, size = time.monotonic(), len(body) // 30
        for at in range(0, len(body), size):
            wire._socket.sendall(body[at : at + size])
            time.sleep(LONG_AFTER_S / 30)
        assert time.monotonic() - began > LONG_AFTER_S
        status, _, answer = wire.exchange(b"")
    assert (status, json.loads(answer)["text"]) == (200, SAID)


def test_nobody_is_blamed_for_what_the_server_does_not_read(server, hurried, monkeypatch):
    slowed = []

    async def slowly(request, most, real=forms._bounded):
        async for chunk in real(request, most):
            if len(slowed) < 3:
                slowed.append(await _asleep())
            yield chunk

    async def _asleep():
        await asyncio.sleep(LONG_AFTER_S)

    monkeypatch.setattr(forms, "_bounded", slowly)
    answer = post(server, file=wav(bytes(2_000_000)))
    assert (answer.status_code, len(slowed)) == (200, 3)


def test_an_answer_is_never_cut_off_by_the_head_that_follows(server, hurried, monkeypatch):
    async def late(request):
        await asyncio.sleep(LONG_AFTER_S)
        return await real(request)

    real = forms.MultiPartParser.parse
    monkeypatch.setattr(forms.MultiPartParser, "parse", late)
    body = PART + wav() + b"\r\n--b--\r\n"
    with Connection(server) as wire:
        status, _, answer = wire.exchange(BODY + b"Content-Length: %d\r\n\r\n" % len(body) + body + b"GET /he")
    assert (status, json.loads(answer)["text"]) == (200, SAID)


def test_a_handshake_of_tls_has_its_time_too(tmp_path, hurried):
    server = Server(tls_self_signed=True, data_dir=tmp_path)
    try:
        host, port = server.url.removeprefix("https://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as mute:
            assert mute.recv(1) == b""
        context = ssl.create_default_context(cafile=tls.self_signed(tmp_path).chain)
        with (
            socket.create_connection((host, int(port)), timeout=PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as wire,
        ):
            assert wire.recv(1) == b"", "the head has its time after it"
        assert httpx.get(f"{server.url}/health", verify=False).status_code == 200
    finally:
        server.stop()


def test_a_websocket_is_not_hurried(server, hurried):
    with server.session() as wire:
        time.sleep(LONG_AFTER_S)
        assert wire.hear("alpha") == "alpha"


def test_a_websocket_after_another_request_is_not_hurried_either(server, hurried):
    key = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    with Connection(server) as wire:
        assert wire.exchange(GET)[0] == 200
        assert wire.exchange(UPGRADE + key)[0] == 101
        assert json.loads(wire.recv())["type"] == "session.created"
        time.sleep(LONG_AFTER_S)
        wire.send('{"type": "input_audio_buffer.clear"}')
        assert json.loads(wire.recv())["type"] == "input_audio_buffer.cleared"


def test_strangers_push_out_the_oldest_of_their_own(server, monkeypatch):
    monkeypatch.setattr(patience, "MOST_STRANGERS", 3)
    monkeypatch.setattr(patience, "STRANGE_S", -1.0)  # at once
    with Connection(server) as known:
        assert known.exchange(GET)[0] == 200
        strangers = [Connection(server) for _ in range(5)]
        for oldest in strangers[:2]:
            check_closed(oldest)
        assert [stranger.exchange(GET)[0] for stranger in strangers[2:]] == [200] * 3
        assert known.exchange(GET)[0] == 200
        for stranger in strangers:
            stranger.__exit__()


def test_many_at_once_are_no_strangers(server, monkeypatch):
    monkeypatch.setattr(patience, "MOST_STRANGERS", 3)
    monkeypatch.setattr(patience, "STRANGE_S", PATIENCE_S)
    wires = [Connection(server) for _ in range(20)]
    assert [wire.exchange(GET)[0] for wire in wires] == [200] * 20
    for wire in wires:
        wire.__exit__()
