"""The witness that writes a session into the journal, and lets `completed` go out when it is on disk.

Rule: a `completed` without a record is not sent: if the journal cannot be written within PATIENCE_S, the item ends in
`failed` with the code journal_unavailable, and nothing else is touched. While the journal goes on failing, items wait
for BRIEF_S only, so that a full disk does not make each turn late. Nothing else that happens waits for the disk.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

from msgspec import Struct, field, structs

from hark.core import messages as m
from hark.edge.witness import Opened, Withheld
from hark.errors import JournalError
from hark.journal.records import DELETED, NO_CODE, UNAVAILABLE, Closed, Entry, ItemRecord, SessionRecord
from hark.journal.writer import Journal

PATIENCE_S: Final = 5.0
BRIEF_S: Final = 1.0


class _Open(Struct):
    """An item that has not ended. Neither has its record, None until the item is committed."""

    started_at: float
    record: ItemRecord | None = None
    segments: list[m.SpeakerSegment] = field(default_factory=list)


class Recorder:
    """A Witness of one session."""

    def __init__(self, journal: Journal, opened: Opened) -> None:
        self._journal = journal
        self._session = SessionRecord(
            id=opened.session_id,
            transport=opened.transport,
            key_id=opened.key_id,
            key_name=opened.key_name,
            model=opened.model,
            call_id=opened.call_id,
            opened_at=time.time(),
        )
        self._model: str | None = None
        self._open: dict[str, _Open] = {}
        self._told = False  # anything of the session

    async def saw(self, event: m.Event) -> None:
        """Raises Withheld for a transcript that could not be written."""
        match event:
            case m.SessionCreated() | m.SessionUpdated():
                asked = event.session.settings.transcription
                self._model = None if asked is None else asked.model
            case m.SpeechStarted():
                self._open[event.item_id] = _Open(time.time())
            case m.AudioCommitted():
                self._commit(event)
            case m.SpeakerSegment() if event.item_id in self._open:
                self._open[event.item_id].segments.append(event)
            case m.TranscriptCompleted():
                await self._complete(event)
            case m.TranscriptFailed():
                self._fail(event.item_id, event.error.code or NO_CODE)
            case m.ItemDeleted():
                self._fail(event.item_id, DELETED)
            case _:
                pass

    def gone(self) -> None:
        if self._told:
            self._journal.note(Closed(self._session.id, time.time()))

    def _commit(self, event: m.AudioCommitted) -> None:
        now = time.time()
        item = self._open.setdefault(event.item_id, _Open(now))
        item.record = ItemRecord(
            id=event.item_id,
            previous_id=event.previous_item_id,
            model=self._model,
            started_at=min(item.started_at, now),
            ended_at=now,
            recorded_at=now,
        )
        self._note(item.record)

    async def _complete(self, event: m.TranscriptCompleted) -> None:
        item = self._open.pop(event.item_id, None)
        if item is None or item.record is None:
            return  # not of the audio of this session
        begun = item.record
        done = structs.replace(
            begun,
            recorded_at=time.time(),
            audio_start_ms=event.audio_start_ms,
            audio_end_ms=event.audio_end_ms,
            transcript=event.transcript,
            languages=event.languages,
            words=event.words,
            segments=tuple(item.segments) or None,
        )
        if not await self._write(done):
            failed = structs.replace(done, transcript=None, failure=UNAVAILABLE, words=None, segments=None)
            self._note(failed)  # which is written when something can be
            raise Withheld(
                JournalError(
                    "The transcript could not be written to the server's journal, without which it is not sent. "
                    "The log of the server says why.",
                    code=UNAVAILABLE,
                )
            )

    def _fail(self, item_id: str, code: str) -> None:
        item = self._open.pop(item_id, None)
        if item is not None and item.record is not None:
            self._note(structs.replace(item.record, recorded_at=time.time(), failure=code))

    def _note(self, record: ItemRecord) -> None:
        self._told = True
        self._journal.note(Entry(self._session, record))

    async def _write(self, record: ItemRecord) -> bool:
        """Whether it is on disk."""
        self._told = True
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()

        def settle(well: bool) -> None:
            if not written.done():
                written.set_result(well)

        def done(well: bool) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, well)

        patience = BRIEF_S if self._journal.behind_s > PATIENCE_S else PATIENCE_S
        pending = self._journal.write(Entry(self._session, record), done)
        await asyncio.wait([written], timeout=patience)
        if written.done():
            return written.result()
        self._journal.give_up(pending)
        return False
