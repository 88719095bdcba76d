"""`hark serve --workers N`: real processes. Connections are spread, what holds for the server holds over all of them,
one that dies is replaced, and none is left behind."""

import asyncio
import json
import os
import re
import resource
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from calling import Caller
from gateways import LINUX, Gateways, group, started, until
from hark.app import share
from hark.auth.keys import create_key
from hark.cli.supervisor import supervised
from hark.compute.cores import usable_cores
from hark.errors import OperatorError
from serving import PATIENCE_S, settings

pytestmark = pytest.mark.skipif(not LINUX, reason="processes are looked at in /proc")

GREETING = "session.created"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two gateways, which no test harms."""
    server = Gateways(tmp_path_factory.mktemp("two"))
    yield server
    server.stop()


@pytest.fixture
def gateways(tmp_path):
    """Gateways of the test's own."""
    with ExitStack() as stack:

        def made(*flags, **options):
            server = Gateways(tmp_path, *flags, **options)
            stack.callback(server.kill)
            return server

        yield made


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as threads:
        yield threads


def bearer(key):
    return {"additional_headers": {"Authorization": f"Bearer {key}"}}


def test_the_banner_is_said_once(two):
    assert re.search(r"Hark listens at http://127.0.0.1:\d+ with scripted, 2 workers\.", two.banner)
    assert len(two.pids) == 2


def test_connections_are_spread_and_each_gateway_transcribes(two):
    with ExitStack() as stack:
        wires = [stack.enter_context(two.session()) for _ in range(6)]
        held = [two.holder(wire) for wire in wires]
        assert {pid: held.count(pid) for pid in two.pids} == dict.fromkeys(two.pids, 3)
        assert [wire.hear("alpha", "bravo") for wire in wires] == ["alpha bravo"] * 6
    assert httpx.get(f"{two.url}/health").json() == {"status": "ok"}


def test_a_call_is_reached_through_the_other_gateway(two):
    async def scenario():
        async with Caller(two.url) as caller, AsyncExitStack() as stack:
            await caller.call()
            assert (await caller.receive())["type"] == GREETING
            call_id = caller.location.rpartition("/")[2]
            target = f"/v1/realtime?call_id={call_id}"
            beside = {}
            while set(beside) < set(two.pids):
                wire = _Wire(await stack.enter_async_context(connect(f"ws{two.url[4:]}{target}", compression=None)))
                beside[await asyncio.to_thread(two.holder, wire)] = wire
                assert await wire.hears(GREETING)
            for wire in beside.values():
                await wire.socket.send('{"type": "session.update", "session": {"type": "transcription"}}')
                assert [await each.hears("session.updated") for each in beside.values()] == [True, True]
                assert (await caller.receive())["type"] == "session.updated"
            client, path = await elsewhere(stack, call_id)
            answers = [await client.post(f"{path}/hangup") for _ in range(2)]
            assert [each.status_code for each in answers] == [200, 404]
            assert answers[1].json()["error"]["code"] == "call_not_found"
            for wire in beside.values():
                await asyncio.wait_for(wire.socket.wait_closed(), PATIENCE_S)
                assert wire.socket.close_code == 1000

    async def elsewhere(stack, call_id):
        """A client whose connection is at the gateway that does not have the call."""
        path = f"/v1/realtime/calls/{call_id}"
        while True:
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=two.url))
            answer = await client.post(f"{path}/refer")
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "not_a_telephone_call")
            said = rf"\[(\d)\] hark.http: POST {path}/refer: 400 .*{answer.headers['x-request-id']}"
            if int(until(partial(two.logged, said))[1]) != int(call_id[4:6], 16):
                return client, path

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


class _Wire:
    """An asynchronous WebSocket."""

    def __init__(self, socket):
        self.socket = socket

    async def hears(self, kind):
        return json.loads(await asyncio.wait_for(self.socket.recv(), PATIENCE_S))["type"] == kind


