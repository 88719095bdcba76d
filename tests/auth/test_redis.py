"""A Redis that nodes share: what is wrong with one is said before anybody is served, nothing is counted twice, and what
a node knows by itself it goes on with while there is none."""

import logging
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from documents import section
from gateways import until
from hark.auth.keys import Keys, create_key, revoke_key
from hark.auth.places import rotate, store_at
from hark.auth.principal import OWN_KEY
from hark.auth.redis_server import PAUSE_S, RedisServer
from hark.auth.redis_sessions import RedisSessions
from hark.auth.redis_signing import CACHED_S, RedisSigningKeys
from hark.auth.redis_store import RedisStore
from hark.errors import AuthError, OperatorError, StorageError
from redises import Redis, needs_redis

pytestmark = needs_redis
NOON = 1_795_000_000 // 60 * 60
MINUTE = NOON // 60
KEY = "sk-one-two-three"


@pytest.fixture
def server(redis):
    return RedisServer(redis.emptied())


@pytest.fixture
def own(tmp_path):
    """A Redis that the test may harm."""
    running = Redis(tmp_path / "redis", password="hush-hush")
    yield running
    running.stop()


def refusal(run, kind=StorageError):
    with pytest.raises(kind) as caught:
        run()
    return caught.value.message


# ---- what is wrong with it


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:hush@a.example", "redis://a.example"),
        ("rediss://:hush@a.example:6380/2?ssl_cert_reqs=none", "rediss://a.example:6380/2"),
        ("redis://:hush@[::1]:6379/0", "redis://[::1]:6379/0"),
        ("unix://:hush@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_its_url_is_shown_without_its_password(url, shown):
    assert RedisServer(url).where == shown


@pytest.mark.parametrize(
    "url",
    ["", "hush", "http://:hush@a.example", "redis://", "redis://:hush@a.example/name", "redis://a.example:hush", "unix://",
     "redis://:hush@a.example?socket_timeout=hush"],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_and_not_shown(url):
    told = refusal(lambda: RedisServer(url), OperatorError)
    assert told.startswith("--redis: expected a URL such as redis://HOST:6379/0")
    assert "hush" not in told


def test_without_its_client_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    assert "pip install 'hark[cluster]'" in refusal(lambda: RedisServer("redis://a.example"), OperatorError)


@pytest.mark.parametrize(("shown", "said"), [("", "Authentication required"), (":wrong@", "invalid username-password")])
def test_a_password_that_is_refused(own, shown, said):
    url = own.where.replace("//", f"//{shown}")
    told = refusal(RedisServer(url).check)
    assert told.startswith(f"The key store {own.where} cannot be used: {said}")
    assert "redis://USER:PASSWORD@HOST:PORT/0" in told
    assert "wrong" not in told
    RedisServer(own.url).check()


def test_nobody_there(own):
    own.kill()
    told = refusal(RedisServer(own.url).check)
    assert "Connection refused" in told
    assert "See that a Redis runs there" in told
    assert own.password not in told


def test_a_server_that_is_none():
    http = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=http.serve_forever).start()
    try:
        told = refusal(RedisServer(f"redis://127.0.0.1:{http.server_port}").check)
    finally:
        http.shutdown()
        http.server_close()
    assert "See that a Redis runs there" in told or "Name a Redis" in told


def test_one_that_may_only_be_read(own):
    own.ask("REPLICAOF", "127.0.0.1", "1")
    assert "name the Redis that takes writes" in refusal(RedisServer(own.url).check)


def test_one_without_room(own):
    own.ask("CONFIG", "SET", "maxmemory", "1")
    assert "Make room for it" in refusal(RedisServer(own.url).check)


def test_one_whose_user_may_too_little(own):
    own.ask("ACL", "SETUSER", "app", "on", ">few", "~other:*", "+@all")
    told = refusal(RedisServer(own.where.replace("//", "//app:few@")).check)
    assert "Allow its user the keys hark:*" in told


def test_a_user_that_may_no_more_than_the_docs_say(own):
    """What Hark asks of Redis, all of it."""
    words = re.search(r"`ACL SETUSER hark on >PASSWORD ([^`]+)`", section("docs/operations.md", "Redis"))[1].split()
    own.ask("ACL", "SETUSER", "app", "on", ">few", *words)
    server = RedisServer(own.where.replace("//", "//app:few@").replace("/0", "/1"))
    key = create_key(server, "phone", NOON)
    keys, store, sessions = Keys(None, server), store_at(server), RedisSessions(server, 1)
    keys.check()
    assert keys.admit([keys.mint(keys.admit([key]), os.urandom(5_000), 600).value]).name == "phone"
    store.add_audio({("a", MINUTE): 1}, NOON)
    assert store.audio(NOON, ["a"]) == {"a": {MINUTE: 1}}
    rotate(server, NOON)
    sessions._beat()
    assert [sessions._enter({"hark:open:address:a": 1}) for _ in range(2)] == ["", "address"]
    sessions._leave({"hark:open:address:a": 1})
    assert sessions._enter({"hark:open:address:a": 1}) == ""
    sessions._end()
    revoke_key(server, "phone", NOON)
    assert (len(store.all()), len(store.revoked([key.id for key in store.all()]))) == (1, 1)
    # The client's name, which newer ones are told, may be refused.
    assert [entry for entry in own.ask("ACL", "LOG") if "client|setinfo" not in str(entry)] == []


def test_one_that_a_later_hark_has_written_to(own):
    own.ask("SET", "hark:schema", "2")
    told = refusal(RedisServer(own.url).check, OperatorError)
    assert "schema 2; this one knows 1" in told


def test_nothing_of_others_is_touched(server, redis):
    redis.ask("SET", "other", "1")
    key = create_key(server, "phone", NOON)
    keys = Keys(KEY, server, lambda: NOON)
    keys.mint(keys.admit([key]), os.urandom(5_000), 600)
    RedisStore(server).add_audio({("a", MINUTE): 1}, NOON)
    found = redis.ask("KEYS", "*")
    assert [name for name in found if not name.startswith("hark:")] == ["other"]


@pytest.mark.parametrize(
    "harm", [("HSET", "hark:keys", "%s", "{"), ("HSET", "hark:revoked", "%s", "x"), ("SET", "hark:keys", "x")]
)
def test_entries_that_somebody_changed(server, redis, harm):
    key = create_key(server, "phone", NOON)
    keys = Keys(None, server)
    who = keys.admit([key])
    redis.ask(*(word.replace("%s", who.key_id) for word in harm))
    with pytest.raises(StorageError, match="Put back a copy of it"):
        keys.admit([key])


# ---- while there is none


def test_it_is_said_once_that_it_is_gone_and_once_that_it_is_back(own, caplog):
    server = RedisServer(own.url)
    server.check()
    own.kill()
    with caplog.at_level(logging.INFO, "hark.keys"):
        for _ in range(20):
            refusal(server.check)
        own.start()
        until(lambda: not _fails(server))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, said
    assert "cannot be used" in said[0]
    assert said[1] == f"the key store {own.where} is there again"


def _fails(server):
    try:
        server.check()
    except StorageError:
        return True
    return False


def test_while_it_does_not_answer_it_is_asked_now_and_then(own, monkeypatch):
    """One who asks finds out, and the others do not wait."""
    server, asked = RedisServer(own.url), []
    server.check()
    now = [1_000.0]
    monkeypatch.setattr("hark.auth.redis_server.time.monotonic", lambda: now[0])
    real = server._client.execute_command
    monkeypatch.setattr(server._client, "execute_command", lambda *words: asked.append(words) or real(*words))
    own.stand_still()
    for _ in range(10):
        assert "cannot be used" in refusal(lambda: server.ask("PING"))
    assert len(asked) == 1
    own.go_on()
    now[0] += PAUSE_S
    assert server.ask("PING")
    assert len(asked) == 2


def test_a_connection_that_was_closed_meanwhile_is_made_anew(own):
    server = RedisServer(own.url)
    server.check()
    own.kill()
    own.start()
    assert server.ask("EXISTS", "hark:schema") == 1


def test_what_proves_itself_is_verified_for_a_while(own):
    elapsed = [0.0]
    keys = Keys(KEY, RedisServer(own.url))
    keys._signing = RedisSigningKeys(keys.place, elapsed=lambda: elapsed[0])
    stored = create_key(keys.place, "phone", NOON)
    secret, large = (keys.mint(keys.admit([KEY]), content, 600).value for content in (b"x", os.urandom(5_000)))
    of_stored = keys.mint(keys.admit([stored]), b"x", 600).value
    own.kill()
    assert keys.admit([KEY]).key_id == OWN_KEY
    assert keys.admit([secret]).configuration == b"x"
    assert keys.admit([keys.mint(keys.admit([KEY]), b"y", 600).value]).configuration == b"y"
    for credential in (stored, of_stored, large, "sk-any"):
        with pytest.raises(StorageError) as caught:
            keys.admit([credential])
        assert (caught.value.told.code, caught.value.told.status) == ("key_store_unavailable", 503)
    elapsed[0] += CACHED_S + 1
    with pytest.raises(StorageError):
        keys.admit([secret])
    own.start()
    until(lambda: not _fails(keys.place))
    assert keys.admit([secret]).configuration == b"x"
    assert keys.admit([stored]).name == "phone"


def test_a_server_without_keys_is_not_open_while_it_cannot_know(own):
    keys = Keys(None, RedisServer(own.url))
    assert not keys.required
    own.kill()
    with pytest.raises(StorageError):
        keys.admit([])
    assert not keys.required_at_once, "which nobody waits for, and admits nobody"


# ---- what is kept


def test_audio_that_was_written_though_nobody_heard_of_it_counts_once(server, monkeypatch):
    store, real, fail = RedisStore(server), server.run, [True]

    def run(*given):
        real(*given)
        if fail[0]:
            raise server._fault("Connection closed by server")

    monkeypatch.setattr(server, "run", run)
    for samples in (10, 13):  # what was not written is tried again, with what came meanwhile
        with pytest.raises(StorageError):
            store.add_audio({("a", MINUTE): samples, ("b", MINUTE): 1}, NOON)
    fail[0] = False
    store.add_audio({("a", MINUTE): 15, ("b", MINUTE): 1}, NOON)
    store.add_audio({("a", MINUTE): 5}, NOON)
    RedisStore(server).add_audio({("a", MINUTE): 100}, NOON)
    assert store.audio(NOON, ["a", "b"]) == {"a": {MINUTE: 120}, "b": {MINUTE: 1}}


def test_what_ends_does_so_by_itself(server, redis):
    store = RedisStore(server)
    store.keep(b"x" * 5_000, NOON + 600, NOON)
    store.add_audio({("a", MINUTE): 1}, NOON)
    lives = {name.split(":")[1]: redis.ask("TTL", name) for name in redis.ask("KEYS", "hark:[ac]*")}
    assert 590 < lives["configuration"] <= 600
    assert 3_600 < lives["audio"] <= 3_720


def test_a_rotation_counts_on_every_node_at_once(server):
    one, two = (Keys(KEY, RedisServer(_url(server)), lambda: NOON) for _ in range(2))
    before = one.mint(one.admit([KEY]), b"x", 600).value
    assert two.admit([before]).configuration == b"x"
    rotate(server, NOON)
    after = two.mint(two.admit([KEY]), b"y", 600).value
    assert [one.admit([value]).configuration for value in (before, after)] == [b"x", b"y"]
    rotate(server, NOON, drop_old=True)
    for node in (one, two):
        with pytest.raises(AuthError, match="does not have"):
            node.admit([after])


def _url(server):
    return server.where


def test_rotations_at_once_lose_no_key(server, redis):
    nodes = [threading.Thread(target=rotate, args=(RedisServer(_url(server)), NOON)) for _ in range(8)]
    for node in nodes:
        node.start()
    for node in nodes:
        node.join()
    assert len(redis.ask("GET", "hark:signing-keys").split()) == 8 + 7, (
        "each put one on top, and the others have an end"
    )


def test_who_revokes_and_who_lists_see_the_same(server):
    for name in ("phone", "page"):
        create_key(server, name, NOON, origins=["https://a.example"], audio_minutes_per_hour=3)
    revoke_key(server, "phone", NOON + 5)
    store = RedisStore(server)
    assert [(key.name, key.revoked_at, key.audio_minutes_per_hour) for key in store.all()] == [
        ("page", None, 3),
        ("phone", NOON + 5, 3),
    ]
    ids = {key.name: key.id for key in store.all()}
    assert store.revoked([*ids.values(), "none"]) == {ids["phone"]}
    assert store.revoked([]) == set()
