"""A Redis's share of who may call, where several nodes share one: the same as store.py keeps in SQLite.

    hark:keys             id -> the key without the key, in JSON
    hark:hashes           SHA-256 of a key -> id
    hark:names            name of a key that is not revoked -> id
    hark:revoked          id -> when, in Unix seconds
    hark:configuration:…  reference -> a configuration too large for a header; it ends by itself
    hark:audio:ID         minute since 1970 -> samples that all nodes heard of the key
    hark:audio:ID:NODE    … that one node did

Rule: a key itself is never kept. A node writes what it heard in a minute as a total of its own, from which a script
makes that of all: so what is written twice, because nobody knows whether it was the first time, counts once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from msgspec import json, structs

from hark.auth import usage
from hark.auth.redis_server import DEADLINE_S, PREFIX, RedisServer
from hark.auth.store import StoredKey
from hark.errors import OperatorError, StorageError

_KEYS: Final = f"{PREFIX}keys"
_HASHES: Final = f"{PREFIX}hashes"
_NAMES: Final = f"{PREFIX}names"
_REVOKED: Final = f"{PREFIX}revoked"
_AUDIO_KEPT_S: Final = (usage.MINUTES + 2) * usage.MINUTE_S

# The name, the id, the entry, the hash. Whether the name was free.
_ADD: Final = """
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[3], ARGV[4], ARGV[2])
return 1
"""
# The name, the time. Whether there was a key of this name.
_REVOKE: Final = """
local id = redis.call('HGET', KEYS[1], ARGV[1])
if not id then return 0 end
redis.call('HSET', KEYS[2], id, ARGV[2])
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
"""
_BY_HASH: Final = """
local id = redis.call('HGET', KEYS[1], ARGV[1])
if not id then return {} end
return {redis.call('HGET', KEYS[2], id), redis.call('HGET', KEYS[3], id)}
"""
# The totals of all and of one node; the first and the last minute that count, how long it is kept, and then minutes,
# each with the node's samples.
_HEARD: Final = """
for place = 4, #ARGV, 2 do
    local minute, samples = ARGV[place], tonumber(ARGV[place + 1])
    local before = tonumber(redis.call('HGET', KEYS[2], minute) or 0)
    redis.call('HSET', KEYS[2], minute, string.format('%.0f', samples))
    redis.call('HINCRBY', KEYS[1], minute, string.format('%.0f', samples - before))
end
for _, name in ipairs(KEYS) do
    for _, minute in ipairs(redis.call('HKEYS', name)) do
        if tonumber(minute) < tonumber(ARGV[1]) or tonumber(minute) > tonumber(ARGV[2]) then
            redis.call('HDEL', name, minute)
        end
    end
    redis.call('EXPIRE', name, ARGV[3])
