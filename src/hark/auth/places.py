"""Where keys and signing keys are kept, and what was used of their limits: a folder, or a Redis of several nodes.

Rule: here alone it is chosen. Whoever uses them knows a KeyStore and a Signing, and one place for both. SQLite is what
a machine has anyway; with Redis every node behind a load balancer knows every key, and counts with the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from hark.auth.redis_server import RedisServer
from hark.auth.redis_signing import RedisSigningKeys
from hark.auth.redis_store import RedisStore
from hark.auth.signing import Rotation, SigningKeys
from hark.auth.store import Store, StoredKey
from hark.errors import StorageError

Place: TypeAlias = Path | RedisServer


class KeyStore(Protocol):
    """Whoever asks may wait for it, and gets StorageError where it cannot be used. Threads may share it; `add_audio`
    is one thread's."""

    @property
    def where(self) -> str:
        """For people: the file, or the Redis without its password."""

    @property
    def emptied(self) -> str:
        """How an operator empties it, as words after "stop the server and"."""

    def check(self) -> None:
        """Raises StorageError or OperatorError where a server cannot begin with it."""

    def has_keys(self, patience_s: float = ...) -> bool:
        """Whether a key was ever made. `patience_s` 0: for who cannot wait."""

    def all(self) -> list[StoredKey]: ...

    def by_key(self, key: str) -> StoredKey | None: ...

    def by_id(self, key_id: str) -> StoredKey | None: ...

    def add(self, entry: StoredKey, key: str) -> None:
        """Raises OperatorError if a key of this name is in use."""

    def revoke(self, name: str, now: float) -> bool:
        """Whether there was a key of this name to revoke."""

    def revoked(self, key_ids: Sequence[str]) -> set[str]:
        """Those of these keys that count no more."""

    def keep(self, body: bytes, expires_at: int, now: float) -> bytes:
        """Keep a configuration until it expires; its reference."""

    def kept(self, reference: bytes) -> bytes | None: ...

    def add_audio(self, heard: Mapping[tuple[str, int], int], now: float) -> None:
        """Add samples to what keys sent in minutes: (id of the key, minute since 1970) -> samples."""

    def audio(self, now: float, key_ids: Sequence[str]) -> dict[str, dict[int, int]]:
        """What each of these keys sent in the last hour: minute since 1970 -> samples."""

    def lost(self) -> StorageError:
        """What to say where there is no key any more, and there was one."""


class Signing(Protocol):
    """The signing keys of client secrets. Raises OperatorError where they cannot be had."""

    def to_verify(self) -> Sequence[bytes]:
        """Every key that counts; none if no secret was ever signed."""

    def to_sign(self) -> bytes:
        """The first key, made now if there is none."""

    def rotate(self, now: float, *, drop_old: bool = False) -> Rotation:
        """Put a new key on top; the former ones go on for a while, or with `drop_old` do not."""


def store_at(place: Place) -> KeyStore:
    return Store(place) if isinstance(place, Path) else RedisStore(place)


def signing_at(place: Place, clock: Callable[[], float] = time.time) -> Signing:
    return SigningKeys(place, clock) if isinstance(place, Path) else RedisSigningKeys(place, clock)


def rotate(place: Place, now: float, *, drop_old: bool = False) -> Rotation:
    return signing_at(place).rotate(now, drop_old=drop_old)
