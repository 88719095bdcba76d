"""What one client was told, event by event, held against what docs/protocol.md promises.

Rule: it knows the frames alone, so it judges a session in this process and one behind a socket alike. `told` raises
AssertionError at the first event that should not be, and `finished` once everything must have been said.
"""

from collections import Counter

ENDS = {"completed", "failed"}
SPOKEN = "conversation.item.input_audio_transcription."
SESSION = {f"{prefix}session.{what}" for prefix in ("", "transcription_") for what in ("created", "updated")}


class Ledger:
    def __init__(self):
        self.events = []
        self.errors = Counter()  # by the client's event_id
        self.order = []  # of the items, as the client would show them
        self.begun = []  # items of audio, in the order in which they were announced or committed
        self.announced = set()
        self.committed = {}  # with its previous item
        self.text = {}
        self.ended = set()
        self.deleted = set()
        self.open = None  # the item that is spoken
        self.heard_ms = 0
        self._ids = set()

    def told(self, event):
        self.events.append(event)
        kind = event["type"]
        if len(self.events) == 1:
            assert kind in {"session.created", "transcription_session.created", "error"}, "the first event"
        else:
            assert not kind.endswith("session.created"), "created twice"
        self._once(event["event_id"])
        if kind.startswith(SPOKEN):
            self._spoken(kind.removeprefix(SPOKEN), event)
        elif kind in SESSION:
            assert event["session"]["object"]
        else:
            getattr(self, "_" + kind.replace(".", "_"))(event)

    def finished(self):
        """Every item that was begun has ended, once."""
        left = [item for item in self.begun if item not in self.ended and item not in self.deleted]
        assert not left, f"never ended: {left}"
        assert self.open is None or self.open in self.ended, f"announced, and neither committed nor failed: {self.open}"

    def _once(self, event_id):
        assert isinstance(event_id, str), event_id
        assert event_id not in self._ids, f"event_id used twice: {event_id}"
        self._ids.add(event_id)

    def _begin(self, item_id):
        if item_id not in self.begun:
            self.begun.append(item_id)

    # ---- speech and the buffer

    def _input_audio_buffer_speech_started(self, event):
        assert self.open is None, f"speech starts in the middle of {self.open}"
        assert event["item_id"] not in self.announced, "announced twice"
        assert event["audio_start_ms"] >= 0
        self.open = event["item_id"]
        self.announced.add(self.open)
        self._begin(self.open)
        self.started_ms = event["audio_start_ms"]

    def _input_audio_buffer_speech_stopped(self, event):
        assert event["item_id"] == self.open, f"{event['item_id']} stops while {self.open} is spoken"
        assert event["audio_end_ms"] >= self.started_ms

    def _input_audio_buffer_timeout_triggered(self, event):
        assert 0 <= event["audio_start_ms"] <= event["audio_end_ms"]
        self._begin(event["item_id"])

    def _input_audio_buffer_committed(self, event):
        item, previous = event["item_id"], event["previous_item_id"]
        assert item not in self.committed, "committed twice"
        assert self.open in (None, item), f"{item} is committed while {self.open} is spoken"
        assert previous == (self.order[-1] if self.order else None), f"{previous} is not the last of {self.order}"
        self._begin(item)
        self.committed[item] = previous
        self.order.append(item)
        self.open = None

    def _input_audio_buffer_cleared(self, event):
        self.open = None

    def _hark_voice_activity(self, event):
        assert event["audio_start_ms"] >= self.heard_ms
        self.heard_ms = event["audio_start_ms"] + 1
        assert all(0 <= probability <= 1 for probability in event["probabilities"])

    # ---- items

    def _conversation_item_added(self, event):
        item, previous = event["item"]["id"], event["previous_item_id"]
        if item in self.committed and item not in self.deleted:
            assert previous == self.committed[item], "added after another item than it was committed after"
        else:
            assert item not in self.order, f"{item} is there already"
            self.deleted.discard(item)
            assert previous is None or previous in self.order, f"{previous} is not in {self.order}"
            self.order.insert(0 if previous is None else self.order.index(previous) + 1, item)

    _conversation_item_created = _conversation_item_added

    def _conversation_item_done(self, event):
        assert event["item"]["id"] in self.order
        before = self.events[-2]
        assert (before["type"], before["item"]) == ("conversation.item.added", event["item"]), "done without added"

    def _conversation_item_retrieved(self, event):
        assert event["item"]["id"] in self.order

    def _conversation_item_deleted(self, event):
        self.order.remove(event["item_id"])
        self.deleted.add(event["item_id"])

    # ---- what was understood

    def _spoken(self, what, event):
        item = event["item_id"]
        # With manual commits, deltas may come before the `committed` that confirms their id.
        assert item in self.begun or what == "delta", f"{what} of an item that nobody heard of: {item}"
        assert item not in self.deleted, f"{what} of an item that was deleted: {item}"
        assert item not in self.ended, f"{what} of an item that has ended: {item}"
        before = self.begun[: self.begun.index(item)] if item in self.begun else self.begun
        left = [one for one in before if one not in self.ended and one not in self.deleted]
        assert not left, f"{what} of {item} before the end of {left}"
        if what == "delta":
            self.text[item] = self.text.get(item, "") + event["delta"]
        elif what == "completed":
            assert self.text.get(item, "") == event["transcript"], "the deltas do not join to the transcript"
            assert item in self.committed, "completed, and never committed"
        if what in ENDS:
            self.ended.add(item)
        else:
            assert what in {"delta", "segment"}, what

    # ---- the rest

    def _response_created(self, event):
        assert event["response"]["status"] == "in_progress"

    def _response_done(self, event):
        before = self.events[-2]
        assert (before["type"], before["response"]["id"]) == ("response.created", event["response"]["id"])

    def _error(self, event):
        error = event["error"]
        assert {"type", "code", "message", "param", "event_id"} <= error.keys()
        assert len(error["message"]) > 15
        assert error["type"] != "server_error", error
        self.errors[error["event_id"]] += 1
