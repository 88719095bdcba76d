"""A server that is taken out of service: nobody is cut off in mid-word, newcomers are told to come back."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from calling import Caller
from hark.auth.keys import create_key
from minting import KEY
from serving import COMPLETED, PATIENCE_S, Server, speech
from uploading import post

STARTED = "input_audio_buffer.speech_started"
SAID = speech("alpha", "bravo", "charlie", "delta", pause_s=0.8)
HALF = 24_000
OWN = {"authorization": f"Bearer {KEY}"}


@pytest.fixture
def own():
    """Servers of the test's own: those of others are to stay in service."""
    with ExitStack() as stack:

        def made(**options):
            server = Server(**options)
            stack.callback(server.stop)
            return server

        yield made


def drain(server, **headers):
    return httpx.post(f"{server.url}/drain", headers=headers)


def ready(server):
    answer = httpx.get(f"{server.url}/ready")
    assert answer.status_code in (200, 503), answer.text
    if answer.status_code == 503:
        assert answer.json()["error"]["code"] == "server_draining"
        return False
    assert answer.json() == {"status": "ready"}
    return True


def test_turns_in_hand_are_finished_and_newcomers_are_sent_elsewhere(own):
    server = own()
    assert ready(server)
    with server.session() as idle, server.session() as talking:
        talking.append(SAID[:HALF])
        talking.until(STARTED)
        answer = drain(server)
        assert (answer.status_code, answer.json()) == (202, {"status": "draining"})
        assert not ready(server)
        assert httpx.get(f"{server.url}/health").status_code == 200
        events, code, reason = idle.ending()
        assert (events, code, reason) == ([], 1012, "server_draining")
        with server.socket() as late:
            (event,), code, _ = late.ending()
            assert (event["error"]["code"], code) == ("server_draining", 1012)
        refused = post(server, ("model", "whisper-1"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_draining")
        assert int(refused.headers["retry-after"]) > 0
        talking.append(SAID[HALF:])
        events, code, reason = talking.ending()
        assert (code, reason) == (1012, "server_draining")
        assert events[-1]["transcript"] == "alpha bravo charlie delta"
    assert httpx.delete(f"{server.url}/drain").status_code == 200
    assert ready(server)
    with server.session() as wire:
        assert wire.hear("echo") == "echo"


def test_patience_has_an_end(own):
    server = own(drain_seconds=0.3)
    with server.session() as talking:
        talking.append(SAID[:HALF])
        talking.until(STARTED)
        drain(server)
        events, code, _ = talking.ending()
        assert (events[-1]["type"], code) == (COMPLETED, 1012)
        assert events[-1]["transcript"].split()[:2] == ["alpha", "bravo"]


def test_stopping_is_draining(own):
    server = own()
    with ThreadPoolExecutor(1) as pool, server.session() as talking:
        talking.append(SAID[:HALF])
        talking.until(STARTED)
        stopping = pool.submit(server.stop)
        patient_until = time.monotonic() + PATIENCE_S
        while ready(server) and time.monotonic() < patient_until:
            time.sleep(0.01)
        assert not ready(server), "it still answers"
        talking.append(SAID[HALF:])
        events, code, _ = talking.ending()
        assert (events[-1]["transcript"], code) == ("alpha bravo charlie delta", 1012)
        stopping.result(PATIENCE_S)


def test_a_server_that_stops_does_not_go_back_into_service(own):
    server = own(drain_seconds=600)
    with ThreadPoolExecutor(1) as pool, server.session() as talking:
        talking.append(SAID[:HALF])
        talking.until(STARTED)
        stopping = pool.submit(server.stop)
        patient_until = time.monotonic() + PATIENCE_S
        while ready(server) and time.monotonic() < patient_until:
            time.sleep(0.01)
        httpx.delete(f"{server.url}/drain")
        assert not ready(server)
        talking.append(SAID[HALF:])
        events, code, _ = talking.ending()
        assert (events[-1]["transcript"], code) == ("alpha bravo charlie delta", 1012)
        stopping.result(PATIENCE_S)


def test_a_session_whose_client_is_away_is_finished_without_waiting_for_it(own):
    server = own(resume_seconds=600, drain_seconds=600)
    with server.session() as wire:
        session_id = wire.created["session"]["id"]
        wire.append(SAID[:HALF])
        wire.until(STARTED)
        wire.socket.socket.close()
    url = f"{server.url}/v1/realtime/sessions/{session_id}/transcript"
    patient_until = time.monotonic() + PATIENCE_S
    while httpx.get(url).json()["status"] != "away" and time.monotonic() < patient_until:
        time.sleep(0.01)
    drain(server)
    while (body := httpx.get(url).json())["status"] != "ended" and time.monotonic() < patient_until:
        time.sleep(0.01)
    assert [item["status"] for item in body["items"]] == ["completed"]


def test_a_call_finishes_its_turn_and_no_other_begins(own):
    server = own(drain_seconds=600)

    async def scenario():
        async with Caller(server.url) as caller, asyncio.timeout(60):
            await caller.call()
            await caller.until("session.created")
            assert (await asyncio.to_thread(drain, server)).status_code == 202
            async with Caller(server.url) as late:
                with pytest.raises(Exception, match="server_draining"):
                    await late.call()
            while await caller.receive() is not None:  # the channel is closed
                pass

    asyncio.run(scenario())


def test_only_the_operator_may(own, tmp_path):
    key = create_key(tmp_path, "phone", time.time())
    keyed = own(api_key=KEY, data_dir=tmp_path)
    secret = httpx.post(f"{keyed.url}/v1/realtime/client_secrets", headers=OWN, json={}).json()["value"]
    for headers in ({}, {"authorization": f"Bearer {key}"}, {"authorization": f"Bearer {secret}"}):
        for method in ("POST", "DELETE"):
            assert httpx.request(method, f"{keyed.url}/drain", headers=headers).status_code == 401
    assert ready(keyed)
    assert drain(keyed, **OWN).status_code == 202
    assert not ready(keyed)


def test_a_client_that_came_through_the_door_as_it_shut_is_asked_to_leave(own):
    server = own()
    with server.session() as wire:
        drain(server)
        assert wire.ending()[1] == 1012
        with pytest.raises(ConnectionClosed):
            wire.append(SAID)
