"""Nodes as processes over one Redis: started without one, of several workers, and killed."""

import time
from contextlib import ExitStack

import pytest

from gateways import Gateways, started, until
from hark.auth.keys import create_key
from hark.auth.redis_server import RedisServer
from hark.auth.redis_sessions import LEASE_S
from redises import Redis, needs_redis
from serving import PATIENCE_S

pytestmark = needs_redis


@pytest.fixture
def redis(tmp_path):
    running = Redis(tmp_path / "redis", password="hush-hush")
    yield running
    running.stop()


@pytest.fixture
def node(redis, tmp_path):
    """Starts one of this many workers, of a data folder of its own."""
    running = []

    def start(workers=1, **variables):
        folder = tmp_path / f"node{len(running)}"
        folder.mkdir()
        running.append(Gateways(folder, workers=workers, HARK_REDIS=redis.url, **variables))
        return running[-1]

    yield start
    for each in running:
        each.kill()


def bearer(key):
    return {"additional_headers": {"Authorization": f"Bearer {key}"}}


def told(node, key):
    """The code of its refusal, or "" if it is let in; it goes then."""
    with node.socket(**bearer(key)) as wire:
        event = wire.receive()
        if event["type"] == "error":
            return event["error"]["code"]
        wire.send("session.close")
        wire.ending()
        return ""


def test_a_node_that_is_killed_gives_its_sessions_back(redis, node):
    key = create_key(RedisServer(redis.url), "two", time.time(), max_sessions=2)
    dead, living = node(), node()
    with ExitStack() as stack:
        wires = [stack.enter_context(dead.socket(**bearer(key))) for _ in range(2)]
        assert [wire.receive()["type"] for wire in wires] == ["session.created"] * 2
        assert told(living, key) == "rate_limit_exceeded"
        dead.kill()
        deadline = time.monotonic() + LEASE_S + PATIENCE_S
        while told(living, key):
            assert time.monotonic() < deadline, "they count for ever"
            time.sleep(0.2)
    assert "hush-hush" not in living.log + dead.log


def test_workers_count_in_redis_by_key_and_at_their_supervisor_in_all(redis, node):
    key = create_key(RedisServer(redis.url), "two", time.time(), max_sessions=2)
    other = create_key(RedisServer(redis.url), "other", time.time())
    one, two = node(2, HARK_MAX_SESSIONS="3"), node()
    with ExitStack() as stack:

        def opened(at, credential):
            wire = stack.enter_context(at.socket(**bearer(credential)))
            assert wire.receive()["type"] == "session.created"
            return wire

        wires = [opened(one, key), opened(two, key)]
        assert [told(each, key) for each in (one, one, two)] == ["rate_limit_exceeded"] * 3
        wires += [opened(one, other), opened(one, other)]
        assert len({one.holder(wire) for wire in (wires[0], *wires[2:])}) == 2, "both workers have some"
        assert [told(each, other) for each in (one, two)] == ["server_overloaded", ""]
        wires[1].send("session.close")
        wires[1].ending()
        assert told(one, key) == "server_overloaded", "which the key's limit does not stand against"
        until(lambda: not told(two, key))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_node_does_not_start_without_what_it_has_to_know(redis, tmp_path, workers):
    url = redis.url
    redis.kill()
    for number, (given, said) in enumerate([
        (url, f"The key store {redis.where} cannot be used: "),
        ("localhost:6379", "--redis: expected a URL such as redis://HOST:6379/0"),
    ]):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        # A key of its own asks no store; the limits of the others would be unknown.
        process, log = started(
            folder, "--workers", workers, HARK_REDIS=given, HARK_API_KEY="sk-own", HARK_HOST="0.0.0.0"
        )
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1
        assert said in " ".join(log.read_text().split())
        assert "hush-hush" not in log.read_text()


def test_a_password_that_is_refused_is_said_at_the_start(redis, tmp_path):
    process, log = started(tmp_path, HARK_REDIS=redis.url.replace("hush-hush", "quite-wrong"))
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    told = " ".join(log.read_text().split())
    assert "invalid username-password pair" in told
    assert "Put the user and the password into --redis" in told
    assert "quite-wrong" not in told


def test_the_first_key_closes_every_node(redis, node):
    one, two = node(), node()
    assert [told(each, "sk-any") for each in (one, two)] == ["", ""]
    key = create_key(RedisServer(redis.url), "first", time.time())
    assert [told(each, "sk-any") for each in (one, two)] == ["invalid_api_key"] * 2
    assert [told(each, key) for each in (one, two)] == ["", ""]
