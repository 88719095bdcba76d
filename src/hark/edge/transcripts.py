"""GET /v1/realtime/sessions/{id}/transcript: what was heard in a session, while it lasts and for some time after.

Rule: a session is its key's; with another one it is not there. Nothing here waits for a model: an item whose transcript
is not there yet is told with its text so far.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hark.auth.keys import Keys
from hark.edge import guard
from hark.edge.lives import Lives
from hark.edge.records import Heard, Record, Records
from hark.edge.witness import Opened
from hark.errors import CallerError, HarkError, NotFoundError
from hark.journal.records import Transcript
from hark.journal.store import Store
from hark.protocol import answers, subtitles

_BASES: Final = ("/v1/realtime", "/realtime", "/openai/v1/realtime", "/openai/realtime")
PATHS: Final = tuple(f"{base}/sessions/{{session_id}}/transcript" for base in _BASES)
_WRITERS: Final[dict[str, Callable[[Sequence[subtitles.Spoken], int], str]]] = {
    "text": subtitles.to_text,
    "srt": subtitles.to_srt,
    "vtt": subtitles.to_vtt,
}
_FORMS: Final = ("json", *_WRITERS)


class Transcripts:
    """`journal`: where sessions are found that are not in memory any more."""

    def __init__(
        self, keys: Keys, records: Records, lives: Lives, journal: Store | None = None, *, any_origin: bool = False
    ) -> None:
        self._keys = keys
        self._records = records
        self._lives = lives
        self._journal = journal
        self._any_origin = any_origin

    def routes(self) -> Sequence[Route]:
        return [Route(path, self.show, methods=["GET"]) for path in PATHS]

    async def show(self, request: Request) -> Response:
        who = await guard.admit(request, self._keys, any_origin=self._any_origin)
        form = request.query_params.get("response_format") or "json"
        if form not in _FORMS:
            message = f"Expected 'response_format' to be one of {', '.join(_FORMS)}; got '{form[:40]}'."
            raise CallerError(message, code="invalid_value", param="response_format")
        session_id = request.path_params["session_id"]
        record = await self._find(session_id, who.key_id)
        if record is None:
            message = (
                f"There is no session '{session_id[:100]}' of this key, or it ended too long ago. Its id is that of "
                "session.created; how long its transcript is kept is what --resume-seconds says."
            )
            raise NotFoundError(message, code="session_not_found", param="session_id")
        headers = {"cache-control": "no-store"}
        if form == "json":
            return JSONResponse(answers.told(self._body(record)), headers=headers)
        turns = [
            subtitles.Spoken(item.start_ms or 0, item.end_ms or item.start_ms or 0, item.transcript)
            for item in record.items.values()
            if item.done and item.transcript
        ]
        written = _WRITERS[form](turns, turns[-1].end_ms if turns else 0)
        return Response(written, media_type="text/plain", headers=headers)

    async def _find(self, session_id: str, key_id: str) -> Record | None:
        """From memory; from the journal what memory has not, or not whole."""
        record = self._records.find(session_id, key_id)
        if self._journal is None or (record is not None and record.complete):
            return record
        kept = await asyncio.to_thread(self._journal.find, session_id, key_id)
        if kept is None:
            return record
        return _recorded(kept, ended=not self._lives.has(session_id) if record is None else record.ended)

    def _body(self, record: Record) -> answers.SessionTranscript:
        items = [_item(item) for item in record.items.values()]
        away = self._lives.is_away(record.session_id)
        return answers.SessionTranscript(
            id=record.session_id,
            status="ended" if record.ended else "away" if away else "open",
            text=" ".join(item.transcript for item in items if item.status == "completed" and item.transcript),
            items=items,
            complete=record.complete,
        )


def _recorded(kept: Transcript, *, ended: bool) -> Record:
    """A session of the journal."""
    opened = Opened(kept.session.id, "websocket", kept.session.key_id, kept.session.model)
    record = Record(opened, lambda record: None)
    record.ended = ended
    for item in kept.items:
        failure = None if item.failure is None else HarkError("This item has no transcript.", code=item.failure)
        done = item.transcript is not None
        heard = Heard(item.id, item.audio_start_ms, item.audio_end_ms, item.transcript or "", done, failure)
        record.items[item.id] = heard
    return record


def _item(item: Heard) -> answers.HeardItem:
    failure = item.failure
    return answers.HeardItem(
        id=item.id,
        status="failed" if failure else "completed" if item.done else "in_progress",
        transcript=item.transcript,
        start_ms=item.start_ms,
        end_ms=item.end_ms,
        error=answers.ItemFault(failure.type, failure.message, failure.code) if failure else UNSET,
    )
