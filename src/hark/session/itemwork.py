"""What a client asks of single items: to see one again, to take one out, to put one in.

Rule: each request is answered by one event, or raises CallerError. Refuses: to truncate what a user said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from hark.audio.intake import wire_bytes
from hark.core import messages as m
from hark.core.settings import AudioFormat
from hark.errors import CallerError
from hark.session.items import Items
from hark.session.transcribing import Transcribing


class ItemWork:
    """`new_id` makes ids ("item" -> "item_…")."""

    def __init__(self, items: Items, jobs: Transcribing, new_id: Callable[[str], str]) -> None:
        self._items = items
        self._jobs = jobs
        self._new_id = new_id

    def execute(self, command: m.ItemCommand, wire: AudioFormat) -> m.Event:
        """The answer, its audio encoded as `wire` says. Raises CallerError."""
        match command:
            case m.RetrieveItem():
                item, audio = self._items.get(command.item_id)
                return m.ItemRetrieved(item, None if audio is None else wire_bytes(audio, wire.encoding, wire.rate))
            case m.DeleteItem():
                self._items.delete(command.item_id)
                if job := self._jobs.find(command.item_id):
                    job.delete()
                return m.ItemDeleted(command.item_id)
            case m.TruncateItem():
                self._items.get(command.item_id)
                message = "Only model output audio messages can be truncated; this item is the user's."
                raise CallerError(message, code="invalid_value", param="item_id")
            case m.CreateItem():
                return self._create(command)
            case _:
                assert_never(command)

    def _create(self, command: m.CreateItem) -> m.ItemAdded:
        given = command.item.get("id")
        item_id = given if isinstance(given, str) and given else self._new_id("item")
        turn = self._jobs.find(item_id)  # which may have been announced, and not committed yet
        if item_id in self._items or (turn is not None and not turn.deleted):
            raise CallerError(f"Item with id '{item_id}' already exists.", code="invalid_value", param="item.id")
        item = m.Item(item_id, raw=command.item)
        return m.ItemAdded(item, self._items.insert(item, command.previous_item_id))