def test_the_supervisor_keeps_no_connection_that_it_has_given_away(two):
    def count():
        return len(list(Path(f"/proc/{two.pid}/fd").iterdir()))

    before = count()
    assert [httpx.get(f"{two.url}/health").status_code for _ in range(20)] == [200] * 20
    until(lambda: count() <= before)


@pytest.mark.parametrize("call_id", ["rtc_none", "rtc_00" + "0" * 20, "rtc_01" + "0" * 20, "rtc_c8" + "0" * 20])
def test_a_call_that_is_not_there_is_missed_by_each(two, call_id):
    for _ in range(2):
        answer = httpx.post(f"{two.url}/v1/realtime/calls/{call_id}/hangup")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "call_not_found")
        with two.socket(f"/v1/realtime?call_id={call_id}") as wire:
            (event,), code, _ = wire.ending()
            assert (event["error"]["code"], code) == ("call_not_found", 4000)


def test_sessions_at_once_are_counted_over_all_and_those_of_a_killed_one_are_free_again(gateways, tmp_path):
    key = create_key(tmp_path / "data", "app", 0, max_sessions=2)
    server = gateways()
    url = f"{server.url}/v1/realtime/client_secrets"
    minted = httpx.post(url, headers={"Authorization": f"Bearer {key}"}, json={}).json()["value"]

    def refused():
        with server.socket(**bearer(key)) as wire:
            event = wire.receive()
            return event["type"] == "error" and event["error"]["code"] == "rate_limit_exceeded"

    with ExitStack() as stack:
        wires = [stack.enter_context(server.socket(**bearer(minted))) for _ in range(2)]
        assert [wire.receive()["type"] for wire in wires] == [GREETING] * 2
        assert {server.holder(wire) for wire in wires} == set(server.pids), "a secret should be good at both"
        assert [refused(), refused()] == [True, True]
        os.kill(server.holder(wires[0]), signal.SIGKILL)
        until(lambda: not refused())
        wires[1].append(bytes(2))  # and the other one goes on
        until(lambda: len(server.pids) == 2)
    until(lambda: not refused())


def test_max_sessions_are_those_of_the_server(gateways):
    server = gateways("--max-sessions", "2")
    with server.session(), server.session(), server.socket() as wire:
        (event,), code, _ = wire.ending()
        assert (event["error"]["code"], code) == ("server_overloaded", 1013)
        assert "--max-sessions allows 2" in event["error"]["message"]


def test_sessions_of_an_address_are_counted_over_all(gateways):
    server = gateways("--max-sessions-per-address", "2", "--forwarded-allow-ips", "127.0.0.1")
    here = {"additional_headers": {"X-Forwarded-For": "2001:db8::1"}}
    there = {"additional_headers": {"X-Forwarded-For": "2001:db8:0:1::1"}}
    with ExitStack() as stack:
        one, two = (stack.enter_context(server.socket(**here)) for _ in range(2))
        assert [one.receive()["type"], two.receive()["type"]] == [GREETING] * 2
        assert {server.holder(one), server.holder(two)} == set(server.pids)
        three = stack.enter_context(server.socket(**here))
        (event,), code, _ = three.ending()
        assert (event["error"]["code"], code) == ("rate_limit_exceeded", 1013)
        assert "your network address may have 2" in event["error"]["message"]
        with server.socket(**there) as neighbour:
            assert neighbour.receive()["type"] == GREETING
        one.send("session.close")
        one.ending()
        with server.socket(**here) as next_:
            assert next_.receive()["type"] == GREETING


def test_a_gateway_that_dies_is_replaced_and_nobody_else_notices(gateways):
    server = gateways()
    before = server.pids
    with server.session() as one, server.session() as other:
        killed = server.holder(one)
        os.kill(killed, signal.SIGKILL)
        assert other.hear("alpha") == "alpha"
        until(lambda: "is there" in server.log)
        assert len(server.pids) == 2
        assert killed not in server.pids
        assert other.hear("bravo") == "bravo"
        with server.session() as third:
            assert server.holder(third) not in before
            assert third.hear("charlie") == "charlie"
    assert re.search(rf"gateway \d \(process {killed}\): ended by signal 9; another one starts in 0\.5 s", server.log)


