"""The items of a conversation: their order, their previous ids, what they hold.

Rule: an item is known from its commit on, under the id that was announced when its speech started. Memory stays flat:
the oldest items are forgotten past MAX_ITEMS, and audio is kept for the newest few only.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from hark.core.messages import Item
from hark.core.work import SAMPLE_RATE, Audio
from hark.errors import CallerError

MAX_ITEMS: Final = 1_000
# A client may ask for a turn's audio back (agents-js does after each turn); the newest minute of it is kept.
MAX_AUDIO_SAMPLES: Final = 60 * SAMPLE_RATE


class Items:
    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._audio: dict[str, Audio] = {}

    @property
    def last_id(self) -> str | None:
        return next(reversed(self._items), None)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._items

    def add(self, item: Item, audio: Audio | None = None) -> str | None:
        """Append `item`; returns the id of the item before it."""
        previous = self.last_id
        self._items[item.id] = item
        if audio is not None:
            self._audio[item.id] = audio
        self._forget()
        return previous

    def insert(self, item: Item, after: str | None) -> str | None:
        """Put `item` after the item of this id ("root": first; None: last); returns the id of the item before it.

        Raises CallerError item_not_found.
        """
        if after is None:
            return self.add(item)
        before = list(self._items.values())
        place = 0
        if after != "root":
            self._must_know(after)
            place = 1 + next(index for index, other in enumerate(before) if other.id == after)
        self._items = {other.id: other for other in (*before[:place], item, *before[place:])}
        self._forget()
        return before[place - 1].id if place else None

    def set_transcript(self, item_id: str, transcript: str) -> None:
        if item_id in self._items:
            self._items[item_id] = structs.replace(self._items[item_id], transcript=transcript)

    def get(self, item_id: str) -> tuple[Item, Audio | None]:
        """The item and, while it is kept, its audio. Raises CallerError item_not_found."""
        self._must_know(item_id)
        return self._items[item_id], self._audio.get(item_id)

    def delete(self, item_id: str) -> None:
        self._must_know(item_id)
        del self._items[item_id]
        self._audio.pop(item_id, None)

    def _must_know(self, item_id: str) -> None:
        if item_id not in self._items:
            message = f"Item with item_id not found: '{item_id}'. It was never committed, or it was deleted."
            raise CallerError(message, code="item_not_found", param="item_id")

    def _forget(self) -> None:
        while len(self._items) > MAX_ITEMS:
            self.delete(next(iter(self._items)))
        while len(self._audio) > 1 and sum(map(len, self._audio.values())) > MAX_AUDIO_SAMPLES:
            del self._audio[next(iter(self._audio))]
