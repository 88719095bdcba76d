"""`hark serve` as real processes that are stopped, drained, and come back to: by one process and by several."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from gateways import LINUX, Gateways, until
from serving import COMPLETED, PATIENCE_S, speech

pytestmark = pytest.mark.skipif(not LINUX, reason="processes are looked at in /proc")

STARTED = "input_audio_buffer.speech_started"
SAID = speech("alpha", "bravo", "charlie", "delta", pause_s=0.8)
HALF = 24_000


@pytest.fixture
def gateways(tmp_path):
    with ExitStack() as stack:

        def made(*flags, **options):
            server = Gateways(tmp_path, *flags, **options)
            stack.callback(server.kill)
            return server

        yield made


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_turns_be_finished(gateways, workers, how):
    server = gateways(workers=workers)
    with ExitStack() as stack:
        talking = [stack.enter_context(server.session()) for _ in range(2)]
        for wire in talking:
            wire.append(SAID[:HALF])
            wire.until(STARTED)
        pool = stack.enter_context(ThreadPoolExecutor(1))
        stopping = pool.submit(server.stop, how)
        until(lambda: httpx.get(f"{server.url}/ready").status_code == 503)
        with server.socket() as late:
            (event,), code, _ = late.ending()
            assert (event["error"]["code"], code) == ("server_draining", 1012)
        for wire in talking:
            wire.append(SAID[HALF:])
            events, code, reason = wire.ending()
            assert events[-1]["transcript"] == "alpha bravo charlie delta"
            assert (code, reason) == (1012, "server_draining")
        stopping.result(PATIENCE_S)
    assert server.code == 0


def test_an_idle_server_stops_at_once(gateways):
    server = gateways()
    with server.session():
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 10, "the drain time is 15 s"


def test_one_that_is_asked_drains_all(gateways):
    server = gateways()
    with ExitStack() as stack:
        wires = [stack.enter_context(server.session()) for _ in range(4)]
        assert httpx.post(f"{server.url}/drain").status_code == 202
        assert [wire.ending()[1:] for wire in wires] == [(1012, "server_draining")] * 4
    assert httpx.delete(f"{server.url}/drain").status_code == 200
    until(lambda: all(httpx.get(f"{server.url}/ready").status_code == 200 for _ in range(4)))
    with server.session() as wire:
        assert wire.hear("alpha") == "alpha"


def test_a_gateway_that_starts_while_the_server_drains_drains_too(gateways):
    server = gateways()
    assert httpx.post(f"{server.url}/drain").status_code == 202
    for pid in server.pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(re.findall(r"gateway \d \(process \d+\) is there", server.log)) == 2)
    assert [httpx.get(f"{server.url}/ready").status_code for _ in range(4)] == [503] * 4
    assert httpx.delete(f"{server.url}/drain").status_code == 200
    until(lambda: all(httpx.get(f"{server.url}/ready").status_code == 200 for _ in range(4)))


def test_a_session_is_found_by_whichever_gateway_is_asked(gateways):
    server = gateways()
    for _ in range(3):
        with server.session() as wire:
            session_id = wire.created["session"]["id"]
            wire.append(SAID[:HALF])
            (started,) = wire.until(STARTED)
            wire.socket.socket.close()
        url = f"{server.url}/v1/realtime/sessions/{session_id}/transcript"
        until(lambda url=url: httpx.get(url).json().get("status") == "away")
        assert {httpx.get(url).status_code for _ in range(4)} == {200}
        target = f"/v1/realtime?intent=transcription&resume={session_id}&after={started['event_id']}"
        with server.socket(target) as wire:
            assert wire.receive()["resumed"] == {"audio_end_ms": 500, "events_missed": False}
            wire.append(SAID[HALF:])
            assert wire.until(COMPLETED)[-1]["transcript"] == "alpha bravo charlie delta"


def test_the_session_of_a_gateway_that_died_is_not_there(gateways):
    server = gateways()
    with server.session() as wire:
        session_id = wire.created["session"]["id"]
        os.kill(server.holder(wire), signal.SIGKILL)
    until(lambda: server.logged(r"gateway \d \(process \d+\) is there"))
    with server.socket(f"/v1/realtime?intent=transcription&resume={session_id}") as wire:
        (event,), code, _ = wire.ending()
        assert (event["error"]["code"], code) == ("session_not_found", 4000)
    assert httpx.get(f"{server.url}/v1/realtime/sessions/{session_id}/transcript").status_code == 404
