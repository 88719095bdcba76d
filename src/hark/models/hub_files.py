"""The models that Hark fetches from a model hub: which repository holds each, and which of its files are wanted.

Rule: an entry's files land in a folder of its name. A file with a pin has to have that SHA-256. Of another, the hub's
own checksum is believed when it is first pulled, written down beside it, and held to from then on.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field


class HubFiles(Struct, frozen=True):
    """The files that go by one name: those of `repo` ("owner/name") at `revision`, a branch, a tag or a commit.

    `files` have to be there, `optional` ones are fetched where the repository has them; both are paths in it, with
    slashes. `size` is that of all together, in bytes and roughly, for people. `pins`: file -> SHA-256 in hexadecimal.
    """

    name: str
    summary: str
    licence: str
    repo: str
    files: tuple[str, ...]
    size: int
    optional: tuple[str, ...] = ()
    revision: str = "main"
    pins: dict[str, str] = field(default_factory=dict)


_ENTRIES: Final[tuple[HubFiles, ...]] = ()

# A plug-in may add its own when it is imported.
HUB_FILES: Final[dict[str, HubFiles]] = {entry.name: entry for entry in _ENTRIES}
