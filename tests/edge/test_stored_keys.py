"""Keys of the store over the wire: they are asked for, end at once, keep to their origins and to their sessions."""

import json
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from hark.auth.keys import Keys, create_key, revoke_key
from hark.auth.places import rotate
from hark.auth.redis_server import RedisServer
from hark.auth.store import FILE
from redises import needs_redis
from serving import COMPLETED, PATIENCE_S, speech
from uploading import post

APP = "https://app.example"


@pytest.fixture(params=["folder", pytest.param("redis", marks=needs_redis)])
def place(request, tmp_path):
    """Where the keys are. Servers of former tests go on, and tell their Redis that they do."""
    return tmp_path if request.param == "folder" else Shared(request.getfixturevalue("redis").emptied(1))


class Shared(RedisServer):
    def __init__(self, url):
        super().__init__(url)
        self.url = url


@pytest.fixture
def stored(serve, place, tmp_path):
    return serve(data_dir=tmp_path, **({} if isinstance(place, Path) else {"redis": place.url}))


def bearer(credential):
    return {"additional_headers": {"Authorization": f"Bearer {credential}"}}


def greeting(server, **options):
    with server.socket(**options) as wire:
        return wire.receive()["type"]


def refusal(server, **options):
    with server.socket(**options) as wire:
        (event,), code, reason = wire.ending()
        return event["error"], code, reason


def mint(server, key, **headers):
    url = f"{server.url}/v1/realtime/client_secrets"
    return httpx.post(url, headers={"Authorization": f"Bearer {key}", **headers}, json={})


def test_the_first_key_closes_a_running_server_and_its_end_does_not_open_it(stored, place):
    assert greeting(stored) == "session.created"
    foreign = {"Origin": APP}
    assert "access-control-allow-origin" not in httpx.get(f"{stored.url}/health", headers=foreign).headers
    key = create_key(place, "phone", time.time())
    assert refusal(stored)[0]["code"] is None
    assert greeting(stored, **bearer(key), origin=APP) == "session.created"
    assert httpx.get(f"{stored.url}/health", headers=foreign).headers["access-control-allow-origin"] == "*"
    secret = mint(stored, key).json()["value"]
    assert greeting(stored, **bearer(secret), origin=APP) == "session.created"
    with stored.socket(**bearer(secret)) as wire:
        wire.receive()
        revoke_key(place, "phone", time.time())
        for credential in (key, secret):
            error, code, _ = refusal(stored, **bearer(credential))
            assert (error["code"], code) == ("invalid_api_key", 3000)
            assert "revoked" in error["message"]
        assert mint(stored, key).status_code == 401
        wire.send("input_audio_buffer.clear")  # what is open goes on while nothing is heard
        assert wire.receive()["type"] == "input_audio_buffer.cleared"
    assert refusal(stored)[0]["code"] is None


def test_a_key_and_its_secrets_keep_to_their_origins(stored, place):
    key = create_key(place, "page", time.time(), origins=[APP])
    secret = mint(stored, key).json()["value"]
    for credential in (key, secret):
        assert greeting(stored, **bearer(credential)) == "session.created"  # no browser: no origin
        assert greeting(stored, **bearer(credential), origin=APP) == "session.created"
        error, code, _ = refusal(stored, **bearer(credential), origin="https://evil.example")
        assert (error["code"], code) == ("origin_not_allowed", 3000)
    refused = mint(stored, key, Origin="https://evil.example")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "origin_not_allowed")


def test_a_key_and_its_secrets_keep_to_their_sessions(stored, place):
    key = create_key(place, "two", time.time(), max_sessions=2)
    other = create_key(place, "other", time.time(), max_sessions=1)
    secret = mint(stored, key).json()["value"]
    with stored.socket(**bearer(key)) as one, stored.socket(**bearer(secret)) as two:
        assert {one.receive()["type"], two.receive()["type"]} == {"session.created"}
        error, code, reason = refusal(stored, **bearer(secret))
        assert (error["code"], error["type"], code) == ("rate_limit_exceeded", "rate_limit_error", 1013)
        assert reason == "rate_limit_error.rate_limit_exceeded"
        assert greeting(stored, **bearer(other)) == "session.created"
        two.send("session.close")
        two.ending()
        one.send("session.close")
        one.ending()
    with stored.socket(**bearer(key)) as one, stored.socket(**bearer(secret)) as two:
        assert {one.receive()["type"], two.receive()["type"]} == {"session.created"}


