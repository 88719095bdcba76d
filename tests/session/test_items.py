"""The items: order, previous ids, and memory that stays flat."""

import numpy as np
import pytest

from hark.core.messages import Item
from hark.errors import CallerError
from hark.session.items import MAX_AUDIO_SAMPLES, MAX_ITEMS, Items

SECOND = np.zeros(16_000, np.float32)


def with_items(*ids):
    items = Items()
    for item_id in ids:
        items.add(Item(item_id), SECOND)
    return items


def test_each_item_follows_the_one_before():
    items = Items()
    assert [items.add(Item(name)) for name in "abc"] == [None, "a", "b"]


def test_what_follows_a_deleted_item_follows_the_one_before_it():
    items = with_items("a", "b")
    items.delete("b")
    assert items.add(Item("c")) == "a"
    items.delete("a")
    items.delete("c")
    assert items.add(Item("d")) is None


def test_a_transcript_is_kept_with_its_item():
    items = with_items("a")
    items.set_transcript("a", "hello")
    items.set_transcript("gone", "nobody asks")
    assert items.get("a")[0] == Item("a", transcript="hello")
    assert "gone" not in items


@pytest.mark.parametrize("ask", [Items.get, Items.delete])
def test_an_unknown_item_is_the_callers_fault(ask):
    with pytest.raises(CallerError, match=r"not found: 'x'\. It was never committed, or it was deleted") as caught:
        ask(with_items("a"), "x")
    assert (caught.value.code, caught.value.param) == ("item_not_found", "item_id")


def test_the_oldest_items_are_forgotten():
    items = with_items(*(f"item_{n}" for n in range(MAX_ITEMS + 3)))
    assert "item_2" not in items
    assert "item_3" in items
    assert items.last_id == f"item_{MAX_ITEMS + 2}"


def test_audio_is_kept_of_the_newest_minute():
    kept = MAX_AUDIO_SAMPLES // len(SECOND)
    items = with_items(*(f"item_{n}" for n in range(kept + 2)))
    assert [items.get(f"item_{n}")[1] is None for n in range(4)] == [True, True, False, False]


def test_one_long_item_keeps_its_audio_until_the_next():
    items = Items()
    items.add(Item("long"), np.zeros(2 * MAX_AUDIO_SAMPLES, np.float32))
    assert items.get("long")[1] is not None
    items.add(Item("next"), SECOND)
    assert items.get("long")[1] is None
    assert items.get("next")[1] is SECOND
