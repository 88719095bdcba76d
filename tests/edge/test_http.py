"""What plain HTTP gets: two pages, and elsewhere the envelope of an error with words in it (contract A.0)."""

import contextlib
import json

import httpx
import pytest

import hark
import rawsocket
from hark.app import REALTIME_PATHS
from hark.edge.unreadable import Handshakes


def test_health(server):
    answer = httpx.get(f"{server.url}/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_the_front_page_says_where_to_connect(server):
    page = httpx.get(server.url).json()
    assert (page["name"], page["version"]) == ("hark", hark.__version__)
    assert page["realtime"] == f"ws{server.url.removeprefix('http')}/v1/realtime?intent=transcription"
    assert httpx.get(page["health"]).status_code == 200
    assert httpx.get(page["models"]).json()["object"] == "list"


REFUSED = "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "says"),
    [
        *(("GET", path, 426, "upgrade_required", "ws://") for path in REALTIME_PATHS),
        ("GET", "/v1/realtime/?intent=transcription", 426, "upgrade_required", "is a WebSocket"),
        ("POST", "/v1/realtime", 426, "upgrade_required", "SDP"),
        ("GET", "/nowhere", 404, "unknown_url", "/v1/realtime?intent=transcription"),
        ("GET", "/v1/nowhere/", 404, "unknown_url", "'/v1/nowhere/'"),
        ("POST", "/v1/models", 405, "method_not_allowed", "GET /v1/models"),
        ("POST", "/health", 405, "method_not_allowed", "POST is not allowed"),
        ("DELETE", "/", 405, "method_not_allowed", "DELETE is not allowed"),
        ("PUT", "/v1/realtime", 405, "method_not_allowed", "PUT is not allowed"),
    ],
)
def test_anything_else_is_explained(server, method, path, status, code, says):
    answer = httpx.request(method, f"{server.url}{path}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, code)
    assert says in error["message"]


def test_a_refused_method_is_told_the_allowed_ones(server):
    assert "GET" in httpx.post(f"{server.url}/health").headers["allow"]


def test_the_version_and_upgrade_headers_say_what_is_expected(server):
    assert httpx.get(f"{server.url}/v1/realtime").headers["upgrade"] == "websocket"


@pytest.mark.parametrize("path", ["/health", "/v1/realtime", "/nowhere"])
@pytest.mark.parametrize(("origin", "allowed"), [("http://localhost:5173", True), ("https://evil.example", False)])
def test_without_a_key_pages_of_this_machine_may_read_every_answer(server, path, origin, allowed):
    answer = httpx.get(server.url + path, headers={"Origin": origin})
    assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "openai-beta"}
    preflight = httpx.options(server.url + path, headers=asked)
    assert (preflight.headers.get("access-control-allow-origin") == origin) == allowed
    assert preflight.is_success == allowed
    if not allowed:
        assert (preflight.status_code, preflight.json()["error"]["code"]) == (401, "origin_not_allowed")


def test_a_preflight_for_another_method_is_told_the_allowed_ones(server):
    asked = {"Origin": "http://localhost:5173", "Access-Control-Request-Method": "PUT"}
    answer = httpx.options(f"{server.url}/v1/models", headers=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["access-control-allow-origin"] == asked["Origin"]
    assert "POST" in answer.headers["allow"]


def test_a_page_from_outside_may_reach_this_network_with_a_key(serve):
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    asked["Access-Control-Request-Private-Network"] = "true"
    answer = httpx.options(serve(api_key="k" * 20).url + "/v1/models", headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-private-network"]) == (200, "true")


def test_with_a_key_pages_from_anywhere_may(serve):
    answer = httpx.get(serve(api_key="k" * 20).url + "/nowhere", headers={"Origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    ("status", "text", "kind", "says"),
    [
        (500, "Internal Server Error", "server_error", "its log says which"),
        (400, "Failed to open a WebSocket connection: invalid X header: sk-1: x.\n", REFUSED, "invalid X header."),
        (403, "", REFUSED, "Forbidden."),
    ],
)
def test_a_handshake_that_fails_is_explained_and_nothing_repeated(status, text, kind, says):
    response = Handshakes().reject(status, text)
    assert int(response.headers["content-length"]) == len(response.body)
    error = json.loads(response.body)["error"]
    assert (response.status_code, error["type"]) == (status, kind)
    assert says in error["message"]
    assert "sk-1" not in error["message"]


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /", b"a" * 1024),
        (b"GET / HTTP/1.1\r\nx: ", b"a" * 1024),
        (b"GET / HTTP/1.1\r\n", b"x: " + b"a" * 1019 + b"\r\n"),
        (b"POST /transcribe HTTP/1.1\r\nHost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", b"a" * 1024),
    ],
    ids=["URL", "header", "headers", "trailer"],
)
def test_a_head_without_an_end_is_cut_off(server, begin, more):
    with rawsocket.Connection(server) as wire, contextlib.suppress(ConnectionError):
        wire.flood(begin, more, 64 * 1024)
        pytest.fail("64 MiB of a head were read")


def test_a_large_body_and_a_long_header_are_no_flood(server):
    answer = httpx.post(f"{server.url}/transcribe", headers={"x-long": "a" * 30_000}, files={"file": b"a" * 2_000_000})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, None)


def test_compression_is_declined(server):
    with server.socket(compression="deflate") as wire:
        assert "Sec-WebSocket-Extensions" not in wire.socket.response.headers
