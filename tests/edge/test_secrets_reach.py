"""What a client secret is good for: what was begun with it, while it and its key are good, and nothing else."""

import asyncio
import json
import time

import httpx
import pytest
from websockets.sync.client import connect

from calling import SDP, Caller
from hark.app import AUDIO_PATHS, MODEL_PATHS, REALTIME_PATHS
from hark.auth.keys import Keys, create_key, revoke_key
from hark.auth.places import rotate
from hark.edge.calls import PATHS as CALL_PATHS
from serving import PATIENCE_S
from uploading import post

MINTS = [f"/v1/realtime/{name}" for name in ("client_secrets", "transcription_sessions", "sessions")]


def bearer(credential):
    return {"authorization": f"Bearer {credential}"}


def mint(server, key):
    return httpx.post(f"{server.url}{MINTS[0]}", headers=bearer(key), json={}).json()["value"]


def beside(server, call_id, credential):
    """What a WebSocket beside this call is told first."""
    url = f"ws{server.url.removeprefix('http')}/v1/realtime?call_id={call_id}"
    with connect(url, additional_headers=bearer(credential)) as socket:
        event = json.loads(socket.recv(PATIENCE_S))
        return event["error"]["code"] if event["type"] == "error" else event["type"]


def test_a_call_is_reached_by_its_key_and_by_the_secret_that_made_it(serve, tmp_path):
    server = serve(data_dir=tmp_path)
    key, other = (create_key(tmp_path, name, time.time()) for name in ("one", "two"))
    own, siblings, others = mint(server, key), mint(server, key), mint(server, other)

    async def scenario():
        async with Caller(server.url) as caller:
            await caller.call(headers=bearer(own))
            call_id = caller.location.rpartition("/")[2]
            hang_up = f"{server.url}{caller.location}/hangup"
            for stranger in (siblings, others, other):
                assert await asyncio.to_thread(beside, server, call_id, stranger) == "call_not_found"
                for verb in ("hangup", "accept"):
                    refused = httpx.post(hang_up.replace("hangup", verb), headers=bearer(stranger))
                    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "call_not_found")
            for known in (own, key):
                assert await asyncio.to_thread(beside, server, call_id, known) == "session.created"
            assert httpx.post(hang_up, headers=bearer(own)).status_code == 200

    asyncio.run(scenario())


def test_a_secret_does_not_reach_what_its_key_began_itself(serve, tmp_path):
    server = serve(data_dir=tmp_path)
    key = create_key(tmp_path, "one", time.time())
    secret = mint(server, key)

    async def scenario():
        async with Caller(server.url) as caller:
            await caller.call(headers=bearer(key))
            call_id = caller.location.rpartition("/")[2]
            assert await asyncio.to_thread(beside, server, call_id, secret) == "call_not_found"
            assert httpx.post(f"{server.url}{caller.location}/hangup", headers=bearer(key)).status_code == 200

    asyncio.run(scenario())


def every_use(server, credential):
    """The code of each refusal, of everything that a credential is good for."""
    headers = bearer(credential)
    asked = [
        *(httpx.post(server.url + path, headers=headers, json={}) for path in MINTS),
        *(httpx.get(server.url + path, headers=headers) for path in MODEL_PATHS),
        *(httpx.post(server.url + path, headers=headers | SDP, content="v=0") for path in CALL_PATHS),
        httpx.post(f"{server.url}{CALL_PATHS[0]}/rtc_x/hangup", headers=headers),
        post(server, headers=headers),
        post(server, url="/transcribe", headers=headers),
        post(server, url=f"{AUDIO_PATHS[0]}/translations", headers=headers),
    ]
    for answer in asked:
        assert answer.status_code == 401, answer.request.url
        yield answer.json()["error"]["code"]
    for path in REALTIME_PATHS:
        for options in (
            {"additional_headers": headers},
            {"subprotocols": ["realtime", f"openai-insecure-api-key.{credential}"]},
        ):
            with server.socket(path, **options) as wire:
                (event,), code, _ = wire.ending()
                assert code == 3000
                yield event["error"]["code"]


def expired(server, folder, key):
    """Minted when it would have been good until a second ago, with all that the server itself mints by."""
    keys = Keys(None, folder, lambda: time.time() - 601)
    genuine = Keys(None, folder).admit([mint(server, key)])
    return keys.mint(keys.admit([key]), genuine.configuration, 600).value


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        ("expired", "expired_client_secret"),
        ("revoked", "invalid_api_key"),
        ("rotated", "invalid_api_key"),
        ("cut", "invalid_api_key"),
        ("of another server", "invalid_api_key"),
        ("without its key", "invalid_api_key"),
    ],
)
def test_a_secret_that_has_ended_is_good_for_nothing(serve, tmp_path, ended, code):
    server = serve(data_dir=tmp_path)
    key = create_key(tmp_path, "one", time.time())
    secret = mint(server, key)
    if ended == "expired":
        secret = expired(server, tmp_path, key)
    elif ended == "revoked":
        revoke_key(tmp_path, "one", time.time())
    elif ended == "rotated":
        rotate(tmp_path, time.time(), drop_old=True)
    elif ended == "cut":
        secret = secret[:-4]
    elif ended == "of another server":
        elsewhere = tmp_path / "elsewhere"
        theirs = Keys(None, elsewhere)
        secret = theirs.mint(theirs.admit([create_key(elsewhere, "one", time.time())]), b"{}", 600).value
    else:  # what was minted while there was no key is worth nothing once there is one
        keyless = Keys(None, tmp_path / "none")
        keyless.mint(keyless.admit([]), b"{}", 600)
        (tmp_path / "none" / "signing-keys").write_text((tmp_path / "signing-keys").read_text())
        secret = keyless.mint(keyless.admit([]), b"{}", 600).value
    assert set(every_use(server, secret)) == {code}


def test_a_good_secret_mints_nothing_and_is_no_key(serve, tmp_path):
    server = serve(data_dir=tmp_path)
    secret = mint(server, create_key(tmp_path, "one", time.time()))
    for path in MINTS:
        answer = httpx.post(server.url + path, headers=bearer(secret), json={})
        assert answer.status_code == 401
        assert "cannot mint another" in answer.json()["error"]["message"]
    assert httpx.get(f"{server.url}/v1/models", headers=bearer(secret)).status_code == 200
    with server.socket(additional_headers=bearer(secret)) as wire:
        assert wire.receive()["type"] == "session.created"
