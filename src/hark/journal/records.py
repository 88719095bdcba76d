"""What the journal holds: sessions, and the items that were said in them.

Rule: neither keys nor audio are among it. Times that end in `_at` are in Unix seconds by the server's clock, those that
end in `_ms` on the session's audio clock.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from hark.core.messages import SpeakerSegment, Word

# The failure of an item whose transcript could not be written down, on the wire as in the journal.
UNAVAILABLE: Final = "journal_unavailable"
# … of one that the client deleted before it was transcribed, …
DELETED: Final = "item_deleted"
# … and of one that failed without a code.
NO_CODE: Final = "server_error"


class SessionRecord(Struct, frozen=True):
    """`key_id` and `key_name` as in Principal. `model`: the name that the client asked for when it connected, None for
    none. `closed_at`: None while it is open, and if the server ended before it was closed."""

    id: str
    transport: str
    key_id: str
    key_name: str
    model: str | None
    call_id: str | None
    opened_at: float
    closed_at: float | None = None


class ItemRecord(Struct, frozen=True, kw_only=True):
    """An item from its commit on; with a `transcript` or a `failure` it has ended. `model`: the name that its session
    asked for, None for the server's default. `started_at` and `ended_at`: when its speech was seen to begin, and when
    it was committed. `recorded_at`: when the record became what it is."""

    id: str
    previous_id: str | None
    model: str | None
    started_at: float
    ended_at: float
    recorded_at: float
    audio_start_ms: int | None = None
    audio_end_ms: int | None = None
    transcript: str | None = None
    failure: str | None = None
    languages: tuple[str, ...] | None = None
    words: tuple[Word, ...] | None = None
    segments: tuple[SpeakerSegment, ...] | None = None


class Entry(Struct, frozen=True):
    """To be written: an item as it is now, in place of what was said of it before."""

    session: SessionRecord
    item: ItemRecord


class Closed(Struct, frozen=True):
    """To be written: a session is over."""

    session_id: str
    at: float


class Transcript(Struct, frozen=True):
    """A session and its items, in the order of their commits."""

    session: SessionRecord
    items: tuple[ItemRecord, ...]


class Listed(Struct, frozen=True):
    """A session in short. `seconds`: of speech transcribed; `missing`: items without a transcript; `first`: the first
    transcript that has words, "" for none."""

    session: SessionRecord
    items: int
    missing: int
    seconds: float
    first: str