end
"""


class RedisStore:
    """The keys in this Redis. Threads may share it, but for `add_audio`, which is one thread's."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._node = os.urandom(8).hex()
        self._had_keys = False  # when it was asked last
        self._heard: dict[tuple[str, int], int] = {}  # what is in Redis of this node's

    @property
    def where(self) -> str:
        return self._server.where

    @property
    def emptied(self) -> str:
        return f"delete {PREFIX}* in {self._server.where}"

    def check(self) -> None:
        """Raises StorageError or OperatorError if it cannot be used."""
        self._server.check()

    def has_keys(self, patience_s: float = DEADLINE_S) -> bool:
        """Whether a key was ever made. With a `patience_s` of 0, what was known last, for who cannot wait."""
        if patience_s > 0:
            self._had_keys = bool(self._server.ask("EXISTS", _KEYS))
        return self._had_keys

    def all(self) -> list[StoredKey]:
        entries, revoked = self._server.ask_all([("HGETALL", _KEYS), ("HGETALL", _REVOKED)])
        keys = [self._key(entry, revoked.get(key_id)) for key_id, entry in entries.items()]
        return sorted(keys, key=lambda key: (key.created_at, key.name))

    def by_key(self, key: str) -> StoredKey | None:
        found = self._server.run(_BY_HASH, [_HASHES, _KEYS, _REVOKED], _hash(key))
        return self._key(*found) if found and found[0] is not None else None

    def by_id(self, key_id: str) -> StoredKey | None:
        entry, revoked = self._server.ask_all([("HGET", _KEYS, key_id), ("HGET", _REVOKED, key_id)])
        return None if entry is None else self._key(entry, revoked)

    def add(self, entry: StoredKey, key: str) -> None:
        """Raises OperatorError if a key of this name is in use."""
        values = entry.name, entry.id, json.encode(entry), _hash(key)
        if not self._server.run(_ADD, [_NAMES, _KEYS, _HASHES], *values):
            found = self._server.ask("HGET", _NAMES, entry.name)
            if found is None or found.decode() != entry.id:  # else it was made by the first of two attempts
                message = f"There is a key named '{entry.name}' already. Choose another name, or revoke that one first."
                raise OperatorError(message)

    def revoke(self, name: str, now: float) -> bool:
        """Whether there was a key of this name to revoke."""
        return bool(self._server.run(_REVOKE, [_NAMES, _REVOKED], name, int(now)))

    def revoked(self, key_ids: Sequence[str]) -> set[str]:
        """Those of these keys that count no more."""
        found = self._server.ask("HMGET", _REVOKED, *key_ids) if key_ids else []
        return {key_id for key_id, when in zip(key_ids, found, strict=True) if when is not None}

    def keep(self, body: bytes, expires_at: int, now: float) -> bytes:
        """Keep a configuration until it expires; its reference."""
        reference = os.urandom(16)
        self._server.ask("SET", _configuration(reference), body, "EX", max(1, int(expires_at - now)))
        return reference

    def kept(self, reference: bytes) -> bytes | None:
        body: bytes | None = self._server.ask("GET", _configuration(reference))
        return body

    def add_audio(self, heard: Mapping[tuple[str, int], int], now: float) -> None:
        """Add samples to what keys sent in minutes: (id of the key, minute since 1970) -> samples. What no hour holds
        any more is forgotten. What was not added, or nobody knows, may be added again together with more."""
        first, last = usage.hour(now)
        kept = {place: samples for place, samples in self._heard.items() if first <= place[1] <= last}
        kept |= {place: kept.get(place, 0) + samples for place, samples in heard.items()}
        told: dict[str, list[int]] = {}
        for key_id, minute in heard:
            told.setdefault(key_id, []).extend((minute, kept[key_id, minute]))
        for key_id, totals in told.items():
            names = [_audio(key_id), f"{_audio(key_id)}:{self._node}"]
            self._server.run(_HEARD, names, first, last, _AUDIO_KEPT_S, *totals)
        self._heard = kept  # all of them or none, as who asked takes it

    def audio(self, now: float, key_ids: Sequence[str]) -> dict[str, dict[int, int]]:
        """What each of these keys sent in the last hour: minute since 1970 -> samples."""
        first, last = usage.hour(now)
        answers = self._server.ask_all([("HGETALL", _audio(key_id)) for key_id in key_ids])
        return {
            key_id: {int(minute): int(samples) for minute, samples in answer.items() if first <= int(minute) <= last}
            for key_id, answer in zip(key_ids, answers, strict=True)
        }

    def lost(self) -> StorageError:
        """What to say where there is no key any more, and there was one."""
        return self._server.lost()

    def _key(self, entry: bytes, revoked: bytes | None) -> StoredKey:
        try:
            key = json.decode(entry, type=StoredKey)
            return key if revoked is None else structs.replace(key, revoked_at=int(revoked))
        except ValueError as error:  # of which msgspec's are
            raise self._server.damaged(_KEYS) from error


def _audio(key_id: str) -> str:
    return f"{PREFIX}audio:{key_id}"


def _configuration(reference: bytes) -> str:
    return f"{PREFIX}configuration:{reference.hex()}"


def _hash(key: str) -> str:
    return sha256(key.encode()).hexdigest()
