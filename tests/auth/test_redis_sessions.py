"""Sessions at once over several nodes: a key's and an address's, those of a node that is gone, and what is lost on the
way to Redis and back."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from hark.auth import redis_sessions
from hark.auth.limits import OpenSessions
from hark.auth.principal import ANONYMOUS, Principal
from hark.auth.redis_server import RedisServer
from hark.auth.redis_sessions import RedisSessions
from hark.errors import RateLimitError, StorageError
from redises import Redis, needs_redis

pytestmark = needs_redis
PATIENCE_S = 20
TWO = Principal("two", "00" * 8, max_sessions=2)
OTHER = Principal("other", "11" * 8, max_sessions=1)
FREE = Principal("free", "22" * 8)
HERE = "192.0.2.1"


@pytest.fixture
def url(redis):
    return redis.emptied()


@pytest.fixture
def own(tmp_path):
    """A Redis that the test may harm."""
    running = Redis(tmp_path / "redis")
    yield running
    running.stop()


def node(url, *given):
    return RedisSessions(RedisServer(url), *given)


def run(scenario):
    async def bounded():
        async with asyncio.timeout(3 * PATIENCE_S):
            await scenario

    asyncio.run(bounded())


@asynccontextmanager
async def kept(*nodes):
    """While their leases are renewed."""
    tasks = [asyncio.create_task(each.keep()) for each in nodes]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def told(sessions, who, address="", error=RateLimitError):
    """Whether one more is let in; it stays."""
    try:
        await sessions.enter(who, address)
    except error as refused:
        return refused.message.partition(":")[2] or refused.message
    return ""


async def free(sessions, who, address=""):
    """Wait until one more is let in."""
    async with asyncio.timeout(PATIENCE_S):
        while await told(sessions, who, address, (RateLimitError, StorageError)):
            await asyncio.sleep(0.05)


async def in_thread(sessions, work):
    await asyncio.get_running_loop().run_in_executor(sessions._thread, work)


def test_a_key_s_sessions_are_counted_over_all_nodes(url):
    async def scenario():
        one, two = node(url), node(url)
        assert [await told(each, TWO) for each in (one, two)] == ["", ""]
        for each in (one, two):
            assert "this API key may have 2, and as many are open" in await told(each, TWO)
        assert await told(two, OTHER) == ""
        one.leave(TWO, "")
        await free(two, TWO)
        assert await told(one, TWO)

    run(scenario())


def test_an_address_is_counted_over_all_nodes_and_keys(url):
    async def scenario():
        one, two = node(url, 2), node(url, 2)
        assert [await told(each, who, HERE) for each, who in ((one, FREE), (two, ANONYMOUS))] == ["", ""]
        assert "your network address may have 2" in await told(two, OTHER, HERE)
        assert await told(two, OTHER, "2001:db8::/64") == "", "who was refused does not count"
        assert [await told(one, FREE, "") for _ in range(4)] == [""] * 4, "one that is not known is nobody's"
        one.leave(FREE, HERE)
        await free(two, FREE, HERE)

    run(scenario())


def test_who_is_refused_by_one_limit_counts_for_none(url):
    async def scenario():
        one = node(url, 1)
        assert await told(one, OTHER, HERE) == ""
        assert "API key" in await told(one, OTHER, "192.0.2.2")
        assert await told(one, FREE, "192.0.2.2") == ""
        assert "address" in await told(one, TWO, HERE)
        assert [await told(one, TWO, f"192.0.2.{n}") for n in (3, 4)] == ["", ""]

    run(scenario())


def test_what_has_no_limit_costs_nobody_a_question(own):
    async def scenario():
        one = node(own.url)
        own.kill()
        assert [await told(one, who, HERE) for who in (FREE, ANONYMOUS)] == ["", ""]
        one.leave(FREE, HERE)

    run(scenario())


def test_those_of_a_node_that_is_gone_count_until_its_lease_ends(url, monkeypatch):
    monkeypatch.setattr(redis_sessions, "LEASE_S", 1)

    async def scenario():
        dead, living = node(url), node(url)
        await in_thread(dead, dead._beat)
        assert [await told(dead, TWO) for _ in range(2)] == ["", ""]
        monkeypatch.setattr(redis_sessions, "LEASE_S", 60)
        assert await told(living, TWO), "it may live yet"
        await free(living, TWO)
        assert await told(living, TWO) == ""
        assert await told(living, TWO)

    run(scenario())


def test_a_lease_is_renewed_while_the_node_lives(url, redis, monkeypatch):
    monkeypatch.setattr(redis_sessions, "BEAT_S", 0.05)

    async def scenario():
        one = node(url)
        async with kept(one):
            seen = set()
            async with asyncio.timeout(PATIENCE_S):
                while len(seen) < 4:
                    seen.update(redis.ask("ZRANGE", "hark:nodes", 0, -1, "WITHSCORES")[1:])
                    await asyncio.sleep(0.05)
            assert [await told(one, TWO) for _ in range(2)] == ["", ""]
        assert redis.ask("ZRANGE", "hark:nodes", 0, -1) == []
        assert [await told(node(url), TWO) for _ in range(2)] == ["", ""], "one that was stopped lets go at once"

    run(scenario())


def test_a_node_that_was_taken_for_dead_says_all_of_its_numbers_anew(url, redis):
    async def scenario():
        one, two = node(url, 5), node(url, 5)
        for _ in range(2):
            assert await told(one, TWO, HERE) == ""
        redis.ask("ZREM", "hark:nodes", one._node)
        assert await told(two, TWO, HERE) == ""
        one.leave(TWO, HERE)
        await in_thread(one, one._beat)
        assert redis.ask("HGETALL", f"hark:open:key:{TWO.key_id}") == {one._node: "1", two._node: "1"}
        assert redis.ask("HGETALL", f"hark:open:address:{HERE}") == {one._node: "1", two._node: "1"}
        assert await told(two, TWO, HERE)

    run(scenario())


def test_redis_that_lost_all_learns_it_again(url, redis):
    async def scenario():
        one = node(url)
        assert await told(one, TWO) == ""
        redis.ask("FLUSHALL")
        await in_thread(one, one._beat)
        assert [await told(node(url), TWO) for _ in range(2)] == ["", redis_message(2)]

    run(scenario())


def redis_message(most):
    return f" this API key may have {most}, and as many are open. Close one, or try again later."


@pytest.mark.parametrize("harm", ["stand_still", "kill"])
def test_while_there_is_no_redis(own, harm, monkeypatch):
    """A key with a limit opens none. Addresses count here. What left meanwhile is told when Redis is back."""
    monkeypatch.setattr(redis_sessions, "BEAT_S", 0.1)
    monkeypatch.setattr(redis_sessions, "LEASE_S", 2)

    async def scenario():
        one, two = node(own.url, 2), node(own.url, 2)
        async with kept(one, two):
            assert [await told(each, TWO, "192.0.2.9") for each in (one, two)] == ["", ""]
            getattr(own, harm)()
            with pytest.raises(StorageError) as caught:
                await one.enter(TWO, HERE)
            assert caught.value.told.code == "key_store_unavailable"
            assert [await told(one, FREE, HERE) for _ in range(2)] == ["", ""]
            assert "your network address may have 2" in await told(one, FREE, HERE)
            two.leave(TWO, "192.0.2.9")
            (own.go_on if harm == "stand_still" else own.start)()
            await free(one, TWO, "192.0.2.8")
            async with asyncio.timeout(PATIENCE_S):
                while not await told(two, FREE, HERE, (RateLimitError, StorageError)):
                    two.leave(FREE, HERE)
            assert await told(two, TWO), "what one has open counts again"

    run(scenario())


def test_an_answer_that_is_lost_leaks_nothing(url, redis, monkeypatch):
    async def scenario():
        one, two = node(url), node(url)
        await in_thread(one, one._beat)
        real = one._server.run

        def lose(script, names, *values):
            real(script, names, *values)
            raise one._server._fault("Connection closed by server")

        monkeypatch.setattr(one._server, "run", lose)
        for _ in range(3):
            with pytest.raises(StorageError):
                await one.enter(TWO, "")
        assert redis.ask("HVALS", f"hark:open:key:{TWO.key_id}") == ["1"], "it had counted"
        monkeypatch.setattr(one._server, "run", real)
        await in_thread(one, one._beat)
        assert [await told(two, TWO) for _ in range(2)] == ["", ""]

    run(scenario())


def test_who_goes_while_it_is_asked_does_not_count(url):
    async def scenario():
        one = node(url)
        await in_thread(one, one._beat)
        for _ in range(20):
            entering = asyncio.create_task(one.enter(TWO, ""))
            await asyncio.sleep(0)
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering
        assert [await told(one, TWO) for _ in range(2)] == ["", ""]
        assert await told(one, TWO)

    run(scenario())


def test_who_the_node_itself_has_no_room_for_does_not_count(url):
    class Full(OpenSessions):
        async def enter(self, who, address):
            assert (who.max_sessions, address) == (None, ""), "keys and addresses are counted in Redis"
            raise RateLimitError("The server: full.", retry_after_s=1)

    async def scenario():
        full = node(url, 1, Full())
        for _ in range(3):
            assert await told(full, TWO, HERE) == " full."
        assert await told(node(url, 1), TWO, HERE) == ""

    run(scenario())


def test_nothing_is_kept_of_who_has_left(url, redis):
    async def scenario():
        one = node(url, 1)
        async with kept(one):
            for number in range(50):
                assert await told(one, TWO, f"192.0.2.{number}") == ""
                one.leave(TWO, f"192.0.2.{number}")
            await in_thread(one, one._beat)
            assert (one._open, one._untold) == ({}, set())
        assert redis.ask("KEYS", "hark:open:*") == []

    run(scenario())


def test_a_node_that_cannot_use_what_is_there_tries_again(url, monkeypatch, caplog):
    monkeypatch.setattr(redis_sessions, "BEAT_S", 0.02)
    operator = RedisServer(url)
    operator.ask("SET", "hark:schema", 2)  # a later Hark has been here

    async def scenario():
        async with kept(node(url)):
            while "a later Hark" not in caplog.text:
                await asyncio.sleep(0.01)
            operator.ask("SET", "hark:schema", 1)
            while not operator.ask("ZCARD", "hark:nodes"):
                await asyncio.sleep(0.01)

    run(scenario())
