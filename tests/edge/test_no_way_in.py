"""Every route of the server without a credential: refused, or in the list of what is public by intent.

A route that is new stands in neither place until somebody has thought of it here.
"""

import re
import sys
from urllib.parse import quote

import httpx
import pytest
from starlette.routing import Route, WebSocketRoute

from hark import app
from hark.app import REALTIME_PATHS
from hark.edge import neighbours
from serving import Server

KEY = "sk-nobody-knows-this-one"
UPSTREAM_KEY = "sk-upstream-knows-this-one"
BODIES = {
    "nothing": {},
    "JSON": {"json": {"model": "whisper-1"}},
    "an offer": {"content": "v=0\r\nm=audio 9 x 0\r\n", "headers": {"content-type": "application/sdp"}},
    "a form": {"files": {"file": ("a.wav", b"RIFF"), "sdp": (None, "v=0")}},
}
WRONG = [
    {},
    {"authorization": "Bearer wrong"},
    {"authorization": "Bearer"},
    {"authorization": f"Basic {KEY}"},
    {"api-key": KEY[:-1]},
    {"authorization": f"Bearer {KEY.upper()}"},
    {"x-api-key": KEY},
    {"cookie": f"authorization={KEY}"},
    {"authorization": "Bearer ek_" + "A" * 60},
]
# What anybody may ask for, and why.
PUBLIC_PAGES = {
    "/": "the page that asks for the key, or where things are",
    "/console/{name}": "its files",
    "/docs": "what is documented anyway",
    "/docs/style.css": "its style",
    "/openapi.json": "the same for programs",
    "/health": "whether the server is up, for what watches it",
    "/ready": "whether it takes new sessions, for what balances",
}
# A plain request to the WebSocket's URL is told to upgrade, and an offer to call there is not public.
PUBLIC_EXPLANATIONS = {path + slash for path in REALTIME_PATHS for slash in ("", "/")}
PUBLIC_SOCKETS = {
    "/{path:path}": "which URL would be right",
    neighbours.PATH: "the same, to all but nodes of this installation (tests/edge/test_neighbours.py)",
}


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A server with keys of every kind, and its routes."""
    found, folder = [], tmp_path_factory.mktemp("walked")
    original = app.routes
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(app, "routes", lambda *given: found.extend(original(*given)) or found)
        server = Server(
            api_key=KEY,
            upstream_key=UPSTREAM_KEY,
            webrtc_turn_password="turn-" + KEY,
            data_dir=folder,
            node_address="192.0.2.9:8000",
        )
    server.secrets = (KEY, UPSTREAM_KEY, str(folder), str(folder.parent), "192.0.2.9")
    yield server, found
    server.stop()


def filled(path):
    return re.sub(r"\{\w+(:\w+)?\}", "rtc_x", path)


def refused(answer):
    assert answer.status_code == 401, (answer.request.method, answer.request.url, answer.status_code)
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] in (None, "invalid_api_key")


def says_no_secret(server, answer):
    shown = answer.text + repr(answer.headers)
    assert not [secret for secret in server.secrets if secret in shown]


def test_every_route_refuses_who_has_no_credential_or_is_public_by_intent(walked):
    server, routes = walked
    seen = set()
    with httpx.Client(base_url=server.url, timeout=20) as client:
        for route in routes:
            if isinstance(route, WebSocketRoute):
                continue
            assert isinstance(route, Route), f"{route!r} is walked by nobody"
            for method in route.methods - {"HEAD"}:
                seen.add(route.path)
                for given in BODIES.values() if method == "POST" else [{}]:
                    for wrong in WRONG:
                        options = given | {"headers": given.get("headers", {}) | wrong}
                        answer = client.request(method, filled(route.path), **options)
                        says_no_secret(server, answer)
                        if route.path in PUBLIC_EXPLANATIONS and answer.status_code == 426:
                            assert method == "GET" or given in (BODIES["nothing"], BODIES["JSON"])
                        elif route.path in PUBLIC_PAGES:
                            assert method == "GET"
                            assert answer.status_code in (200, 404)
                        else:
                            refused(answer)
    assert seen >= PUBLIC_PAGES.keys() | PUBLIC_EXPLANATIONS, "what is public by intent is not there"


def test_every_websocket_refuses_who_has_no_credential(walked):
    server, routes = walked
    sockets = [route.path for route in routes if isinstance(route, WebSocketRoute)]
    assert len(sockets) > len(REALTIME_PATHS)
    assert set(sockets) >= PUBLIC_SOCKETS.keys()
    for path in sockets:
        for query in ("", "?call_id=rtc_x", "?model=gpt-realtime&access_token=wrong", f"?key={KEY}"):
            for options in ({}, {"subprotocols": ["realtime", "openai-insecure-api-key.wrong"]}):
                with server.socket(filled(path) + query, **options) as wire:
                    (event,), code, _ = wire.ending()
                assert event["type"] == "error"
                assert KEY not in str(event)
                if path in PUBLIC_SOCKETS:
                    assert (event["error"]["code"], code) == ("unknown_url", 4000)
                else:
                    assert code == 3000, path
                    assert event["error"]["code"] in (None, "invalid_api_key")


def test_no_spelling_of_a_path_leads_around_the_door(walked):
    """Whatever a proxy in front may let through: nothing is answered but a refusal, or that nothing is there."""
    server, routes = walked
    closed = [route for route in routes if isinstance(route, Route) and route.path not in PUBLIC_PAGES]
    with httpx.Client(timeout=20) as client:
        for path in {filled(route.path) for route in closed}:
            for spelt in (
                f"/{path}", path.upper(), f"{path}//", f"/.{path}", f"/x/..{path}", f"{path};x", f"/health{path}",
                "/" + quote(path[1:], safe=""), f"/health/..{path}", path.replace("/v1", "/v1/."), f"{path}%00",
                f"{path}?x",
            ):  # fmt: skip
                for method in ("GET", "POST", "HEAD", "PUT"):
                    answer = client.request(method, server.url + spelt)
                    assert answer.status_code in (307, 400, 401, 404, 405, 426), (method, spelt, answer.status_code)
                    says_no_secret(server, answer)


# What people and other programs call models, and what reaches for a file.
PATHS = [
    "../../etc/passwd", "/etc/passwd", "....//....//etc/passwd", "..\\..\\windows\\win.ini", "file:///etc/passwd",
    "http://127.0.0.1:9/x", "moonshine-tiny-en/../../x", "\x00", "a\x00.onnx", "x" * 100_000,
    "\u202e\ufeffmodel", "💥" * 99, "~/.ssh/id_rsa", "$(id)", "%2e%2e%2f", "/", "con", "a\nb", "scripted\x00",
]  # fmt: skip


OPENED = []


def note(event, arguments):
    if event == "open":
        OPENED.append(str(arguments[0]))


@pytest.fixture(scope="module")
def hooked():
    sys.addaudithook(note)  # which nobody can take back


@pytest.fixture
def opened(hooked):
    """Every path that this process has opened since."""
    OPENED.clear()
    return OPENED


@pytest.mark.parametrize("name", PATHS, ids=lambda name: repr(name[:20]))
def test_no_model_name_reaches_a_file(server, opened, name):
    files = {"file": ("a.wav", b"RIFF"), "model": (None, name)}
    answers = [
        httpx.post(f"{server.url}/v1/audio/transcriptions", files=files),
        httpx.post(f"{server.url}/v1/realtime/client_secrets", json={"session": {"type": "realtime", "model": name}}),
        httpx.post(f"{server.url}/v1/realtime/client_secrets", json={"model": name}),
    ]
    if len(name) < 10_000:
        quoted = quote(name, safe="")
        answers.append(httpx.get(f"{server.url}/v1/models/{quoted}"))
        deployment = f"{server.url}/openai/deployments/{quoted}/audio/transcriptions"
        answers.append(httpx.post(deployment, files={"file": ("a.wav", b"RIFF"), "model": (None, name)}))
        with server.socket(f"/v1/realtime?intent=transcription&model={quoted}") as wire:
            (event,), code, _ = wire.ending()
            assert (event["error"]["code"], code) == ("invalid_model", 4000)
    for answer in answers:
        assert answer.status_code in (400, 404), (answer.request.url, answer.text[:200])
        assert "root:" not in answer.text
    with server.session() as wire:
        asked = {"type": "transcription", "audio": {"input": {"transcription": {"model": name}}}}
        assert wire.ask("session.update", session=asked)["error"]["code"] == "invalid_model"
    assert not [path for path in opened if len(name) > 3 and (name in path or "passwd" in path)]
