"""The signing keys of client secrets in a Redis that several nodes share, `hark:signing-keys`: the lines of the file.

Rule: they are asked for at each secret, so that a rotation counts on every node at once. Where Redis does not answer,
those that a node heard of last count for CACHED_S, as long as secrets live by default: what can be verified without it
is. Not for longer, for a node that is cut off learns of no key that was dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from hark.auth.redis_server import PREFIX, RedisServer
from hark.auth.signing import Rotation, SigningKey, made, read, rotated, verifying, written
from hark.errors import OperatorError, StorageError

NAME: Final = f"{PREFIX}signing-keys"
CACHED_S: Final = 600.0

# What was there before, or nothing; the keys that take its place. Whether it was still there.
_REPLACE: Final = """
local before = redis.call('GET', KEYS[1]) or ''
if before == ARGV[2] then return 1 end
if before ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class RedisSigningKeys:
    """Those in this Redis. `clock` gives Unix seconds. Threads may share it: what was read is one value."""

    def __init__(
        self, server: RedisServer, clock: Callable[[], float] = time.time, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        self._server = server
        self._clock = clock
        self._elapsed = elapsed
        self._last: tuple[float, list[SigningKey]] | None = None

    def to_verify(self) -> Sequence[bytes]:
        """Every key that counts; none if no secret was ever signed by any node. Raises StorageError."""
        return verifying(self._keys(), self._clock())

    def to_sign(self) -> bytes:
        """The first key, made now if there is none. Raises StorageError."""
        if not self.to_verify():
            self._replace("", written([made()]))  # or another node was faster
        return self.to_verify()[0]

    def rotate(self, now: float, *, drop_old: bool = False) -> Rotation:
        """Put a new key on top, as the file's `rotate` does. Raises OperatorError, and then nothing has changed."""
        while True:
            text = self._text()
            if not text and self._replace("", written([made()])):
                return Rotation(self._server.where, first=True)
            if not text:
                continue
            keys, done = rotated(self._read(text), now, self._server.where, drop_old=drop_old)
            if self._replace(text, written(keys)):
                return done

    def _keys(self) -> list[SigningKey]:
        now, last = self._elapsed(), self._last
        try:
            text = self._text()
        except StorageError:
            if last is None or now - last[0] > CACHED_S:
                raise
            return last[1]
        keys = self._read(text) if text else []
        self._last = now, keys
        return keys

    def _text(self) -> str:
        found = self._server.ask("GET", NAME)
        return "" if found is None else found.decode("ascii", "replace")

    def _replace(self, before: str, after: str) -> bool:
        return bool(self._server.run(_REPLACE, [NAME], before, after))

    def _read(self, text: str) -> list[SigningKey]:
        return read(text, self._unusable)

    def _unusable(self, why: str) -> OperatorError:
        where = self._server.where
        message = (
            f"The signing keys in {where} cannot be used: {why}. Delete the entry {NAME}, and Hark makes a new one."
        )
        return OperatorError(message)