def test_the_signing_key_is_rotated_while_the_server_runs(stored, place):
    key = create_key(place, "phone", time.time())
    secrets = []
    for _ in range(4):
        secrets.append(mint(stored, key).json()["value"])
        assert [greeting(stored, **bearer(secret)) for secret in secrets] == ["session.created"] * len(secrets)
        rotate(place, time.time())
    assert [greeting(stored, **bearer(secret)) for secret in secrets] == ["session.created"] * 4
    rotate(place, time.time(), drop_old=True)
    error, code, _ = refusal(stored, **bearer(secrets[-1]))
    assert (error["code"], code) == ("invalid_api_key", 3000)
    assert greeting(stored, **bearer(mint(stored, key).json()["value"])) == "session.created"


def test_a_session_outlives_its_secret(stored, place):
    key = create_key(place, "short", time.time())
    keys = Keys(None, place, lambda: time.time() - 595)  # five seconds are left
    secret = keys.mint(keys.admit([key]), minted_content(stored, key, place), 600).value
    with stored.socket(**bearer(secret)) as wire:
        assert wire.receive()["type"] == "session.created"
        while greeting(stored, **bearer(secret)) == "session.created":
            pass
        assert wire.hear("alpha") == "alpha"


def minted_content(server, key, place):
    """What the server puts into a secret."""
    return Keys(None, place).admit([mint(server, key).json()["value"]]).configuration


def test_minting_waits_for_the_store_and_nobody_waits_for_minting(serve, tmp_path):
    stored = serve(data_dir=tmp_path)
    key = create_key(tmp_path, "large", time.time())
    large = {"session": {"type": "realtime", "instructions": os.urandom(4_000).hex()}}
    call = {"headers": {"Authorization": f"Bearer {key}"}, "json": large, "timeout": 30}
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as writer, ThreadPoolExecutor() as pool:
        writer.execute("BEGIN IMMEDIATE")
        answer = pool.submit(httpx.post, f"{stored.url}/v1/realtime/client_secrets", **call)
        for _ in range(20):
            assert httpx.get(f"{stored.url}/health").status_code == 200
        assert not answer.done()
        writer.execute("ROLLBACK")
        assert answer.result().status_code == 200


def test_a_broken_store_is_the_servers_fault(serve, tmp_path):
    server = serve(data_dir=tmp_path)
    (tmp_path / "hark.db").write_text("no database")
    with server.socket() as wire:
        (event,), code, _ = wire.ending()
    error = event["error"]
    assert (error["type"], error["code"], code) == ("server_error", "key_store_unavailable", 1013)
    assert str(tmp_path) not in event["error"]["message"]
    for answer in (mint(server, "x"), post(server), httpx.get(f"{server.url}/v1/models")):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert (answer.json()["error"]["type"], answer.json()["error"]["code"]) == (error["type"], error["code"])
        assert str(tmp_path) not in answer.text


@pytest.mark.parametrize("by", ["key", "secret"])
def test_what_is_open_ends_with_a_key_that_is_revoked(stored, place, by):
    """Nothing that came is lost: the turn in hand is finished first."""
    key = create_key(place, "lost", time.time())
    other = create_key(place, "kept", time.time())
    credential = key if by == "key" else mint(stored, key).json()["value"]
    with stored.socket(**bearer(credential)) as wire, stored.socket(**bearer(other)) as beside:
        wire.receive()
        beside.receive()
        revoke_key(place, "lost", time.time())
        for each in (wire, beside):
            each.append(bytes(48_000 * 6))  # 6 s, which are written down
            each.append(speech("alpha", "bravo", "charlie", pause_s=0))
            each.until("input_audio_buffer.speech_started")
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and not (told := drained(wire)):
            wire.append(speech("delta", pause_s=0))
        events, code, reason = told
    types = [event["type"] for event in events]
    assert types[-1] == "error"
    assert events[-1]["error"]["code"] == "invalid_api_key"
    assert "was revoked" in events[-1]["error"]["message"]
    assert (code, reason) == (3000, "invalid_request_error.invalid_api_key")
    assert types.count(COMPLETED) == 1


def drained(wire):
    """How it ended, if it has."""
    wire.kept = getattr(wire, "kept", [])
    try:
        while True:
            wire.kept.append(json.loads(wire.socket.recv(0.1)))
    except TimeoutError:
        return None
    except ConnectionClosed as closed:
        return wire.kept, closed.rcvd.code, closed.rcvd.reason
