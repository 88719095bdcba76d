"""What was heard in the sessions of now and a moment ago, for whoever asks by a session's id.

Rule: kept in memory only, for the time of --resume-seconds after a session's end, and then forgotten. What is kept of a
session and how many sessions are kept is bounded; where something fell out, the answer says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from hark.core import messages as m
from hark.edge.witness import Opened, Witness
from hark.errors import HarkError

# As many as the session itself remembers.
MAX_ITEMS: Final = 1_000
MAX_ENDED: Final = 2_000


class Heard(Struct):
    """An item. Its times are on the audio clock, None while they are not known; `transcript` may still grow while
    neither `done` nor `failure` says otherwise. `begun`: it was announced or committed, so it ends."""

    id: str
    start_ms: int | None = None
    end_ms: int | None = None
    transcript: str = ""
    done: bool = False
    failure: HarkError | None = None
    begun: bool = False


class Record:
    """A witness that remembers."""

    def __init__(self, opened: Opened, forget: Callable[[Record], None]) -> None:
        self.session_id = opened.session_id
        self.key_id = opened.key_id
        self.items: dict[str, Heard] = {}
        self.complete = True
        self.ended = False
        self._forget = forget

    async def saw(self, event: m.Event) -> None:
        match event:
            case m.SpeechStarted():
                item = self._item(event.item_id)
                item.start_ms, item.begun = event.audio_start_ms, True
            case m.SpeechStopped():
                self._item(event.item_id).end_ms = event.audio_end_ms
            case m.AudioCommitted():
                self._item(event.item_id).begun = True
            case m.AudioCleared():
                self.items = {item.id: item for item in self.items.values() if item.begun}
            case m.TranscriptDelta():
                self._item(event.item_id).transcript += event.text
            case m.TranscriptCompleted():
                item = self._item(event.item_id)
                item.start_ms, item.end_ms = event.audio_start_ms, event.audio_end_ms
                item.transcript, item.done = event.transcript, True
            case m.TranscriptFailed():
                self._item(event.item_id).failure = event.error
            case m.ItemDeleted():
                self.items.pop(event.item_id, None)
            case _:
                pass

    def gone(self) -> None:
        self.ended = True
        self._forget(self)

    def _item(self, item_id: str) -> Heard:
        if item_id not in self.items:
            self.items[item_id] = Heard(item_id)
            if len(self.items) > MAX_ITEMS:
                del self.items[next(iter(self.items))]
                self.complete = False
        return self.items[item_id]


class Records:
    """`kept_s`: how long after its end a session is remembered; 0: none ever is."""

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._records: dict[str, Record] = {}
        self._ended: dict[str, asyncio.TimerHandle] = {}

    def begin(self, opened: Opened) -> Witness | None:
        """Of a session that somebody speaks in; the answer to an upload holds all there is."""
        if not self._kept_s or opened.transport == "upload":
            return None
        record = self._records[opened.session_id] = Record(opened, self._over)
        return record

    def find(self, session_id: str, key_id: str) -> Record | None:
        record = self._records.get(session_id)
        return record if record is not None and record.key_id == key_id else None

    def _over(self, record: Record) -> None:
        if len(self._ended) >= MAX_ENDED:
            self._drop(next(iter(self._ended)))
        later = asyncio.get_running_loop().call_later
        self._ended[record.session_id] = later(self._kept_s, self._drop, record.session_id)

    def _drop(self, session_id: str) -> None:
        self._ended.pop(session_id).cancel()
        del self._records[session_id]
