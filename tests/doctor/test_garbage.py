"""`hark doctor` before servers and logs that are anything at all: it finds something, and never breaks itself.

Rule: good answers and good logs are taken and values in them replaced, so that the garbage comes deep inside.
"""

import json
import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_logs import BY_HAND, HEARD, close, connect, error, post, socket_entry

from hark.auth.keys import create_key
from hark.doctor import call, ground, http, sockets, speech
from hark.doctor.logs import read_log
from hark.doctor.reading import diagnose
from hark.errors import CallerError

NESTED = json.loads("[" * 50 + "]" * 50)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
JUNK = SCALARS | st.sampled_from([[], {}, [[]], [None], {"": None}, 10**400, -1, 1000, "\ud800", "http://[", NESTED])
SECRET = "tk.0123456789abcdef"


@st.composite
def spoiled(draw, template):
    """The template with some of its values replaced, or left out."""

    def spoil(value):
        if draw(st.integers(0, 9)) == 0:
            return draw(JUNK)
        if isinstance(value, dict):
            return {name: spoil(inner) for name, inner in value.items() if draw(st.integers(0, 19))}
        return [spoil(inner) for inner in value] if isinstance(value, list) else value

    return spoil(template)


REFUSAL = error("No.", "invalid_value", event_id="event_1")
LOG = [connect("wss://u:p@host/v1/realtime?intent=transcription", ["realtime"], origin="https://a"), *HEARD, BY_HAND,
       REFUSAL, {"data": "{}"}, {"binary": 5}, {"text": "no"}, close(1006)]  # fmt: skip
HAR = {"log": {"entries": [socket_entry(*HEARD), post("/v1/realtime/calls", 401, REFUSAL, "application/sdp"),
                           post("/v1/realtime/client_secrets", 0, {}), socket_entry(status=403)]}}  # fmt: skip


@given(spoiled(LOG) | spoiled(HAR), st.booleans())
@example(
    {"log": {"entries": [None, {"request": 5}, {"request": {"url": "ws://["}, "response": {"status": "x"}}]}}, False
)
@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_log_is_read_or_refused(tmp_path, log, lines):
    text = "\n".join(map(json.dumps, log)) if lines and isinstance(log, list) else json.dumps(log)
    path = tmp_path / "log"
    path.write_text(text)
    try:
        steps = diagnose(read_log(path))
    except CallerError:
        return
    assert all(step.outcome in ("ok", "note", "broken") for step in steps)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000])
def test_what_no_parser_takes(tmp_path, content):
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(CallerError):
        read_log(path)


# ---- a server ------------------------------------------------------------------------------------------------------

ANSWERS = {
    "/v1/models": {"object": "list", "data": [{"id": "whisper-1", "object": "model"}]},
    "/v1/realtime/client_secrets": {"value": SECRET, "expires_at": 4e9, "session": {"expires_at": 0}},
    "/v1/realtime/transcription_sessions": {"client_secret": {"value": SECRET, "expires_at": 4e9}, "expires_at": 0},
}
EVENTS = [HEARD[0], {"type": "session.updated", "session": HEARD[0]["session"]}, *HEARD[4:], REFUSAL]


class Garbage:
    """Answers every request with what `answers` has for its path, and sends `events` to every WebSocket."""

    def __init__(self):
        self.answers, self.events = dict(ANSWERS), list(EVENTS)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            body = json.dumps(self.answers.get(scope["path"], {"detail": "Not Found"})).encode()
            kind = b"application/sdp" if scope["path"].endswith("/calls") else b"application/json"
            status = 200 if scope["path"] in self.answers else 404
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
            await send({"type": "http.response.body", "body": body})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            for event in self.events:
                await send({"type": "websocket.send", "text": json.dumps(event)})
            while (await receive())["type"] != "websocket.disconnect":
                pass


@contextmanager
def served(app):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def garbage():
    app = Garbage()
    with served(app) as app.url:
        yield app


@pytest.fixture
def hurried(monkeypatch):
    for module, name in ((sockets, "GREETING_S"), (speech, "UPDATE_S"), (speech, "TRANSCRIPT_S"), (call, "CONNECT_S"),
                         (call, "CHANNEL_S"), (http, "PATIENCE_S"), (sockets, "OPEN_S"), (http, "BODY_S")):  # fmt: skip
        monkeypatch.setattr(module, name, 0.2)
    monkeypatch.setattr(ground, "CONNECT_S", 1.0)


@given(
    st.fixed_dictionaries({path: spoiled(answer) for path, answer in ANSWERS.items()}),
    spoiled(EVENTS),
    st.booleans(),
)
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_answer_is_examined(garbage, examine, hurried, answers, events, calls):
    garbage.answers = answers | ({"/v1/realtime/calls": "v=0 no SDP"} if calls else {})
    garbage.events = events if isinstance(events, list) else [events]
    report = examine(garbage.url, "sk-any-0123456789")
    assert all(step.mend for step in report.steps if step.outcome == "broken")
    assert SECRET not in repr(report)


