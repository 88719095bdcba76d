"""Two nodes over one Redis, as clients meet them: what one knows the other knows, and how it is while there is none."""

import json
import os
import time
from contextlib import ExitStack

import httpx
import pytest

from gateways import until
from hark.auth.keys import create_key, revoke_key
from hark.auth.places import rotate, store_at
from hark.auth.redis_server import RedisServer
from hark.core.work import SAMPLE_RATE
from redises import Redis, needs_redis
from serving import COMPLETED, PATIENCE_S, Server, speech
from uploading import SAID, post

pytestmark = needs_redis
OWN = "sk-of-all-nodes"


class Nodes:
    """A Redis and two servers, each with a data folder of its own, in which nothing is ever kept."""

    def __init__(self, redis, folder):
        self.redis = redis
        self.place = RedisServer(redis.url)
        self.folders = [folder / name for name in ("one", "two")]
        self.servers = []

    def start(self):
        for each in self.folders:
            options = {"data_dir": each, "redis": self.redis.url, "api_key": OWN, "max_sessions_per_address": 40}
            self.servers.append(Server(**options))

    def stop(self):
        for server in self.servers:
            server.stop()
        assert [list(each.iterdir()) for each in self.folders if each.exists()] == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nodes")
    redis = Redis(folder / "redis", password="hush-hush")
    nodes = Nodes(redis, folder)
    try:
        nodes.start()
        yield nodes
        nodes.stop()
    finally:
        redis.stop()


@pytest.fixture
def nodes(shared):
    """They, with the Redis as it should be after whatever a test did to it."""
    yield shared
    shared.redis.go_on()
    if shared.redis.gone:
        shared.redis.start()
    for server in shared.servers:
        until(lambda server=server: models(server, "sk-none").status_code == 401)


def bearer(credential):
    return {"additional_headers": {"Authorization": f"Bearer {credential}"}}


def models(server, credential):
    return httpx.get(f"{server.url}/v1/models", headers={"Authorization": f"Bearer {credential}"}, timeout=PATIENCE_S)


def mint(server, key, session=None):
    url, body = f"{server.url}/v1/realtime/client_secrets", {"session": session} if session else {}
    answer = httpx.post(url, headers={"Authorization": f"Bearer {key}"}, json=body, timeout=PATIENCE_S)
    return answer.json()["value"] if answer.status_code == 200 else answer


def told(server, credential):
    """The first event's session, or the error and the close code."""
    with server.socket("/v1/realtime", **bearer(credential)) as wire:
        event = wire.receive()
        if event["type"] == "session.created":
            wire.send("session.close")
            wire.ending()
            return event["session"]
        return event["error"], wire.ending()[1]


def is_in(told):
    return not isinstance(told, tuple)


def ends(wire):
    wire.send("session.close")
    return wire.ending()


# ---- what one knows the other knows


def test_a_key_of_one_counts_on_the_other_and_ends_on_both(nodes):
    key = create_key(nodes.place, "phone", time.time())
    one, two = nodes.servers
    assert [is_in(told(server, key)) for server in (one, two)] == [True, True]
    assert post(two, headers={"Authorization": f"Bearer {key}"}).json()["text"] == SAID
    revoke_key(nodes.place, "phone", time.time())
    for server in (one, two):
        error, code = told(server, key)
        assert ("was revoked" in error["message"], code) == (True, 3000)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("by", ["stored", "own"])
def test_a_secret_of_one_opens_a_session_on_the_other(nodes, large, by):
    one, two = nodes.servers
    key = create_key(nodes.place, f"minter-{large}", time.time()) if by == "stored" else OWN
    said = os.urandom(3_000).hex() if large else "Be brief."
    heard = {"input": {"transcription": {"model": "whisper-1"}}}
    secret = mint(one, key, {"type": "realtime", "instructions": said, "audio": heard})
    assert (len(secret) < 200) == large, "a large one is in Redis, the small one in the secret"
    with two.socket("/v1/realtime", **bearer(secret)) as wire:
        assert wire.receive()["session"]["instructions"] == said
        assert wire.hear("alpha") == "alpha"
    rotate(nodes.place, time.time())
    assert told(two, secret)["instructions"] == said
    assert told(one, mint(two, key, {"type": "realtime", "instructions": "New."}))["instructions"] == "New."
    rotate(nodes.place, time.time(), drop_old=True)
    assert [told(server, secret)[1] for server in (one, two)] == [3000, 3000]


def test_a_revoked_key_ends_what_is_open_on_every_node(nodes):
    key = create_key(nodes.place, "lost", time.time())
    with nodes.servers[0].socket(**bearer(key)) as one, nodes.servers[1].socket(**bearer(key)) as two:
        for wire in (one, two):
            wire.receive()
        revoke_key(nodes.place, "lost", time.time())
        for wire in (one, two):
            wire.append(bytes(48_000 * 6))  # 6 s, which are written down, and it learns of it
        for wire in (one, two):
            deadline = time.monotonic() + PATIENCE_S
            while (event := goes_on(wire)) is None and time.monotonic() < deadline:
                pass
            assert event["error"]["code"] == "invalid_api_key"


