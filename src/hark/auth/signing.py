"""The signing keys of client secrets: a file of lines, one key a line in hexadecimal.

Rule: the first key signs, all of them verify. So a key is replaced without a break: put a new line on top, and take the
old one out when the secrets that it signed have expired. A running server sees the change. The file is made on first
use, and only its owner may read it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hark.errors import OperatorError

KEY_BYTES: Final = 32
FILE: Final = "signing-keys"


class SigningKeys:
    """Those in the file `signing-keys` of this folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._seen: tuple[int, int] | None = None
        self._keys: list[bytes] = []

    def to_verify(self) -> Sequence[bytes]:
        """Every key; none if no secret was ever signed here."""
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                self._keys, self._seen = _read(self._path), seen
        except FileNotFoundError:
            self._keys, self._seen = [], None
        except OSError as error:
            raise _unusable(self._path, str(error.strerror or error)) from error
        return self._keys

    def to_sign(self) -> bytes:
        """The first key, made now if there is none. Raises OperatorError if it cannot be kept."""
        if not self.to_verify():
            try:
                _create(self._path)
            except OSError as error:
                raise _unusable(self._path, str(error.strerror or error)) from error
        return self.to_verify()[0]


def _read(path: Path) -> list[bytes]:
    try:
        keys = [bytes.fromhex(line) for line in path.read_text("ascii").splitlines() if line.strip()]
    except ValueError as error:
        raise _unusable(path, "a line is not hexadecimal") from error
    if not keys or any(len(key) < KEY_BYTES for key in keys):
        raise _unusable(path, f"a key has fewer than {KEY_BYTES} bytes, or there is none")
    return keys


def _create(path: Path) -> None:
    """Whole or not at all, and never over a key that another process has just made."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{FILE}-{os.getpid()}-{os.urandom(4).hex()}")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(os.urandom(KEY_BYTES).hex() + "\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _unusable(path: Path, why: str) -> OperatorError:
    message = (
        f"The signing keys in {path} cannot be used: {why}. Expected a file of this user's, with {2 * KEY_BYTES} "
        "hexadecimal digits a line; without the file Hark makes one."
    )
    return OperatorError(message)
