"""Requests that one gateway passes on to another: whole, whatever their size, and what is said when the other one dies.
Real processes do the same in tests/cli/test_workers.py."""

import asyncio
import socket
import threading

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from hark.edge import relay

CALL = "rtc_01" + "0" * 20
BIG = "x" * 3_000_000


class OneOfTwo:
    """The gateway 0, as far as a relay asks it; `other` serves a stream as gateway 1."""

    def __init__(self, other):
        self._other = other
        self._tasks = set()

    def owner(self, call_id):
        return 1 if call_id == CALL else None

    async def reach(self, index):
        assert index == 1
        own, far = socket.socketpair()
        self._tasks.add(asyncio.create_task(self._other(await asyncio.open_unix_connection(sock=far))))
        return await asyncio.open_unix_connection(sock=own)


def application(name, ended):
    async def hang_up(request):
        body = await request.body()
        shown = f"{name} {request.headers['x-mine']} {request.url} {len(body)} {request.state.request_id}"
        return PlainTextResponse(shown, 202, {"x-theirs": "1"})

    async def beside(socket):
        await socket.accept(subprotocol="realtime")
        await socket.send_text(f"{name} {socket.scope['subprotocols']}")
        try:
            while (heard := await socket.receive_text()) != "end":
                await socket.send_text(heard)
            await socket.close(4000, "why")
        except WebSocketDisconnect as error:
            ended.append(error.code)

    return Starlette(
        routes=[
            Route("/v1/realtime/calls/{call_id}/hangup", hang_up, methods=["POST"]),
            WebSocketRoute("/v1/realtime", beside),
        ]
    )


@pytest.fixture
def ended():
    """What the other gateway's application heard of the end of requests."""
    return []


@pytest.fixture
def client(ended):
    there = application("there", ended)
    with serving(lambda stream: relay.answer(there, relay.StreamLine(stream))) as made:
        yield made


def serving(other):
    passing = relay.between(application("here", []), OneOfTwo(other))

    async def identified(scope, receive, send):
        if scope["type"] != "lifespan":
            scope["state"] = {"request_id": "req_1"}
            await passing(scope, receive, send)
            return
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})

    return TestClient(identified)


def test_a_request_and_its_answer_are_whole(client):
    path = f"/v1/realtime/calls/{CALL}/hangup?a=b"
    answer = client.post(path, content=BIG, headers={"x-mine": "me"})
    assert (answer.status_code, answer.headers["x-theirs"]) == (202, "1")
    assert answer.text == f"there me http://testserver{path} {len(BIG)} req_1"


def test_other_requests_stay(client):
    answer = client.post("/v1/realtime/calls/rtc_other/hangup", headers={"x-mine": "me"})
    assert answer.text.startswith("here me ")


def test_a_websocket_goes_both_ways_and_closes_as_the_other_gateway_says(client):
    with client.websocket_connect(f"/v1/realtime?call_id={CALL}", subprotocols=["realtime", "key"]) as wire:
        assert wire.accepted_subprotocol == "realtime"
        assert wire.receive_text() == "there ['realtime', 'key']"
        for frame in ("a", BIG, "b"):
            wire.send_text(frame)
            assert wire.receive_text() == frame
        wire.send_text("end")
        with pytest.raises(WebSocketDisconnect) as closed:
            wire.receive_text()
    assert (closed.value.code, closed.value.reason) == (4000, "why")


def test_the_other_gateway_hears_how_the_client_went(client, ended):
    with client.websocket_connect(f"/v1/realtime?call_id={CALL}") as wire:
        wire.receive_text()
        wire.close(1001)
    assert ended == [1001]


def test_one_that_is_not_there_is_answered_for(ended):
    async def dead(stream):
        await stream[0].read(10)
        stream[1].close()

    with serving(dead) as client:
        answer = client.post(f"/v1/realtime/calls/{CALL}/hangup", content="abc", headers={"x-mine": "me"})
        assert answer.text.startswith("here me ")
        assert answer.text.endswith(" 3 req_1")
        with client.websocket_connect(f"/v1/realtime?call_id={CALL}") as wire:
            assert wire.receive_text() == "here []"
            wire.send_text("still")
            assert wire.receive_text() == "still"


def test_one_that_dies_closes_the_websocket_beside_its_call(ended):
    there, greeted = application("there", ended), threading.Event()

    async def dying(stream):
        serving = asyncio.create_task(relay.answer(there, relay.StreamLine(stream)))
        await asyncio.to_thread(greeted.wait, 20)
        stream[1].transport.abort()
        await serving

    with serving(dying) as client, client.websocket_connect(f"/v1/realtime?call_id={CALL}") as wire:
        assert wire.receive_text() == "there []"
        greeted.set()
        with pytest.raises(WebSocketDisconnect) as closed:
            wire.receive_text()
        assert closed.value.code == 1011
    assert ended == [1006]
