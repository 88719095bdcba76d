"""What plain HTTP gets: two pages, and elsewhere the envelope of an error with words in it (contract A.0)."""

import json

import httpx
import pytest

import hark
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


def test_compression_is_declined(server):
    with server.socket(compression="deflate") as wire:
        assert "Sec-WebSocket-Extensions" not in wire.socket.response.headers
