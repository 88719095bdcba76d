"""Two servers that share signing keys and nothing else: what is at one is reached through the other, and nobody but one
of their kind is asked or answered. Processes that are killed or hang are in tests/cli/test_several_nodes.py."""

import asyncio
import logging
import socket
import threading
import time

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve as serve_websockets

from calling import Caller
from deploying import ANYONE, free_port, session_at
from hark.auth.places import rotate
from hark.auth.signing import SigningKeys
from hark.edge import homes, neighbours, tls
from hark.edge.homes import Address, Home
from serving import COMPLETED, PATIENCE_S, Server, speech

KEY = "sk-of-both"
BEARER = {"Authorization": f"Bearer {KEY}"}
SAID = speech("alpha", "bravo", "charlie", "delta", pause_s=0.8)
PIECE = neighbours.PIECE_BYTES
HALF = len(SAID) // 4 * 2


def node(folder, **options):
    port = free_port()
    return Server(port=port, node_address=f"127.0.0.1:{port}", data_dir=folder, api_key=KEY, **options)


def address(server):
    return homes.address(server.url, tls=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def two(folder):
    servers = [node(folder) for _ in range(2)]
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def signing(folder, two):
    return SigningKeys(folder)


def hang_up(server, call_id):
    return httpx.post(f"{server.url}/v1/realtime/calls/{call_id}/hangup", headers=BEARER, timeout=PATIENCE_S)


def transcript(server, session_id, key=KEY):
    path = f"/v1/realtime/sessions/{session_id}/transcript"
    return httpx.get(server.url + path, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_S)


def session(server, query="?intent=transcription", key=KEY):
    return server.socket(f"/v1/realtime{query}", additional_headers={"Authorization": f"Bearer {key}"})


def missed(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_a_session_that_was_cut_off_goes_on_through_the_other_node(two):
    one, other = two
    with session(one) as wire:
        session_id = wire.receive()["session"]["id"]
        wire.append(SAID[:HALF])
        (started,) = wire.until("input_audio_buffer.speech_started")
        wire.socket.socket.close()
    deadline = time.monotonic() + PATIENCE_S
    while transcript(other, session_id).json()["status"] != "away":
        assert time.monotonic() < deadline
    with session(other, f"?resume={session_id}&after={started['event_id']}") as wire:
        greeting = wire.receive()
        assert greeting["session"]["id"] == session_id
        assert greeting["resumed"] == {"audio_end_ms": HALF // 48, "events_missed": False}
        wire.append(SAID[HALF:])
        heard = wire.until(COMPLETED)[-1]
        assert (heard["item_id"], heard["transcript"]) == (started["item_id"], "alpha bravo charlie delta")
        assert wire.hear("echo") == "echo"
        wire.send("session.close")
        _, code, _ = wire.ending()
        assert code == 1000
    bodies = [transcript(server, session_id).json() for server in two]
    assert bodies[0] == bodies[1]
    assert (bodies[0]["status"], bodies[0]["text"]) == ("ended", "alpha bravo charlie delta echo")


def test_frames_larger_than_a_piece_arrive_whole(two):
    with session(two[0]) as wire:
        session_id = wire.receive()["session"]["id"]
        wire.socket.socket.close()
    with session(two[1], f"?resume={session_id}") as wire:
        wire.receive()
        wire.append(bytes(2 * PIECE))
        assert wire.hear("alpha") == "alpha"


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, 2 * PIECE + 1])
def test_pieces_make_the_message_again(size):
    message, whole = {"bytes": bytes(size)}, neighbours._Whole()
    frames = list(neighbours.pieces(message))
    assert max(map(len, frames)) <= PIECE + 1
    assert [whole.add(b"") for _ in frames] == [None] * len(frames), "a sign of life is no part of it"
    assert [whole.add(frame) for frame in frames] == [None] * (len(frames) - 1) + [message]


def test_a_call_is_heard_and_hung_up_through_the_other_node(two):
    async def scenario():
        async with Caller(two[0].url) as caller:
            await caller.call(headers=BEARER)
            assert (await caller.receive())["type"] == "session.created"
            call_id = caller.location.rpartition("/")[2]
            await asyncio.to_thread(beside, caller, call_id)
            answers = [await asyncio.to_thread(hang_up, server, call_id) for server in (two[1], *two)]
            assert answers[0].status_code == 200
            assert [missed(answer) for answer in answers[1:]] == [(404, "call_not_found")] * 2

    def beside(caller, call_id):
        with session(two[1], f"?call_id={call_id}") as wire:
            assert wire.receive()["type"] == "session.created"
            assert wire.ask("session.update", session={"type": "transcription"})["type"] == "session.updated"

    asyncio.run(asyncio.wait_for(scenario(), 2 * PATIENCE_S))


def test_who_has_it_judges_who_may(two):
    with session(two[0]) as wire:
        session_id = wire.receive()["session"]["id"]
        assert transcript(two[1], session_id).status_code == 200
        assert transcript(two[1], session_id, "wrong").status_code == 401
        with session(two[1], f"?resume={session_id}", "wrong") as refused:
            (event,), code, _ = refused.ending()
            assert (event["error"]["code"], code) == ("invalid_api_key", 3000)
        assert wire.hear("alpha") == "alpha"


def test_metrics_are_each_nodes_own(two):
    def sessions(server):
        lines = httpx.get(f"{server.url}/metrics", headers=BEARER).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("hark_sessions_open"))

    with session(two[0]) as wire:
        wire.receive()
        assert sessions(two[0]) >= 1
        assert sessions(two[1]) == 0


