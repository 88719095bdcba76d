"""From events to turns: a reducer without a connection and without a clock.

Rule: an item is a turn from the first event that names it; it ends once, in `final` or in `failed`.
"""

from __future__ import annotations

from typing import assert_never

from msgspec import Struct, structs

from hark.client.events import (
    AudioCleared,
    AudioCommitted,
    Event,
    SessionCreated,
    SessionUpdated,
    SpeechStarted,
    SpeechStopped,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptFailed,
)
from hark.protocol.subtitles import Spoken


class Turn(Struct, frozen=True, kw_only=True):
    """One item. Milliseconds are on the audio clock; `text` is what the deltas said so far, and `final` or `failed` is
    set once the item has ended."""

    item_id: str
    start_ms: int | None = None
    end_ms: int | None = None
    committed: bool = False
    text: str = ""
    final: str | None = None
    failed: str | None = None

    @property
    def ended(self) -> bool:
        return self.final is not None or self.failed is not None


class Conversation:
    """Turns in the order in which they were announced, and how far on the audio clock the server has come."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}
        self.heard_ms = 0

    @property
    def turns(self) -> list[Turn]:
        return list(self._turns.values())

    @property
    def open(self) -> list[Turn]:
        return [turn for turn in self._turns.values() if not turn.ended]

    def spoken(self, until_ms: int | None = None) -> list[Spoken]:
        """What was said so far. `until_ms`: where the audio ends, for a turn whose end nobody reported."""
        found: list[Spoken] = []
        for turn in self._turns.values():
            if text := (turn.final or "").strip():
                start = turn.start_ms if turn.start_ms is not None else (found[-1].end_ms if found else 0)
                end = turn.end_ms if turn.end_ms is not None else (until_ms or self.heard_ms)
                found.append(Spoken(start, max(start, end), text))
        return found

    def about(self, event: Event) -> Turn | None:
        """The turn that an event was about, as it is now."""
        return self._turns.get(getattr(event, "item_id", ""))

    def apply(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case SessionCreated() | SessionUpdated():
                pass
            case AudioCleared():  # what was announced and not committed may never end (contract D.3)
                self._turns = {key: turn for key, turn in self._turns.items() if turn.committed or turn.ended}
            case SpeechStarted():
                self._change(event.item_id, start_ms=event.audio_start_ms)
            case SpeechStopped():
                self._change(event.item_id, end_ms=event.audio_end_ms)
            case AudioCommitted():
                self._change(event.item_id, committed=True)
            case TranscriptDelta():
                turn = self._turns.get(event.item_id, Turn(item_id=event.item_id))
                self._change(event.item_id, text=turn.text + event.delta)
            case TranscriptCompleted():
                times = {"start_ms": event.start_ms, "end_ms": event.end_ms}
                known = {name: value for name, value in times.items() if value is not None}
                self._change(event.item_id, text=event.transcript, final=event.transcript, **known)
            case TranscriptFailed():
                self._change(event.item_id, failed=event.error.message)
            case _:
                assert_never(event)

    def _change(self, item_id: str, **changes: object) -> None:
        turn = structs.replace(self._turns.get(item_id, Turn(item_id=item_id)), **changes)
        self._turns[item_id] = turn
        self.heard_ms = max(self.heard_ms, turn.start_ms or 0, turn.end_ms or 0)
