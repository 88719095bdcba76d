"""A session of the journal -> text, SRT, WebVTT, JSON or JSON Lines.

Rule: what is missing is said where the form has a place for it (not in SRT): items that failed, and those that never
ended. Items of which nothing was heard are left out where people read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from hark.journal.records import ItemRecord, SessionRecord, Transcript
from hark.protocol.subtitles import Spoken, to_srt, to_vtt

UNFINISHED: Final = "unfinished"


def missing(item: ItemRecord) -> str | None:
    """Why it has no transcript; None if it has one."""
    return None if item.transcript is not None else item.failure or UNFINISHED


def as_text(transcript: Transcript) -> str:
    """A line a turn, or a speaker's part of it."""
    return "".join(f"{line}\n" for item in transcript.items for line in _lines(item))


def as_srt(transcript: Transcript) -> str:
    turns = [turn for item in transcript.items for turn in _spoken(item)]
    return to_srt(turns, _length_ms(transcript))


def as_vtt(transcript: Transcript) -> str:
    turns = [turn for item in transcript.items for turn in _spoken(item)]
    head, _, cues = to_vtt(turns, _length_ms(transcript)).partition("\n")
    notes = "".join(f"\nNOTE {_gap(item, why)}\n" for item in transcript.items if (why := missing(item)))
    return f"{head}\n{notes}{cues}"


def as_json(transcript: Transcript) -> str:
    told = session_fields(transcript.session) | {"items": [_item(item) for item in transcript.items]}
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n"


def as_jsonl(transcript: Transcript) -> str:
    """An item a line, each with its session."""
    session = session_fields(transcript.session)
    lines = ({"session": session, **_item(item)} for item in transcript.items)
    return "".join(f"{msgspec.json.encode(line).decode()}\n" for line in lines)


# By the name of the form: how it is written, and the suffix of a file of it.
FORMS: Final[dict[str, tuple[Callable[[Transcript], str], str]]] = {
    "text": (as_text, ".txt"),
    "srt": (as_srt, ".srt"),
    "vtt": (as_vtt, ".vtt"),
    "json": (as_json, ".json"),
    "jsonl": (as_jsonl, ".jsonl"),
}


def moment(unix_s: float) -> str:
    """A time in UTC, as ISO 8601 has it."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _lines(item: ItemRecord) -> Iterator[str]:
    if why := missing(item):
        yield f"[{_gap(item, why)}]"
    yield from (turn.text for turn in _spoken(item))


def _gap(item: ItemRecord, why: str) -> str:
    return f"{item.id}, spoken at {moment(item.started_at)}, has no transcript: {why}"


def _spoken(item: ItemRecord) -> Iterator[Spoken]:
    """The parts of its speakers, else all of it; nothing if it has no words."""
    start, end = item.audio_start_ms or 0, item.audio_end_ms or 0
    if item.segments:
        for part in item.segments:
            yield Spoken(part.start_ms, part.end_ms, f"{part.speaker}: {' '.join(part.text.split())}")
    elif text := " ".join((item.transcript or "").split()):
        yield Spoken(start, end, text, item.words or ())


def _length_ms(transcript: Transcript) -> int:
    return max((item.audio_end_ms or 0 for item in transcript.items), default=0)


def session_fields(session: SessionRecord) -> dict[str, Any]:
    """A session as JSON has it."""
    return {
        "id": session.id,
        "opened_at": moment(session.opened_at),
        "closed_at": session.closed_at and moment(session.closed_at),
        "transport": session.transport,
        "key_id": session.key_id,
        "key_name": session.key_name,
        "model": session.model,
        "call_id": session.call_id,
    }


def _item(item: ItemRecord) -> dict[str, Any]:
    """All that is known of it; what is not known of it is left out."""
    told: dict[str, Any] = {
        "item_id": item.id,
        "previous_item_id": item.previous_id,
        "model": item.model,
        "started_at": moment(item.started_at),
        "ended_at": moment(item.ended_at),
        "recorded_at": moment(item.recorded_at),
        "start_ms": item.audio_start_ms,
        "end_ms": item.audio_end_ms,
        "transcript": item.transcript,
        "missing": missing(item),
        "languages": item.languages,
        "words": item.words and [{"word": w.text, "start_ms": w.start_ms, "end_ms": w.end_ms} for w in item.words],
        "segments": item.segments
        and [
            {"id": s.id, "speaker": s.speaker, "start_ms": s.start_ms, "end_ms": s.end_ms, "text": s.text}
            for s in item.segments
        ],
    }
    return {name: value for name, value in told.items() if value is not None}