def goes_on(wire):
    """The error that ends it, if it has come."""
    wire.append(bytes(4_800))
    try:
        event = json.loads(wire.socket.recv(0.1))
    except TimeoutError:
        return None
    return event if event["type"] == "error" else None


def test_sessions_at_once_are_counted_over_both(nodes):
    one, two = nodes.servers
    key = create_key(nodes.place, "three", time.time(), max_sessions=3)
    with ExitStack() as stack:
        wires = [stack.enter_context(server.socket(**bearer(key))) for server in (one, two, one)]
        assert [wire.receive()["type"] for wire in wires] == ["session.created"] * 3
        for server in (one, two):
            error, code = told(server, key)
            assert (error["code"], code) == ("rate_limit_exceeded", 1013)
            assert "this API key may have 3" in error["message"]
        assert post(two, headers={"Authorization": f"Bearer {key}"}).status_code == 429
        ends(wires[0])
        until(lambda: is_in(told(two, key)))
        for wire in wires[1:]:
            ends(wire)


def test_an_address_is_counted_over_both(nodes, tmp_path):
    two = Server(data_dir=tmp_path, redis=nodes.redis.url, api_key=OWN, max_sessions_per_address=1)
    try:
        with nodes.servers[0].socket(**bearer(OWN)) as wire:
            wire.receive()
            error, code = told(two, OWN)
            assert (error["code"], code) == ("rate_limit_exceeded", 1013)
            assert "your network address may have 1" in error["message"]
            ends(wire)
        until(lambda: is_in(told(two, OWN)))
    finally:
        two.stop()


def test_minutes_are_counted_over_both(nodes):
    one, two = nodes.servers
    key = create_key(nodes.place, "minute", time.time(), audio_minutes_per_hour=1)
    for server in (one, two):
        with server.socket(**bearer(key)) as wire:
            wire.receive()
            wire.append(bytes(48_000 * 31))
            ends(wire)
    until(lambda: heard(nodes, "minute") == 62 * SAMPLE_RATE)
    for server in (one, two):
        error, code = told(server, key)
        assert "may send 1 minutes an hour, and has sent 1.0" in error["message"]
        assert code == 1013


def heard(nodes, name):
    """The samples that Redis has of this key."""
    store = store_at(nodes.place)
    key_id = next(key.id for key in store.all() if key.name == name)
    return sum(store.audio(time.time(), [key_id])[key_id].values())


# ---- while there is no Redis


@pytest.mark.parametrize("harm", ["stand_still", "kill"])
def test_sessions_go_on_newcomers_are_told_and_all_is_well_afterwards(nodes, harm):
    one, two = nodes.servers
    key = create_key(nodes.place, harm, time.time(), max_sessions=3)
    own, secret = mint(one, OWN), mint(one, key)
    large = mint(one, OWN, {"type": "realtime", "instructions": os.urandom(3_000).hex()})
    for server in (one, two):
        assert is_in(told(server, own))
    with one.socket(**bearer(key)) as here, two.socket(**bearer(secret)) as there:
        for wire in (here, there):
            wire.receive()
            wire.append(bytes(48_000))
        getattr(nodes.redis, harm)()
        for wire in (here, there):
            assert wire.hear("alpha", "bravo") == "alpha bravo"
            wire.append(bytes(48_000 * 8))
        for server in (one, two):
            for credential in (key, secret, large, "sk-any"):
                error, code = told(server, credential)
                assert (error["code"], code) == ("key_store_unavailable", 1013)
                assert nodes.redis.where not in error["message"]
                answer = models(server, credential)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert is_in(told(server, OWN))
            assert is_in(told(server, own)), "it proves itself"
        for wire in (here, there):
            assert wire.hear("charlie") == "charlie"
        (nodes.redis.go_on if harm == "stand_still" else nodes.redis.start)()
        for server in (one, two):
            until(lambda server=server: models(server, key).status_code == 200)
            assert is_in(told(server, large))
        with two.socket(**bearer(key)) as third:
            assert third.receive()["type"] == "session.created"
            assert "may have 3" in told(one, secret)[0]["message"], "those of before count yet"
            ends(third)
        for wire in (here, there):
            assert [event for event in ends(wire)[0] if event["type"] == COMPLETED] == []
    seconds = 2 * (1 + 8 + len_s("alpha", "bravo") + len_s("charlie"))
    until(lambda: heard(nodes, harm) >= round(seconds * SAMPLE_RATE) - 200)
    assert heard(nodes, harm) <= seconds * SAMPLE_RATE + 200, "nothing was counted twice"


def len_s(*words):
    return len(speech(*words)) / 48_000


def test_a_redis_that_lost_its_keys_opens_no_node(nodes):
    key = create_key(nodes.place, "kept", time.time())
    one = nodes.servers[0]
    assert models(one, key).status_code == 200
    nodes.redis.ask("RENAME", "hark:keys", "elsewhere")
    try:
        answer = models(one, key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "key_store_unavailable")
    finally:
        nodes.redis.ask("RENAME", "elsewhere", "hark:keys")
    assert models(one, key).status_code == 200
