"""`hark serve --node-address`: real processes that share a data folder. What one of them has is reached through the
other, whichever worker of either that is; and when it is killed or hangs, the other says so within a bounded time."""

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack, ExitStack

import httpx
import pytest
from websockets.asyncio.client import connect

from calling import Caller
from deploying import free_port
from gateways import LINUX, Gateways, group
from serving import COMPLETED, PATIENCE_S, speech

pytestmark = pytest.mark.skipif(not LINUX, reason="processes are looked at in /proc")

SAID = speech("alpha", "bravo", "charlie", "delta", pause_s=0.8)
HALF = len(SAID) // 4 * 2


class Node(Gateways):
    def __init__(self, folder, data, workers=1, port=None, **variables):
        folder.mkdir()
        port = port or free_port()
        address = {"HARK_PORT": str(port), "HARK_NODE_ADDRESS": f"127.0.0.1:{port}"}
        super().__init__(folder, workers=workers, data=data, **address, **variables)

    def signal(self, how):
        """To all of its processes."""
        for pid in group(self.pid):
            os.kill(pid, how)


@pytest.fixture
def nodes(tmp_path):
    """Makes nodes that share a data folder."""
    with ExitStack() as stack:

        def made(name, **options):
            node = Node(tmp_path / name, tmp_path / "data", **options)
            stack.callback(node.kill)
            return node

        yield made


def hang_up(node, call_id):
    return httpx.post(f"{node.url}/v1/realtime/calls/{call_id}/hangup", timeout=PATIENCE_S)


def transcript(node, session_id):
    return httpx.get(f"{node.url}/v1/realtime/sessions/{session_id}/transcript", timeout=PATIENCE_S)


def missed(answer):
    return answer.status_code, answer.json()["error"]["code"]