def test_who_was_given_to_a_gateway_that_never_took_him_is_given_to_another(gateways, pool):
    server = gateways()

    def greeted():
        with server.session() as wire:
            return wire.created["type"]

    os.kill(server.pids[0], signal.SIGSTOP)
    greetings = [pool.submit(greeted) for _ in range(8)]
    until(lambda: sum(each.done() for each in greetings) >= 4)  # by the other one
    os.kill(server.pids[0], signal.SIGKILL)
    assert [each.result(PATIENCE_S) for each in greetings] == [GREETING] * 8


def test_a_gateway_without_a_free_descriptor_drops_who_comes_and_goes_on(gateways):
    server = gateways(workers=2)
    limits = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in server.pids}
    with server.session() as one, server.session() as other:
        for pid, (_, most) in limits.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, most))  # those that it has are over it
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/health")
        assert "no descriptor is free" in server.log
        for pid, limit in limits.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
        for _ in range(4):
            assert httpx.get(f"{server.url}/health").status_code == 200
        assert [one.hear("alpha"), other.hear("bravo")] == ["alpha", "bravo"]


def test_sigterm_ends_all_of_it(gateways):
    server = gateways(workers=3)
    assert len(server.pids) == 3
    with server.session() as wire:
        said = server.stop()
        _, code, _ = wire.ending()
    assert (code, server.code, said.count("Stopping.")) == (1012, 0, 1)
    assert not re.search("warning|error|traceback", server.log, re.IGNORECASE), server.log


def test_ctrl_c_reaches_all_and_is_heard_once(gateways):
    server = gateways()
    os.killpg(server.pid, signal.SIGINT)
    said = server.stop(0)
    assert (server.code, said.count("Stopping.")) == (0, 1)
    assert not re.search("warning|error|traceback", server.log, re.IGNORECASE), server.log


def test_nothing_outlives_a_supervisor_that_is_killed(gateways):
    server = gateways()
    with server.session() as wire:
        os.kill(server.pid, signal.SIGKILL)
        _, code, _ = wire.ending()
    assert code == 1012
    until(lambda: not group(server.pid))


def complaint(folder, *flags, **variables):
    process, log = started(folder, *flags, **variables)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (1, "")
    until(lambda: not group(process.pid))
    return log.read_text()


def test_a_taken_port_is_one_complaint(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = complaint(tmp_path, "--workers", "2", "--port", str(port))
    assert (
        told == f"hark: Cannot listen on 127.0.0.1:{port}: Address already in use. Try another --port, or HARK_PORT.\n"
    )


def test_what_no_gateway_can_start_with_is_one_complaint(tmp_path):
    (tmp_path / "hark_broken.py").write_text(
        "from hark.errors import OperatorError\n"
        "from hark.models.base import EngineModel, ModelSpec\n"
        "def load(options):\n"
        "    raise OperatorError('It lacks something.')\n"
        "def plugin():\n"
        "    return [EngineModel(ModelSpec('broken', 'Never loads.', 'MIT'), load)]\n"
    )
    info = tmp_path / "hark_broken-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hark-broken\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[hark.models]\nbroken = hark_broken:plugin\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    assert complaint(tmp_path, "--workers", "3", "--model", "broken", PYTHONPATH=path) == "hark: It lacks something.\n"


@pytest.mark.parametrize(("threads", "workers", "each"), [(8, 2, 4), (8, 3, 2), (2, 4, 1), (None, 1, usable_cores())])
def test_threads_are_those_of_all_gateways(threads, workers, each):
    assert share(settings(threads=threads, workers=workers)) == each


def test_it_is_refused_where_a_socket_cannot_be_handed_over(monkeypatch):
    monkeypatch.delattr(socket, "send_fds")

    async def scenario():
        async with supervised(settings(workers=2)):
            pass

    with pytest.raises(OperatorError, match="--workers 2: on this system"):
        asyncio.run(scenario())
