"""What minting and secrets refuse, each by its code and the path of the field, and what is told of it."""

import time
from datetime import UTC, datetime

import httpx
import pytest

from hark.auth.keys import Keys
from hark.core.settings import SessionSettings, Transcription
from hark.protocol.dialects import Choice
from hark.protocol.minting import pack
from minting import BEARER, ENDPOINTS, KEY, PLACES, mint, post, refusal, value


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_secret_mints_no_secret(keyed, endpoint):
    answer = post(keyed, endpoint, {}, headers={"Authorization": f"Bearer {value(mint(keyed, endpoint))}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "cannot mint another" in answer.json()["error"]["message"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(("headers", "code"), [({}, None), ({"Authorization": "Bearer x"}, "invalid_api_key")])
def test_minting_takes_the_key(keyed, endpoint, headers, code):
    answer = post(keyed, endpoint, {}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)


def test_a_page_from_elsewhere_mints_nothing_without_a_key(server, keyed):
    answer = post(server, "client_secrets", {}, headers={"Origin": "https://evil.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "origin_not_allowed")
    answer = post(keyed, "client_secrets", {}, headers=BEARER | {"Origin": "https://app.example"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    answer = post(keyed, "client_secrets", {"nope": 1}, headers=BEARER | {"Origin": "https://app.example"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (400, "*")


def test_an_altered_secret_is_refused_for_good(keyed):
    secret = value(mint(keyed))
    error, code = refusal(keyed, secret[:60] + ("A" if secret[60] != "A" else "B") + secret[61:])
    assert (error["code"], code) == ("invalid_api_key", 3000)
    assert "wrong signature" in error["message"]
    assert secret[:20] not in error["message"]


def test_an_expired_secret_says_when_and_what_to_do(serve, tmp_path):
    server = serve(api_key=KEY, data_dir=tmp_path)
    then = time.time() - 3600
    keys = Keys(KEY, tmp_path, lambda: then)
    error, code = refusal(server, keys.mint(keys.admit([KEY]), b"", 60).value)
    assert (error["code"], code) == ("expired_client_secret", 3000)
    assert datetime.fromtimestamp(int(then) + 60, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") in error["message"]
    assert "POST /v1/realtime/client_secrets" in error["message"]


def test_what_only_another_server_can_read_is_told(serve, tmp_path):
    server, keys = serve(api_key=KEY, data_dir=tmp_path), Keys(KEY, tmp_path)
    gone = pack(Choice("ga", SessionSettings(transcription=Transcription("gone"))))
    for content, expected in (
        (b"", ("invalid_api_key", 3000)),
        (b"[1]", ("invalid_api_key", 3000)),
        (gone, ("invalid_model", 4000)),
    ):
        secret = keys.mint(keys.admit([KEY]), content, 60).value
        error, closed = refusal(server, secret)
        assert (error["code"], closed) == expected
        assert "Mint another one" in error["message"]
    with server.socket("/v1/realtime?model=whisper-1", **PLACES["Authorization"](secret)) as wire:
        assert wire.receive()["session"]["audio"]["input"]["transcription"]["model"] == "whisper-1"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"bogus": 1}, "unknown_parameter", "bogus"),
        ({"expires_after": {"seconds": 60}}, "missing_required_parameter", "expires_after.anchor"),
        ({"expires_after": {"anchor": "now", "seconds": 60}}, "invalid_value", "expires_after.anchor"),
        ({"expires_after": {"anchor": "created_at", "seconds": 9}}, "integer_below_min_value", "expires_after.seconds"),
        (
            {"expires_after": {"anchor": "created_at", "seconds": 7201}},
            "integer_above_max_value",
            "expires_after.seconds",
        ),
        ({"expires_after": {"anchor": "created_at", "seconds": "x"}}, "invalid_value", "expires_after.seconds"),
        ({"expires_in": 1}, "integer_below_min_value", "expires_in"),
        ({"model": 5}, "invalid_value", "model"),
        ({"vad": "on"}, "invalid_value", "vad"),
        (b"{", "invalid_json", None),
        (b"\xff", "invalid_json", None),
        (b'{"model":"\xff"}', "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b"5", "invalid_json", None),
        (b'{"tools":' + b"[" * 9_000 + b"]" * 9_000 + b"}", None, None),
        (b"x" * 200_000, "request_too_large", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_named(keyed, endpoint, body, code, param):
    url = f"{keyed.url}/v1/realtime/{endpoint}"
    given = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = httpx.post(url, headers=BEARER, **given)
    error = answer.json()["error"]
    assert answer.status_code == (413 if code == "request_too_large" else 400)
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) > 15
    if code is not None:
        assert (error["code"], error["param"]) == (code, param)


@pytest.mark.parametrize(
    ("endpoint", "body", "code", "param"),
    [
        (
            "client_secrets",
            {"session": {"type": "transcription", "audio": {"input": {"transcription": {"model": "gpt-5"}}}}},
            "invalid_model",
            "session.audio.input.transcription.model",
        ),
        ("client_secrets", {"session": {"type": "nope"}}, "invalid_value", "session.type"),
        ("client_secrets", {"session": {"bogus": 1}}, "unknown_parameter", "session.bogus"),
        ("client_secrets", {"session": []}, "invalid_value", "session"),
        (
            "client_secrets",
            {"session": {"type": "transcription", "audio": {"input": {"turn_detection": {"threshold": 2.0}}}}},
            "decimal_above_max_value",
            "session.audio.input.turn_detection.threshold",
        ),
        ("transcription_sessions", {"model": "gpt-5"}, "invalid_model", "input_audio_transcription.model"),
        (
            "transcription_sessions",
            {"turn_detection": {"threshold": 2.0}},
            "decimal_above_max_value",
            "turn_detection.threshold",
        ),
        ("transcription_sessions", {"input_audio_format": "mp3"}, "invalid_value", "input_audio_format"),
        (
            "sessions",
            {"client_secret": {"expires_after": {"seconds": 60}}},
            "missing_required_parameter",
            "client_secret.expires_after.anchor",
        ),
        (
            "sessions",
            {"client_secret": {"expires_at": {"anchor": "created_at", "seconds": 1}}},
            "integer_below_min_value",
            "client_secret.expires_at.seconds",
        ),
    ],
)
def test_what_is_wrong_in_the_session_is_named_as_it_was_sent(keyed, endpoint, body, code, param):
    answer = post(keyed, endpoint, body)
    assert answer.status_code == 400
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == (code, param)


def test_an_offer_without_a_track_makes_no_call(keyed):
    headers = BEARER | {"Content-Type": "application/sdp"}
    answer = httpx.post(f"{keyed.url}/v1/realtime/transcription_sessions", headers=headers, content="v=0")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_offer")
