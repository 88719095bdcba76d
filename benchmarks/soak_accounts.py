"""What a client was told in a session, held against what it must be told: the books of the soak.

Rule: a client's knowledge is enough. Every item that is announced or committed ends exactly once and in order; what its
deltas say is what its transcript says; no event comes twice, over all connections of a session; times are on the audio
clock, which never runs ahead of what was sent; whatever is asked is answered. Where a client was not told to the end,
the server's transcript of the session says the rest. There is no connection here and no clock: both come in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import Struct

SPEECH: Final = "conversation.item.input_audio_transcription."
BUFFER: Final = "input_audio_buffer."
TRAIL: Final = 200  # lines of what happened last, to be shown with a finding
# What answers what; anything may be answered by an error that names it, where it may be wrong.
ANSWERS: Final = {
    "session.update": ("session.updated", "transcription_session.updated"),
    "transcription_session.update": ("session.updated", "transcription_session.updated"),
    BUFFER + "clear": (BUFFER + "cleared",),
    BUFFER + "commit": (BUFFER + "committed",),
    "conversation.item.delete": ("conversation.item.deleted",),
    "conversation.item.retrieve": ("conversation.item.retrieved",),
    "conversation.item.create": ("conversation.item.added", "conversation.item.created"),
    "response.create": ("response.done",),
}


class Asked(Struct):
    """`may_fail`: an error is an answer too. `lost`: the connection was, so perhaps nobody heard it."""

    kind: str
    event_id: str | None
    at: float
    answers: tuple[str, ...]
    may_fail: bool = False
    lost: bool = False


class Item(Struct):
    """`spoken`: it stands for audio, so it ends."""

    id: str
    spoken: bool = False
    started: bool = False
    start_ms: int = 0
    stopped_at: float | None = None
    committed: bool = False
    shown: int = 0
    text: str = ""
    ended: str | None = None
    transcript: str = ""
    deleted: bool = False


class Account:
    """One session. `slow_s`: how long an answer may take while `patient` is False."""

    def __init__(self, name: str, *, slow_s: float = 5.0) -> None:
        self.name = name
        self.session_id: str | None = None
        self.items: dict[str, Item] = {}
        self.faults: list[str] = []
        self.slow: list[str] = []
        self.waits: list[float] = []  # seconds from the end of a turn to its transcript
        self.trail: deque[str] = deque(maxlen=TRAIL)
        self.last_event: str | None = None
        self.refusal: str | None = None
        self.sent_ms = 0
        self.patient = False
        self.gap = False  # events were missed, and the client was told so
        self._slow_s = slow_s
        self._pending: list[Asked] = []
        self._may_fail: set[str] = set()
        self._events: set[str] = set()
        self._order: list[str] = []  # the conversation
        self._begun: list[Item] = []  # spoken ones, by their first mention
        self._first_open = 0
        self.greeted = True  # on the connection that there is
        self._voice_ms: int | None = None

    # ---- what the client does ------------------------------------------------------------------------------------

    def connect(self) -> None:
        """A connection is opened; the first event must greet."""
        self.greeted = False
        self.trail.append("-- connects")

    def cut(self) -> None:
        """The connection is lost; what is on its way may never arrive."""
        self.trail.append(f"-- is cut off at {self.sent_ms} ms")
        for each in self._pending:
            each.lost = True

    def send(self, milliseconds: int) -> None:
        self.sent_ms += milliseconds

    def ask(self, kind: str, event_id: str | None, at: float, *, may_fail: bool = False) -> None:
        """What must be answered; a kind that is none must be refused."""
        self.trail.append(f"-> {kind} {event_id or ''} at {self.sent_ms} ms")
        if may_fail and event_id:
            self._may_fail.add(event_id)
        self._pending.append(Asked(kind, event_id, at, ANSWERS.get(kind, ("error",)), may_fail or kind not in ANSWERS))

    # ---- what it is told -----------------------------------------------------------------------------------------

    def told(self, event: dict[str, Any], at: float) -> None:
        kind, event_id = event["type"], event.get("event_id")
        item_id = event.get("item_id") or (event.get("item") or {}).get("id") or ""
        if kind != "hark.voice_activity":
            self.trail.append(f"<- {kind} {item_id}{_detail(event)}")
        if not event_id:
            self._fault(f"{kind} has no event_id")
        elif event_id in self._events:
            self._fault(f"{kind} came twice")
        else:
            self._events.add(event_id)
            self.last_event = event_id
        if not self.greeted:
            self._greet(kind, event)
        self._answer(kind, event, at)
        item = self.items.get(item_id)
        if item is not None and item.deleted and kind != "error":
            self._fault(f"{kind} of an item that was deleted")
        elif kind.startswith(SPEECH):
            self._heard(kind.removeprefix(SPEECH), self._spoken(item_id), event, at)
        elif kind.startswith(BUFFER):
            self._audio(kind.removeprefix(BUFFER), item_id, event, at)
        elif kind.startswith("conversation.item."):
            self._shown(kind.removeprefix("conversation.item."), item_id)
        elif kind == "hark.voice_activity":
            self._activity(event)

    def closed(self, code: int | None) -> None:
        """The server closed the session that the client had asked to end: all must have been said."""
        self.trail.append(f"<- close {code}")
        if code != 1000:
            self._fault(f"session.close was followed by close code {code}")
        if self.gap:
            return
        for item in self._begun:
            if item.ended is None and not item.deleted:
                self._fault(f"an item never ended, though the session did (committed: {item.committed})")
            elif item.committed and not item.deleted and not item.shown:
                self._fault("a committed item was never shown")
        for asked in self._pending:
            if not asked.lost:
                self._fault(f"{asked.kind} was never answered")

    def compare(self, body: dict[str, Any]) -> None:
        """The server's transcript, which is to say how everything ended."""
        self.trail.append(f"<- transcript: {len(body['items'])} items")
        listed = {each["id"]: each for each in body["items"]}
        for each in body["items"]:
            if each["status"] == "in_progress":
                self._fault("an item of a session that has ended is in progress")
        for item in self._begun:
            told = listed.get(item.id)
            if told is None:
                if not item.deleted and body["complete"] and not self._may_be_deleted():
                    self._fault("the transcript lacks an item")
                item.deleted = True
            elif item.ended is not None and told["status"] != item.ended:
                self._fault(f"an item is {told['status']} in the transcript and was told as {item.ended}")
            elif item.ended == "completed" and told["transcript"] != item.transcript:
                self._fault("an item's text in the transcript is another one than was told")
            elif item.ended is None and not self.gap and not str(told["transcript"]).startswith(item.text):
                self._fault("an item's text in the transcript does not begin as its deltas do")
            if told is not None and item.ended is None and told["status"] != "in_progress":
                item.ended = told["status"]
        before = [item.id for item in self._begun if item.id in listed]
        if before != [each for each in listed if each in set(before)]:
            self._fault("the transcript has its items in another order than they were told")
        for each in body["items"]:
            if each["id"] not in self.items:
                ended = None if each["status"] == "in_progress" else each["status"]
                self.items[each["id"]] = Item(each["id"], spoken=True, ended=ended)

    @property
    def spoken(self) -> int:
        """Items that stood for audio."""
        return sum(item.spoken for item in self.items.values())

    def ended(self) -> Sequence[Item]:
        """Those that a client may ask about."""
        return [item for item in self._begun if item.ended and item.committed and not item.deleted]

    # ---- details -------------------------------------------------------------------------------------------------

    def _greet(self, kind: str, event: dict[str, Any]) -> None:
        self.greeted = True
        if kind == "error":
            self.refusal = event["error"].get("code") or event["error"]["type"]
            return
        if kind not in ("session.created", "transcription_session.created"):
            self._fault(f"a connection began with {kind}")
            return
        session_id, resumed = event["session"]["id"], event.get("resumed")
        if self.session_id not in (None, session_id):
            self._fault("another session came back than was asked for")
        if (resumed is not None) != (self.session_id is not None):
            self._fault("a session was resumed and the greeting does not say so, or the other way round")
        self.session_id = session_id
        if resumed:
            if resumed["audio_end_ms"] > self.sent_ms:
                self._fault(f"the server has {resumed['audio_end_ms']} ms of {self.sent_ms} ms")
            self.gap = self.gap or resumed["events_missed"]
            self.sent_ms = resumed["audio_end_ms"]

    def _answer(self, kind: str, event: dict[str, Any], at: float) -> None:
        if kind != "error":
            found = self._first(each for each in self._pending if kind in each.answers)
        elif self.session_id is None or self.refusal:
            return
        else:
            error = event["error"]
            named = error.get("event_id")
            found = self._first(each for each in self._pending if each.may_fail and each.event_id == named)
            # An answer to it may have been taken for that of another one of its kind.
            if error["type"] == "server_error" or (found is None and named not in self._may_fail):
                self._fault(f"an error that nothing asked for: {error.get('code')}: {error['message'][:160]}")
        if found is not None:
            self._pending.remove(found)
            if not found.lost:
                self._took(at - found.at, f"the answer to {found.kind}")

    @staticmethod
    def _first(fitting: Iterable[Asked]) -> Asked | None:
        """One that was surely heard, if there is any."""
        return min(fitting, key=lambda each: each.lost, default=None)

    def _took(self, seconds: float, what: str) -> None:
        if seconds > self._slow_s and not self.patient:
            self.slow.append(f"{what} took {seconds:.1f} s")
            self.trail.append(f"!! {self.slow[-1]}")

    def _spoken(self, item_id: str) -> Item:
        item = self.items.setdefault(item_id, Item(item_id))
        if not item.spoken:
            item.spoken = True
            self._begun.append(item)
        return item

    def _heard(self, what: str, item: Item, event: dict[str, Any], at: float) -> None:
        if item.ended is not None and what != "segment":
            self._fault(f"{what} of an item that was {item.ended} already")
            return
        for earlier in self._begun[self._first_open :]:
            if earlier is item:
                break
            if earlier.ended is None and not earlier.deleted and not self.gap:
                self._fault(f"{what} of an item while an earlier one has not ended")
                break
        if what == "delta":
            item.text += event["delta"]
        elif what in ("completed", "failed"):
            self._end(what, item, event, at)

    def _end(self, what: str, item: Item, event: dict[str, Any], at: float) -> None:
        item.ended = what
        if item.stopped_at is not None:
            self.waits.append(at - item.stopped_at)
            self._took(at - item.stopped_at, "a transcript")
        if what == "completed":
            item.transcript = event["transcript"]
            if item.text != item.transcript and not self.gap:
                self._fault(f"{len(item.text)} characters of deltas are not the {len(item.transcript)} of a transcript")
            if not 0 <= event["start_ms"] <= event["end_ms"] <= self.sent_ms:
                self._fault(f"an item lies at {event['start_ms']} to {event['end_ms']} of {self.sent_ms} ms")
        elif event["error"].get("code") != "input_audio_buffer_cleared":
            self._fault(f"an item failed: {event['error'].get('code')}: {event['error']['message'][:160]}")
        while self._first_open < len(self._begun):
            first = self._begun[self._first_open]
            if first.ended is None and not first.deleted:
                break
            self._first_open += 1

    def _audio(self, what: str, item_id: str, event: dict[str, Any], at: float) -> None:
        if what == "speech_started":
            item = self._spoken(item_id)
            self._once(item.started, what)
            item.started, item.start_ms = True, event["audio_start_ms"]
            earlier = max((each.start_ms for each in self._begun[-3:] if each is not item), default=0)
            if not earlier <= item.start_ms <= self.sent_ms:
                self._fault(f"speech started at {item.start_ms} ms, after {earlier} and of {self.sent_ms} ms")
        elif what == "speech_stopped":
            item = self._spoken(item_id)
            self._once(item.stopped_at is not None, what)
            item.stopped_at = at
            if not item.start_ms <= event["audio_end_ms"] <= self.sent_ms:
                self._fault(f"speech stopped at {event['audio_end_ms']} of {self.sent_ms} ms")
        elif what == "committed":
            item = self._spoken(item_id)
            self._once(item.committed, what)
            item.committed = True
            item.stopped_at = item.stopped_at if item.stopped_at is not None else at
            previous = self._order[-1] if self._order else None
            if event.get("previous_item_id") != previous and not self.gap:
                self._fault(f"an item follows {event.get('previous_item_id')} and not {previous}")
            self._order.append(item_id)
        elif what == "cleared":  # of what was neither announced nor committed, no more is heard
            for each in self._begun[self._first_open :]:
                each.deleted = each.deleted or not (each.started or each.committed)
        elif what == "timeout_triggered":
            self._spoken(item_id)

    def _shown(self, what: str, item_id: str) -> None:
        item = self.items.setdefault(item_id, Item(item_id))
        if what == "deleted":
            item.deleted = True
            if item_id in self._order:
                self._order.remove(item_id)
        elif what in ("added", "created"):
            item.shown += 1
            if item.shown > 1:
                self._fault(f"{what} came twice for an item")
            if item_id not in self._order:
                self._order.append(item_id)

    def _activity(self, event: dict[str, Any]) -> None:
        begins, scores = event["audio_start_ms"], event["probabilities"]
        if self._voice_ms not in (None, begins) and not self.gap:
            self._fault(f"voice activity goes on at {begins} and not at {self._voice_ms} ms")
        self._voice_ms = begins + event["window_ms"] * len(scores)

    def _may_be_deleted(self) -> bool:
        """Whether the client asked for that and was cut off before the answer."""
        return self.gap or any(each.kind == "conversation.item.delete" and each.lost for each in self._pending)

    def _once(self, before: bool, what: str) -> None:
        if before:
            self._fault(f"{what} came twice for an item")

    def _fault(self, what: str) -> None:
        self.faults.append(what)
        self.trail.append(f"!! {what}")


def _detail(event: dict[str, Any]) -> str:
    """What of an event says where and why; never what was said."""
    told = {
        name: event[name] for name in ("audio_start_ms", "audio_end_ms", "previous_item_id", "resumed") if name in event
    }
    if "error" in event:
        told["error"] = [event["error"].get(name) for name in ("type", "code", "message", "event_id")]
    return f" {told}" if told else ""
