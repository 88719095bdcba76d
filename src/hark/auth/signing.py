"""The signing keys of client secrets: lines, one key a line in hexadecimal, in a file or, for several nodes, in Redis
(redis_signing.py).

    2f6c…              the first key signs
    91ab… 1795007260   a former one, and until when it verifies, in Unix seconds

Rule: the first key signs, all of them verify, a former one as long as a secret that it signed may live. So a key is
replaced without a break, and what is stolen with an old key is worth nothing later. A running server sees the change.
The file is made on first use, only its owner may read it, and it is replaced whole or not at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from hark.errors import OperatorError

KEY_BYTES: Final = 32
FILE: Final = "signing-keys"
# A secret lives for at most two hours (contract A.3); the minute is for servers whose clocks differ.
KEPT_S: Final = 7_200 + 60


class SigningKey(Struct, frozen=True):
    """`until` is None as long as nobody has replaced the key."""

    key: bytes
    until: int | None = None

    def verifies(self, now: float) -> bool:
        return self.until is None or now < self.until


class Rotation(Struct, frozen=True):
    """What was done by one. `where`: the file, or the Redis; `kept`: former keys that still verify; `kept_until`: the
    last of them; `dropped`: how many are gone; `first`: whether there was none before."""

    where: str
    kept: int = 0
    dropped: int = 0
    kept_until: int | None = None
    first: bool = False


class SigningKeys:
    """Those in the file `signing-keys` of this folder. `clock` gives Unix seconds. Threads may share it: what was read
    of the file is one value, replaced whole."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = folder / FILE
        self._clock = clock
        self._last: tuple[tuple[int, int, int], list[SigningKey]] | None = None

    def to_verify(self) -> Sequence[bytes]:
        """Every key that counts; none if no secret was ever signed here."""
        try:
            status = self._path.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            last = self._last
            if last is None or last[0] != seen:
                last = self._last = seen, _read(self._path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unusable(self._path, str(error.strerror or error)) from error
        return verifying(last[1], self._clock())

    def to_sign(self) -> bytes:
        """The first key, made now if there is none. Raises OperatorError if it cannot be kept."""
        if not self.to_verify():
            try:
                _create(self._path)
            except OSError as error:
                raise _unusable(self._path, str(error.strerror or error)) from error
        return self.to_verify()[0]

    def rotate(self, now: float, *, drop_old: bool = False) -> Rotation:
        """Put a new key on top. The former ones verify for as long as secrets that they signed may live; with
        `drop_old` they are gone, and with them every secret. Raises OperatorError, and then nothing has changed."""
        path = self._path
        try:
            if not path.exists():
                _create(path)
                return Rotation(str(path), first=True)
            path = path.resolve()
            keys, done = rotated(_read(path), now, str(path), drop_old=drop_old)
            _replace(path, keys)
        except OSError as error:
            raise _unusable(path, str(error.strerror or error)) from error
        return done


def verifying(keys: Sequence[SigningKey], now: float) -> list[bytes]:
    """Those that count."""
    return [entry.key for entry in keys if entry.verifies(now)]


def rotated(
    before: Sequence[SigningKey], now: float, where: str, *, drop_old: bool
) -> tuple[list[SigningKey], Rotation]:
    """The keys with a new one on top, and what was done."""
    kept = [] if drop_old else [_retired(entry, now) for entry in before if entry.verifies(now)]
    kept_until = max((entry.until for entry in kept if entry.until is not None), default=None)
    done = Rotation(where, len(kept), len(before) - len(kept), kept_until)
    return [made(), *kept], done


def made() -> SigningKey:
    """A new key."""
    return SigningKey(os.urandom(KEY_BYTES))


def written(keys: Sequence[SigningKey]) -> str:
    """As lines."""
    return "".join(entry.key.hex() + ("" if entry.until is None else f" {entry.until}") + "\n" for entry in keys)


def read(text: str, unusable: Callable[[str], OperatorError]) -> list[SigningKey]:
    """Of such lines. Raises what `unusable` makes of the reason."""
    try:
        keys = [_entry(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise unusable("a line is no hexadecimal key, or more than a key and a time") from error
    if not keys or any(len(entry.key) < KEY_BYTES for entry in keys):
        raise unusable(f"a key has fewer than {KEY_BYTES} bytes, or there is none")
    if keys[0].until is not None:
        raise unusable("the first key, which signs, has a time at which it ends")
    return keys


def _retired(entry: SigningKey, now: float) -> SigningKey:
    return entry if entry.until is not None else structs.replace(entry, until=int(now) + KEPT_S)


def _read(path: Path) -> list[SigningKey]:
    return read(path.read_bytes().decode("ascii", "replace"), lambda why: _unusable(path, why))


def _entry(line: str) -> SigningKey:
    """Raises ValueError."""
    key, _, until = line.strip().partition(" ")
    return SigningKey(bytes.fromhex(key), int(until) if until else None)


def _create(path: Path) -> None:
    """Never over a key that another process has just made."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = _draft(path, [made()])
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _replace(path: Path, keys: Sequence[SigningKey]) -> None:
    draft = _draft(path, keys)
    try:
        if hasattr(os, "chown"):  # an administrator may rotate the keys of another user's server
            status = path.stat()
            os.chown(draft, status.st_uid, status.st_gid)
        draft.replace(path)
    except OSError:
        draft.unlink()
        raise


def _draft(path: Path, keys: Sequence[SigningKey]) -> Path:
    """A file of the same folder with these keys, written to the disk, which only its owner may read."""
    draft = path.with_name(f".{FILE}-{os.getpid()}-{os.urandom(4).hex()}")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(written(keys))
        file.flush()
        os.fsync(file.fileno())
    return draft


def _unusable(path: Path, why: str) -> OperatorError:
    message = (
        f"The signing keys in {path} cannot be used: {why}. Expected a file of this user's, with {2 * KEY_BYTES} "
        "hexadecimal digits a line; without the file Hark makes one."
    )
    return OperatorError(message)
