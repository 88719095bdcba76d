"""Witnesses of a session: shown each event before the client, whatever the transport, and told when it is over."""

import asyncio

import pytest

from hark.core.messages import AudioCleared, AudioCommitted, TranscriptCompleted, TranscriptFailed, Usage
from hark.edge.witness import Audience, Opened, Withheld, Witnesses
from hark.errors import JournalError


class Notes:
    def __init__(self, said):
        self._said = said

    async def saw(self, event):
        await asyncio.sleep(0)
        self._said.append(("saw", event))

    def gone(self):
        self._said.append("gone")


def test_witnesses_see_each_event_first_and_in_their_order():
    said = []

    async def tell(event):
        said.append(("told", event))

    opened = Opened("sess_1", "websocket", "key_1", "gpt-transcribe")
    asked = []
    audience = Witnesses(asked.append, lambda o: Notes(said), lambda o: Notes(said)).of(opened)
    events = [AudioCleared(), AudioCommitted("item_1", None)]

    async def run():
        told = audience.before(tell)
        for event in events:
            await told(event)

    asyncio.run(run())
    audience.gone()
    assert asked == [opened]
    assert said == [(verb, event) for event in events for verb in ("saw", "saw", "told")] + ["gone", "gone"]


def test_what_is_not_written_down_is_not_told():
    class Broken(Notes):
        async def saw(self, event):
            raise OSError("no space")

    told = []
    with pytest.raises(OSError, match="no space"):
        asyncio.run(Audience([Broken([])]).before(told.append)(AudioCleared()))
    assert told == []


def test_what_one_withholds_is_told_as_failed():
    class Strict(Notes):
        async def saw(self, event):
            await super().saw(event)
            raise Withheld(error)

    error, told, said = JournalError("No room.", code="journal_unavailable"), [], []

    async def tell(event):
        told.append(event)

    completed = TranscriptCompleted("item_1", "word", Usage("tokens", 1, 1, 1, 1), 0, 1)
    asyncio.run(Audience([Strict([]), Notes(said)]).before(tell)(completed))
    assert told == [TranscriptFailed("item_1", error)]
    assert said == [("saw", TranscriptFailed("item_1", error))]
