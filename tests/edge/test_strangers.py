"""Pages that are not ours, names that are not ours, and what every answer says to browsers."""

import json
import socket

import httpx
import pytest
from websockets.sync.client import connect

from hark.app import AUDIO_PATHS, MODEL_PATHS
from serving import PATIENCE_S, Wire

KEY = "sk-strangers-one-two"
FORBIDDEN = {  # of every answer
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
# A page of this name has its DNS answer with 127.0.0.1: to its browser it is the page's own origin.
STRANGE_NAMES = [
    "evil.example", "evil.example:8000", "EVIL.EXAMPLE.:8000", "localhost.evil.example", "127.0.0.1.evil.example",
    "1.2.3.4.nip.example", "local.example", "xlocal.example:80", "[::1", "a.b]",
]  # fmt: skip
OWN_NAMES = [
    "127.0.0.1", "localhost", "LOCALHOST:8000", "[::1]:8000", "192.168.1.2:8000", "hark", "hark:8000",
    "host.docker.internal:8000", "box.local", "hark.localhost", "nas.lan.", "x.home.arpa", "",
]  # fmt: skip
ASKED = [
    ("GET", MODEL_PATHS[0]),
    ("GET", f"{MODEL_PATHS[0]}/whisper-1"),
    ("POST", "/v1/realtime/client_secrets"),
    ("POST", "/v1/realtime/calls"),
    ("POST", "/v1/realtime/calls/rtc_x/hangup"),
    ("POST", f"{AUDIO_PATHS[0]}/transcriptions"),
    ("POST", f"{AUDIO_PATHS[0]}/translations"),
    ("POST", "/transcribe"),
]


def asked(server, method, path, **headers):
    return httpx.request(method, server.url + path, headers=headers)


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_name_that_a_stranger_can_own_is_not_answered_to_without_a_key(server, name):
    for method, path in ASKED:
        answer = asked(server, method, path, Host=name)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "origin_not_allowed"), path
        assert name in answer.json()["error"]["message"]


def test_nor_does_a_websocket(server):
    port = int(server.url.rpartition(":")[2])
    own = socket.create_connection(("127.0.0.1", port))
    with connect(f"ws://evil.example:{port}/v1/realtime", sock=own, origin=f"http://evil.example:{port}") as wire:
        assert json.loads(wire.recv(PATIENCE_S))["error"]["code"] == "origin_not_allowed"
    own = socket.create_connection(("127.0.0.1", port))
    with connect(f"ws://evil.example:{port}/v1/realtime", sock=own) as wire:
        (event,), code, _ = Wire(wire).ending()
    assert (event["error"]["code"], code) == ("origin_not_allowed", 3000)


@pytest.mark.parametrize("name", OWN_NAMES)
def test_an_address_and_names_of_this_network_are(server, name):
    assert asked(server, "GET", MODEL_PATHS[0], Host=name).status_code == 200


def test_with_a_key_or_for_anyone_the_name_does_not_matter(serve):
    bearer = {"Authorization": f"Bearer {KEY}", "Host": "hark.example"}
    assert asked(serve(api_key=KEY), "GET", MODEL_PATHS[0], **bearer).status_code == 200
    assert asked(serve(allow_anonymous=True), "GET", MODEL_PATHS[0], Host="hark.example").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("GET", "/health"), ("GET", "/docs"), ("GET", "/docs/style.css"), ("GET", "/openapi.json"),
        ("GET", "/console/style.css"), ("GET", "/console/main.js"), ("GET", "/console/icon.svg"), ("GET", "/nowhere"),
        ("GET", "/v1/models"), ("GET", "/v1/realtime"), ("POST", "/v1/realtime/client_secrets"), ("PUT", "/v1/models"),
        ("OPTIONS", "/v1/models"), ("POST", "/v1/audio/transcriptions"), ("POST", "/v1/realtime/calls"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_every_answer_is_guarded(server, method, path, accept):
    headers = asked(server, method, path, Accept=accept).headers
    assert {name: headers[name] for name in FORBIDDEN} == FORBIDDEN
    if path.endswith(".js"):
        assert "content-security-policy" not in headers
    else:
        policy = headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy)
        assert not [part for part in policy if "unsafe" in part or "*" in part]


def test_a_secret_is_kept_nowhere_on_its_way(server):
    assert asked(server, "POST", "/v1/realtime/client_secrets").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("options", [{}, {"allow_anonymous": True}])
def test_no_page_takes_a_server_out_of_service(serve, options):
    """Not even where any page may speak: one that is looked at on the server's own machine comes from there."""
    server = serve(**options)
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
        for method in ("POST", "DELETE"):
            assert asked(server, method, "/drain", **headers).status_code == 401
    assert asked(server, "GET", "/ready").status_code == 200


@pytest.mark.parametrize(("host", "told"), [("localhost:8000", True), ("[::1]", True), ("box.local", False)])
def test_what_browsers_would_not_heed_is_not_said(server, host, told):
    """They complain of it on the page's console, where its name is no machine of their own and no TLS is between."""
    answer = httpx.get(server.url, headers={"Host": host})
    assert ("cross-origin-opener-policy" in answer.headers) is told
