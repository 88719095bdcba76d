"""Every endpoint with every method, body and fault that it does not take: always the envelope, with words in it, an id
and CORS (contract A.0, A.9)."""

import logging

import httpx
import pytest

from hark.app import AUDIO_PATHS, MODEL_PATHS, REALTIME_PATHS
from hark.edge.client_secrets import _BASES
from hark.protocol.minting import ENDPOINTS
from uploading import post, wav

KEY = "sk-one-two-three"
PAGE = "https://app.example"
UPLOADS = [
    *(path.replace("{deployment:path}", "whisper-1") + "/transcriptions" for path in AUDIO_PATHS),
    "/transcribe",
]
TRANSLATIONS = [path.replace("{deployment:path}", "whisper-1") + "/translations" for path in AUDIO_PATHS]
MINTS = [f"{base}/{endpoint}" for base in _BASES for endpoint in ENDPOINTS]
LISTS = [*MODEL_PATHS, *(f"{path}/whisper-1" for path in MODEL_PATHS)]
EVERY = [*REALTIME_PATHS, *MINTS, *LISTS, *UPLOADS, *TRANSLATIONS, "/", "/health", "/nowhere", "/v1", "//", "/%00"]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
OPEN = ["/", "/health"]


@pytest.fixture
def server(serve):
    return serve(api_key=KEY)


def checked(answer, origin=PAGE):
    """The error; of a HEAD there is none to see."""
    assert answer.headers["access-control-allow-origin"] in ("*", origin)
    assert answer.headers["x-request-id"].startswith("req_")
    if answer.request.method == "HEAD" or answer.is_success:
        return None
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.keys() - {"usage"} == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    kind = "server_error" if answer.status_code >= 500 else "invalid_request_error"
    assert body["error"]["type"] == kind
    assert len(body["error"]["message"]) > 20
    assert "Traceback" not in answer.text
    return body["error"]


def asked(server, method, path, headers=(), **options):
    headers = {"Origin": PAGE, "Authorization": f"Bearer {KEY}", **dict(headers)}
    return httpx.request(method, server.url + path, headers=headers, **options)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_on_every_path(server, method):
    for path in EVERY:
        answer = asked(server, method, path)
        error = checked(answer)
        if answer.status_code == 405:
            assert answer.headers["allow"]
            assert method not in answer.headers["allow"].split(", ")
        elif error is not None:
            assert answer.status_code in (400, 404, 415, 426), (path, answer.status_code)
        if path in REALTIME_PATHS and method == "GET":
            assert (answer.status_code, error["code"]) == (426, "upgrade_required")


@pytest.mark.parametrize("credential", [None, "Bearer wrong-key-of-theirs", "Basic dTpw"])
def test_every_path_asks_for_the_key(server, credential):
    for path in [*MINTS, *LISTS, *UPLOADS, *TRANSLATIONS]:
        headers = {"Origin": PAGE} | ({"Authorization": credential} if credential else {})
        answer = httpx.request("GET" if path in LISTS else "POST", server.url + path, headers=headers)
        assert answer.status_code == 401, path
        assert checked(answer)["code"] == ("invalid_api_key" if credential else None)


@pytest.mark.parametrize("path", EVERY)
def test_every_path_lets_pages_ask(server, path):
    wanted = "authorization, content-type, openai-beta, x-openai-agents-sdk"
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted}
    answer = httpx.options(server.url + path, headers=headers)
    assert answer.status_code == 200
    checked(answer)
    assert answer.headers["access-control-allow-headers"] == wanted


@pytest.mark.parametrize("path", MINTS)
@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"[1]", "application/json", 400, "invalid_json"),
        (b'{"bogus": 1}', "application/json", 400, "unknown_parameter"),
        (b'{"expires_in": "soon"}', "application/json", 400, "invalid_value"),
        (b'{"expires_in": 1}', "application/json", 400, "integer_below_min_value"),
        (b"v=0", "application/sdp", 400, "invalid_offer"),
        (b" " * 3_000_000, "application/json", 413, "request_too_large"),
    ],
    ids=str,
)
def test_what_minting_does_not_take(server, path, body, kind, status, code):
    answer = asked(server, "POST", path, {"Content-Type": kind}, content=body)
    assert (answer.status_code, checked(answer)["code"]) == (status, code)


@pytest.mark.parametrize("path", UPLOADS)
def test_what_uploads_do_not_take(server, path):
    headers = {"Origin": PAGE, "Authorization": f"Bearer {KEY}"}
    for answer, status, code in (
        (asked(server, "POST", path, json={"model": "whisper-1"}), 415, "unsupported_media_type"),
        (post(server, url=path, file=False, headers=headers), 400, "missing_required_parameter"),
        (post(server, url=path, file=wav()[:50], headers=headers), 400, None),
        (post(server, ("model", "gpt-5"), url=path, headers=headers), 404, "model_not_found"),
        (post(server, ("language", "xx"), url=path, headers=headers), 400, "invalid_language_format"),
    ):
        error = checked(answer)
        assert answer.status_code == status, error
        assert code in (error["code"], None)
        assert answer.json()["usage"] == {"type": "duration", "seconds": 0}


# ---- faults of ours


def broken(*given, **options):
    raise RuntimeError("sk-secret-of-theirs")


@pytest.mark.parametrize(
    ("method", "path", "where"),
    [
        ("GET", "/v1/models", "hark.edge.models._json"),
        ("POST", "/v1/realtime/client_secrets", "hark.protocol.minting.settle"),
        ("POST", "/v1/audio/transcriptions", "hark.edge.transcriptions.read_form"),
        ("POST", "/openai/deployments/x/audio/translations", "hark.edge.guard.admit"),
    ],
)
def test_a_fault_of_ours_leads_to_the_log_and_shows_nothing(server, monkeypatch, caplog, method, path, where):
    monkeypatch.setattr(where, broken)
    answer = asked(server, method, path)
    assert answer.status_code == 500
    message = checked(answer)["message"]
    assert answer.headers["x-request-id"] in message
    assert "RuntimeError" not in answer.text
    assert "sk-secret" not in answer.text
    errors = [record for record in caplog.records if record.levelno == logging.ERROR and record.name == "hark.http"]
    (record,) = [record for record in errors if answer.headers["x-request-id"] in record.getMessage()]
    assert record.exc_info[0] is RuntimeError


def test_a_stream_that_meets_one_ends_with_it(server, monkeypatch):
    monkeypatch.setattr("hark.protocol.transcripts.Heard.done", broken)
    answer = post(server, ("stream", "true"), headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200
    *_, last, done, empty = answer.text.split("\n\n")
    assert answer.headers["x-request-id"] in last
    assert last.startswith('data: {"error":{"message":"The server failed on this request.')
    assert (done, empty) == ("data: [DONE]", "")


def test_a_handshake_that_meets_one_says_so(server, monkeypatch):
    monkeypatch.setattr("hark.protocol.dialects.choose", broken)
    with server.socket(additional_headers={"api-key": KEY}) as wire:
        request_id = wire.socket.response.headers["x-request-id"]
        (event,), code, reason = wire.ending()
    assert (event["error"]["type"], code, reason) == ("server_error", 1011, "server_error")
    assert request_id in event["error"]["message"]
    assert "sk-secret" not in event["error"]["message"]