@contextmanager
def babbling(answer):
    """A port that reads a request, or a piece of one, sends these bytes and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble():
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    peer.settimeout(2)
                    try:
                        peer.recv(65_536)
                        peer.sendall(answer)
                    except OSError:
                        pass

        thread = threading.Thread(target=babble, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\n%s\r\n"
BABBLE = {
    "nothing": b"",
    "bytes": bytes(range(256)) * 20,
    "a deep nest": HEAD % (b"200 OK", b"") + b"[" * 100_000,
    "no Unicode": HEAD % (b"200 OK", b"") + b'{"data": "\xff\xfe"}',
    "half of the body": HEAD % (b"200 OK", b"Content-Length: 1000\r\n") + b"{}",
    "chunks that are none": HEAD % (b"200 OK", b"Transfer-Encoding: chunked\r\n") + b"zz\r\n{}",
    "a huge body": HEAD % (b"200 OK", b"") + b"x" * 5_000_000,
    "a strange status": HEAD % (b"999 What", b"") + b"{}",
    "a strange date": HEAD % (b"401 No", b"Date: Mon, 99 Foo 0000 99:99:99 GMT\r\n") + b"{}",
    "a redirection to nowhere": HEAD % (b"302 Found", b"Location: ://[\r\n"),
    "switching without a word": HEAD % (b"101 Switching Protocols", b"Upgrade: websocket\r\n"),
    "many headers": HEAD % (b"200 OK", b"X: y\r\n" * 500),
    "a terminal's commands": HEAD % (b"500 Oops", b"") + b"\x1b[2J\x1b]0;title\x07\x9b2J",
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("case", BABBLE)
def test_any_bytes_are_examined(examine, hurried, case, scheme):
    with babbling(BABBLE[case]) as port:
        report = examine(f"{scheme}://127.0.0.1:{port}", "sk-any-0123456789")
    assert not report.healthy
    assert report.steps[-1].mend
    assert all(step.got.isprintable() for step in report.steps)
    assert all(len(step.got) < 500 for step in report.steps)


# ---- fronts --------------------------------------------------------------------------------------------------------

PAGE = (404, b"text/html", b"<html><h1>404 Not Found</h1></html>")
LISTED = (200, b"application/json", json.dumps(ANSWERS["/v1/models"]).encode())


def front(models=LISTED, location=None):
    """A proxy of which the list of models answers `models`, all else is a page, and the WebSocket begins a session or
    is sent to another place."""

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            if location:
                headers = [(b"location", location)]
                await send({"type": "websocket.http.response.start", "status": 307, "headers": headers})
                await send({"type": "websocket.http.response.body", "body": b""})
                return
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": json.dumps(HEARD[0])})
            await receive()
            return
        status, kind, body = models if scope["path"] == "/v1/models" else PAGE
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": body})

    return app


def test_a_proxy_that_passes_on_the_websocket_alone(examine, hurried):
    with served(front(models=PAGE)) as url:
        steps = {step.floor: step for step in examine(url, "sk-any-0123456789").steps}
    assert (steps["HTTP"].outcome, steps["HTTP"].finding) == ("note", "no-model-list")
    assert steps["key"].outcome == "skipped"
    assert steps["session"].outcome == "broken", "nothing answers settings there"


@pytest.mark.parametrize("location", [b"/v1/realtime/", b"https://elsewhere.invalid/v1/realtime", b"://["])
def test_a_websocket_is_not_followed_elsewhere(examine, hurried, location):
    with served(front(location=location)) as url:
        report = examine(url, "sk-any-0123456789")
    assert (report.finding, report.steps[-1].floor) == ("redirected", "handshake")
    assert location.decode() in report.steps[-1].got


def test_a_key_with_its_line_break(examine, hurried):
    with served(front()) as url:
        report = examine(url, "sk-any-0123456789\n")
    assert (report.finding, report.steps[-1].floor) == ("unsendable-key", "key")


def test_a_model_that_cannot_be_asked_for_by_name(examine, hurried):
    with served(front()) as url:
        steps = {step.floor: step for step in examine(url, "sk-any-0123456789", model="some/alias").steps}
    assert (steps["model"].outcome, steps["model"].finding) == ("note", "model-not-listed")


def test_a_port_that_takes_connections_and_says_nothing(examine, hurried):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        report = examine(f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert (report.finding, report.steps[-1].floor) == ("server-hangs", "HTTP")


def test_a_key_for_one_session_at_once(examine, serve, tmp_path):
    key = create_key(tmp_path, "one", time.time(), max_sessions=1)
    report = examine(serve(data_dir=tmp_path).url, key)
    assert {step.outcome for step in report.steps} == {"ok", "skipped"}


def test_what_is_no_web_server(examine):
    with babbling(b"220 mail.example ESMTP\r\n") as port:
        report = examine(f"http://127.0.0.1:{port}")
    assert (report.finding, report.steps[-1].floor) == ("not-http", "HTTP")