@pytest.mark.parametrize("trusted", [True, False])
def test_between_nodes_with_tls_the_certificate_is_looked_at(tmp_path, monkeypatch, caplog, trusted):
    made = tls.Certificate(tmp_path / "chain.pem", tmp_path / "key.pem")
    tls._make(made, list(tls.NAMES))
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(made.chain))
    servers = [node(tmp_path, tls_cert=made.chain, tls_key=made.key) for _ in range(2)]
    try:
        with session_at(servers[0].url, KEY) as wire, caplog.at_level(logging.WARNING, "hark.http"):
            session_id = wire.receive()["session"]["id"]
            path = f"{servers[1].url}/v1/realtime/sessions/{session_id}/transcript"
            answer = httpx.get(path, headers=BEARER, verify=ANYONE)
    finally:
        for server in servers:
            server.stop()
    assert answer.status_code == (200 if trusted else 404)
    assert ("CERTIFICATE_VERIFY_FAILED" in caplog.text) is not trusted


# ---- ids that nobody should believe ------------------------------------------------------------------------------


@pytest.fixture
def listener():
    """A port at which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening


def at(listening):
    return Home(Address("127.0.0.1", listening.getsockname()[1]))


def test_an_id_that_another_installation_has_made_leads_nowhere(two, listener):
    for home in (at(listener), Home(address(two[0]))):
        call_id, session_id = (homes.seal(home, prefix, bytes(32)) for prefix in ("rtc", "sess"))
        for server in two:
            assert missed(hang_up(server, call_id)) == (404, "call_not_found")
            assert missed(transcript(server, session_id)) == (404, "session_not_found")
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_an_id_of_a_key_that_was_replaced_still_leads_there(tmp_path):
    servers = [node(tmp_path) for _ in range(2)]
    try:
        with session(servers[0]) as wire:
            session_id = wire.receive()["session"]["id"]
            rotate(tmp_path, time.time())
            assert transcript(servers[1], session_id).status_code == 200
            rotate(tmp_path, time.time(), drop_old=True)
            assert missed(transcript(servers[1], session_id)) == (404, "session_not_found")
            assert transcript(servers[0], session_id).status_code == 200, "where it is, it is found by its name"
    finally:
        for server in servers:
            server.stop()


def test_nothing_is_told_to_who_is_there_now_instead_of_a_node(two, signing, caplog):
    heard = []

    def take(websocket):
        try:
            heard.append(websocket.recv(PATIENCE_S))
        except ConnectionClosed:
            heard.append(None)

    with serve_websockets(take, "127.0.0.1", 0) as impostor:
        threading.Thread(target=impostor.serve_forever).start()
        call_id = homes.seal(at(impostor.socket), "rtc", signing.to_sign())
        with caplog.at_level(logging.WARNING, "hark.http"):
            assert missed(hang_up(two[0], call_id)) == (404, "call_not_found")
        impostor.shutdown()
    assert heard == [None], "it should have heard neither the request nor the key in it"
    assert "do not know each other" in caplog.text


def test_who_is_there_now_leads_a_node_nowhere_else(two, signing, listener):
    asked = []

    def lead_on(connection, request):
        asked.append(request.path)
        answer = connection.respond(302, "")
        answer.headers["Location"] = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        return answer

    with serve_websockets(None, "127.0.0.1", 0, process_request=lead_on) as impostor:
        threading.Thread(target=impostor.serve_forever).start()
        session_id = homes.seal(at(impostor.socket), "sess", signing.to_sign())
        assert missed(transcript(two[0], session_id)) == (404, "session_not_found")
        impostor.shutdown()
    assert asked == [neighbours.PATH]
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_node_that_is_not_there_or_says_nothing_is_answered_for(two, signing, listener):
    for home in (at(listener), Home(Address("127.0.0.1", free_port()))):
        call_id = homes.seal(home, "rtc", signing.to_sign())
        assert missed(hang_up(two[0], call_id)) == (404, "call_not_found")


def test_one_that_was_there_before_at_this_address_had_it(two, signing):
    session_id = homes.seal(Home(address(two[0]), 0), "sess", signing.to_sign())
    for server in two:
        assert missed(transcript(server, session_id)) == (404, "session_not_found")


# ---- strangers at the door ---------------------------------------------------------------------------------------


def relay_of(server, shown):
    return server.socket(neighbours.PATH, additional_headers={"Authorization": shown} if shown else {})


def test_a_stranger_finds_nothing_there(two, signing):
    here, there, now = address(two[0]), address(two[1]), time.time()
    tokens = [
        homes.token(there, signing.to_sign(), now),
        homes.token(here, bytes(32), now),
        homes.token(here, signing.to_sign(), now - 2 * homes.FRESH_S),
        homes.token(here, signing.to_sign(), now + 2 * homes.FRESH_S),
        "",
    ]
    good = homes.token(here, signing.to_sign(), now)
    for shown in ("", f"Bearer {KEY}", f"Bearer {good}", *(f"{neighbours.SCHEME} {token}" for token in tokens)):
        with relay_of(two[0], shown) as wire:
            (event,), code, _ = wire.ending()
            assert (event["error"]["code"], code) == ("unknown_url", 4000), shown
            assert neighbours.PROOF not in wire.socket.response.headers
    assert httpx.get(two[0].url + neighbours.PATH, headers=BEARER).status_code == 404


def test_without_an_address_there_is_no_such_door(serve):
    with relay_of(serve(), f"{neighbours.SCHEME} x") as wire:
        (event,), code, _ = wire.ending()
        assert (event["error"]["code"], code) == ("unknown_url", 4000)


def asked(server, signing, path, query=b"", method="POST", **state):
    """What a node gets for this request by the relay, if anything."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": method,
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": query, "client": ["192.0.2.1", 1],
        "headers": [[b"authorization", f"Bearer {KEY}".encode()]], "server": ["127.0.0.1", 1],
        "state": {"request_id": "req_1"} | state,
    }  # fmt: skip
    answers, whole = [], neighbours._Whole()
    token = homes.token(address(server), signing.to_sign(), time.time())
    with relay_of(server, f"{neighbours.SCHEME} {token}") as wire:
        assert neighbours.PROOF in wire.socket.response.headers
        try:  # a node may end it after the first, if that is not about what it has
            for message in (scope, {"type": "http.request", "body": b"", "more_body": False}):
                for piece in neighbours.pieces(message):
                    wire.socket.send(piece)
            while True:
                if (message := whole.add(wire.socket.recv(PATIENCE_S))) is not None:
                    answers.append(message)
        except ConnectionClosed:
            return answers


def test_what_is_passed_on_is_about_what_this_node_has(two, signing):
    one, other = two
    with session(one) as wire:
        session_id = wire.receive()["session"]["id"]
        path = "/v1/realtime/sessions/{}/transcript"
        told = asked(one, signing, path.format(session_id), method="GET")
        assert told[0]["status"] == 200
        # A loop would begin here.
        assert asked(other, signing, path.format(session_id), method="GET") == []
    for home, method in (("/metrics", "GET"), ("/drain", "POST"), ("/v1/models", "GET"), ("/health", "GET")):
        assert asked(one, signing, home, method=method, **{"hark.own_metrics": True}) == []
    assert httpx.get(f"{one.url}/ready").status_code == 200
