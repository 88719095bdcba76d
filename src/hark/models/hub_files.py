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


# Name, repository and size in MB of Whisper's conversions to CTranslate2, in float16. The sizes are those that the
# repositories' pages gave. Which vocabulary a repository has depends on its age, and the engine takes either.
_WHISPER: Final = (
    ("whisper-tiny", "Systran/faster-whisper-tiny", 78),
    ("whisper-tiny.en", "Systran/faster-whisper-tiny.en", 78),
    ("whisper-base", "Systran/faster-whisper-base", 148),
    ("whisper-base.en", "Systran/faster-whisper-base.en", 148),
    ("whisper-small", "Systran/faster-whisper-small", 486),
    ("whisper-small.en", "Systran/faster-whisper-small.en", 486),
    ("whisper-medium", "Systran/faster-whisper-medium", 1_530),
    ("whisper-medium.en", "Systran/faster-whisper-medium.en", 1_530),
    ("whisper-large-v1", "Systran/faster-whisper-large-v1", 3_090),
    ("whisper-large-v2", "Systran/faster-whisper-large-v2", 3_090),
    ("whisper-large-v3", "Systran/faster-whisper-large-v3", 3_090),
    ("whisper-large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1_620),
    ("distil-small.en", "Systran/faster-distil-whisper-small.en", 335),
    ("distil-medium.en", "Systran/faster-distil-whisper-medium.en", 792),
    ("distil-large-v2", "Systran/faster-distil-whisper-large-v2", 1_515),
    ("distil-large-v3", "Systran/faster-distil-whisper-large-v3", 1_515),
    ("distil-large-v3.5", "distil-whisper/distil-large-v3.5-ct2", 1_515),
)

_ENTRIES: Final = tuple(
    HubFiles(
        name=name,
        summary="Whisper for faster-whisper",
        licence="MIT",
        repo=repo,
        files=("config.json", "model.bin", "tokenizer.json"),
        optional=("vocabulary.json", "vocabulary.txt", "preprocessor_config.json"),
        size=megabytes * 1_000_000,
    )
    for name, repo, megabytes in _WHISPER
)

# A plug-in may add its own when it is imported.
HUB_FILES: Final[dict[str, HubFiles]] = {entry.name: entry for entry in _ENTRIES}