def cut_off(node):
    """A session whose client says half of it and is cut off: its id, the item and the last event."""
    with node.session() as wire:
        wire.append(SAID[:HALF])
        (started,) = wire.until("input_audio_buffer.speech_started")
        wire.socket.socket.close()
    return wire.created["session"]["id"], started["item_id"], started["event_id"]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_one_node_has_is_reached_through_the_other(nodes, workers):
    one, other = nodes("one", workers=workers), nodes("other")
    session_id, item_id, last = cut_off(one)
    deadline = time.monotonic() + PATIENCE_S
    while transcript(other, session_id).json()["status"] != "away":
        assert time.monotonic() < deadline
    with other.socket(f"/v1/realtime?resume={session_id}&after={last}") as wire:
        assert wire.receive()["resumed"] == {"audio_end_ms": HALF // 48, "events_missed": False}
        wire.append(SAID[HALF:])
        heard = wire.until(COMPLETED)[-1]
        assert (heard["item_id"], heard["transcript"]) == (item_id, "alpha bravo charlie delta")
        shown = [transcript(node, session_id).json() for node in (other, one, one)]
        assert shown[0] == shown[1] == shown[2]
        assert shown[0]["text"] == "alpha bravo charlie delta"
        wire.send("session.close")
        wire.ending()

    async def call():
        async with Caller(one.url) as caller, AsyncExitStack() as stack:
            await caller.call()
            assert (await caller.receive())["type"] == "session.created"
            call_id = caller.location.rpartition("/")[2]
            target = f"/v1/realtime?call_id={call_id}"
            # One through each node; the workers of one take turns, so it is asked twice.
            beside = [
                await stack.enter_async_context(connect(f"ws{node.url[4:]}{target}", compression=None))
                for node in (other, one, one)
            ]
            for wire in beside:
                assert '"session.created"' in await asyncio.wait_for(wire.recv(), PATIENCE_S)
            await beside[0].send('{"type": "session.update", "session": {"type": "transcription"}}')
            for wire in beside:
                assert '"session.updated"' in await asyncio.wait_for(wire.recv(), PATIENCE_S)
            assert (await asyncio.to_thread(hang_up, other, call_id)).status_code == 200
            for wire in beside:
                await asyncio.wait_for(wire.wait_closed(), PATIENCE_S)
                assert wire.close_code == 1000
            for node in (one, one, other):
                assert missed(await asyncio.to_thread(hang_up, node, call_id)) == (404, "call_not_found")

    asyncio.run(asyncio.wait_for(call(), 2 * PATIENCE_S))


def test_a_node_that_is_killed_takes_its_sessions_along_and_nobody_waits_for_it(nodes):
    one, other = nodes("one"), nodes("other")
    session_id, _, _ = cut_off(one)
    with other.socket(f"/v1/realtime?resume={session_id}") as wire:
        assert wire.receive()["session"]["id"] == session_id
        one.signal(signal.SIGKILL)
        _, code, _ = wire.ending()
        assert code == 1011, "as when a worker dies: come again"
    again = nodes("again", port=one.port)  # at the same address, and without the session
    for node in (other, again):
        assert missed(transcript(node, session_id)) == (404, "session_not_found")
        with node.socket(f"/v1/realtime?resume={session_id}") as wire:
            (event,), code, _ = wire.ending()
            assert (event["error"]["code"], code) == ("session_not_found", 4000)
    with other.session() as wire:
        assert wire.hear("alpha") == "alpha", "a client begins anew"


def test_the_journal_of_a_node_that_is_back_is_read_through_the_other(nodes, tmp_path):
    kept = {"HARK_JOURNAL": str(tmp_path / "journal")}
    one, other = nodes("one", **kept), nodes("other")
    with one.session() as wire:
        assert wire.hear("alpha") == "alpha"
        one.signal(signal.SIGKILL)
    session_id = wire.created["session"]["id"]
    assert missed(transcript(other, session_id)) == (404, "session_not_found")
    nodes("again", port=one.port, **kept)
    body = transcript(other, session_id).json()
    assert (body["status"], body["text"]) == ("ended", "alpha")


def test_a_node_that_is_gone_is_answered_for(nodes):
    one, other = nodes("one"), nodes("other")
    session_id, _, _ = cut_off(one)
    one.signal(signal.SIGKILL)
    assert missed(transcript(other, session_id)) == (404, "session_not_found")
    assert other.logged("the node at http://127.0.0.1:[0-9]+ cannot be reached")


def test_a_node_that_is_stopped_lets_go_of_what_it_passes_on_and_that_goes_on(nodes):
    one, other = nodes("one"), nodes("other")
    session_id, item_id, last = cut_off(one)
    with other.socket(f"/v1/realtime?resume={session_id}&after={last}") as wire:
        wire.receive()
        other.stop()
        _, code, _ = wire.ending()
        assert code == 1012
    with one.socket(f"/v1/realtime?resume={session_id}&after={last}") as wire:
        assert wire.receive()["resumed"]["audio_end_ms"] == HALF // 48
        wire.append(SAID[HALF:])
        heard = wire.until(COMPLETED)[-1]
        assert (heard["item_id"], heard["transcript"]) == (item_id, "alpha bravo charlie delta")


def test_a_node_that_drains_ends_its_sessions_through_others_too(nodes):
    one, other = nodes("one"), nodes("other")
    with one.session() as wire:
        wire.socket.socket.close()
    session_id = wire.created["session"]["id"]
    with other.socket(f"/v1/realtime?resume={session_id}") as wire:
        wire.receive()
        assert httpx.post(f"{one.url}/drain").status_code == 202
        _, code, reason = wire.ending()
        assert (code, reason) == (1012, "server_draining")
        assert [httpx.get(f"{node.url}/ready").status_code for node in (one, other)] == [503, 200]
        assert transcript(other, session_id).json()["status"] == "ended"


def test_a_node_that_hangs_is_answered_for_and_found_again(nodes):
    one, other = nodes("one"), nodes("other")
    with one.session() as wire:
        assert wire.hear("alpha") == "alpha"
        wire.socket.socket.close()
    session_id = wire.created["session"]["id"]
    with other.socket(f"/v1/realtime?resume={session_id}") as wire:
        wire.receive()
        one.signal(signal.SIGSTOP)
        try:
            _, code, _ = wire.ending()
            assert code == 1011
            assert other.logged("has been silent for 5 s")
            assert missed(transcript(other, session_id)) == (404, "session_not_found")
        finally:
            one.signal(signal.SIGCONT)
    with other.socket(f"/v1/realtime?resume={session_id}") as wire:
        assert wire.receive()["session"]["id"] == session_id
        assert wire.hear("bravo") == "bravo"
    assert transcript(other, session_id).json()["text"] == "alpha bravo"
