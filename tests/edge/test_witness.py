"""Witnesses of a session: shown each event before the client, whatever the transport, and told when it is over."""

import asyncio

import pytest

from hark.core.messages import AudioCleared, AudioCommitted
from hark.edge.witness import Audience, Opened, Witnesses


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
