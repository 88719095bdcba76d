"""What all ways of fetching a model file have in common: how progress is told, what is got, and how a source fails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct

from hark.errors import OperatorError
from hark.models.files.table import Entry, Member

# Called with what is being fetched, the bytes so far (None: under way, nobody knows how far), and the bytes in all.
Progress: TypeAlias = Callable[[str, int | None, int], None]

CACHED: Final = "cache"
CHUNK_BYTES: Final = 1 << 20


class Pulled(Struct, frozen=True):
    """A file that is now in place. `origin` says where it came from; `damaged`, that a wrong one lay in its place."""

    entry: Entry
    member: Member
    path: Path
    origin: str
    damaged: bool = False


class SourceError(Exception):
    """A source cannot deliver a file; the text completes "<source>: …"."""


def sha256_of(path: Path) -> str:
    """In hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cannot_write(path: Path, size: int, error: OSError) -> OperatorError:
    """The error for a file of `size` bytes that the models folder does not take."""
    return OperatorError(
        f"Cannot write {path}: {error.strerror}. Expected a folder that can be written to, with {size:,} "
        "bytes free. Make room, or name another folder with HARK_MODELS_DIR."
    )
