"""One session: what OpenAI says to each event of a client (contract C.4, D). It knows no socket.

Rule: `hear` gives what is to be said, in order, and a Refusal whose close is final as the last thing. Speech is what is
loud; whatever is said, the transcript is TRANSCRIPT. Left out: answers to response.create, the live models' text while
one speaks, and semantic_vad, which counts silence here (as people say that OpenAI's does).
"""

import base64
import itertools
import json
from dataclasses import dataclass

import numpy as np

from hark.audio.formats import decode
from pretender import shapes, texts
from pretender.texts import Refusal

TRANSCRIPT = "open the north gate"
GA_EVENTS = (
    *("session.update", "input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear"),
    *("conversation.item.create", "conversation.item.truncate", "conversation.item.delete"),
    *("conversation.item.retrieve", "response.create", "response.cancel"),
)
EVENTS = {"ga": GA_EVENTS, "beta": (*GA_EVENTS, "transcription_session.update")}
LOUD = 0.02
FRAME_MS = 20


@dataclass
class Closing:
    """The last thing that is said."""

    code: int
    reason: str


class Session:
    def __init__(self, switches, dialect, kind, model=None, configuration=None, *, misled=False):
        """`misled`: asked for with intent and model, so it will refuse to transcribe."""
        self._switches = switches
        self._dialect, self._kind, self._misled = dialect, kind, misled
        self._numbers = itertools.count(1)
        self._id = f"sess_{id(self):024x}"
        self._session = shapes.created(dialect, kind, self._id, model)
        if configuration is not None:
            self._session = shapes.merged(self._session, configuration)
        self._buffer = np.zeros(0, np.float32)
        self._heard_ms = 0.0  # of all audio that ever came, up to the buffer's end
        self._speaking = None  # the item that was announced
        self._quiet_ms = 0.0
        self._rest = b""
        self._last_item = None
        self._items = {}

    # ---- saying

    def greeting(self):
        return [self._say("created")]

    def _say(self, what):
        prefix = "transcription_" if (self._dialect, self._kind) == ("beta", "transcription") else ""
        return self._event(f"{prefix}session.{what}", session=self._session)

    def _event(self, kind, **fields):
        return {"type": kind, "event_id": f"event_{next(self._numbers)}", **fields}

    # ---- hearing

    def hear(self, frame):
        """`frame` is a str, or bytes, which are refused."""
        event = {}
        try:
            event = self._read(frame)
            return list(self._answers(event))
        except Refusal as refusal:
            said = [refusal.event(f"event_{next(self._numbers)}", event.get("event_id"))]
            misled = self._misled and refusal.code == "invalid_model"
            if misled or refusal.code == "session_expired":
                said.append(Closing(refusal.close, refusal.reason))
            return said

    def _read(self, frame):
        if isinstance(frame, bytes):
            raise texts.BINARY_FRAME
        try:
            event = json.loads(frame)
        except ValueError:
            raise texts.GUESSED_INVALID_JSON from None
        if not isinstance(event, dict):
            raise texts.GUESSED_INVALID_JSON
        supported = EVENTS[self._dialect]
        if event.get("type") not in supported:
            listed = ", ".join(f"'{name}'" for name in supported)
            raise texts.PARTLY_INVALID_VALUE.said(value=event.get("type"), supported=listed, param="type")
        return event

    def _answers(self, event):
        match event["type"]:
            case "session.update" | "transcription_session.update" as kind:
                yield from self._update(kind, event.get("session", {}))
            case "input_audio_buffer.append":
                yield from self._append(event)
            case "input_audio_buffer.commit":
                duration = self._buffer.size / self._rate * 1000
                if duration < 100:
                    raise texts.EMPTY_COMMIT.said(ms=duration)
                yield from self._commit()
            case "input_audio_buffer.clear":
                self._buffer, self._speaking = self._buffer[:0], None
                yield self._event("input_audio_buffer.cleared")
            case "conversation.item.retrieve" | "conversation.item.delete" as kind:
                if event.get("item_id") not in self._items:
                    raise texts.GUESSED_NO_SUCH_ITEM.said(item=event.get("item_id"))
                if kind.endswith("delete"):
                    del self._items[event["item_id"]]
                    yield self._event("conversation.item.deleted", item_id=event["item_id"])
                else:
                    yield self._event("conversation.item.retrieved", item=self._items[event["item_id"]])

    def _update(self, kind, patch):
        if not isinstance(patch, dict):
            raise texts.MISSING_PARAMETER.said(path="session", param="session")
        if self._dialect == "beta":
            if kind == "session.update" and self._kind == "transcription":
                raise texts.SERVER_HAD_AN_ERROR.said(session=self._id)
            if kind == "transcription_session.update" and self._kind == "realtime":
                raise texts.TRANSCRIPTION_UPDATE_IN_REALTIME
        elif "type" not in patch:
            raise texts.MISSING_PARAMETER.said(path="session.type", param="session.type")
        elif patch["type"] != self._kind:
            self._refuse_other_kind(patch)
        shapes.check(patch, self._dialect, self._kind, "session.")
        after = shapes.merged(self._session, patch)
        _, transcription, _ = shapes.listening(after)
        if transcription and self._switches.access == "refused":
            raise texts.NO_ACCESS.said(project="proj_pretender", model=transcription["model"])
        self._session = after
        if self._switches.updates == "answered":
            yield self._say("updated")

    def _refuse_other_kind(self, patch):
        if self._kind == "transcription":
            raise texts.GUESSED_REALTIME_UPDATE_IN_TRANSCRIPTION
        if self._misled:
            asked = patch.get("audio", {}).get("input", {}).get("transcription") or {}
            raise texts.NOT_A_TRANSCRIPTION_MODEL.said(model=asked.get("model"))
        raise texts.TRANSCRIPTION_UPDATE_IN_REALTIME

    # ---- audio

    @property
    def turns(self):
        """The turn detection that hears what comes."""
        return shapes.listening(self._session)[2]

    @property
    def _rate(self):
        return 24_000 if shapes.listening(self._session)[0] == "pcm16" else 8_000

    def _append(self, event):
        if self._switches.session_expires:
            raise texts.SESSION_EXPIRED.said(minutes=60 if self._dialect == "ga" else 30)
        try:
            data = self._rest + base64.b64decode(event["audio"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise texts.PARTLY_INVALID_VALUE.said(value="…", supported="base64", param="audio") from None
        form, _, _ = shapes.listening(self._session)
        odd = len(data) % 2 if form == "pcm16" else 0
        data, self._rest = data[: len(data) - odd], data[len(data) - odd :]
        yield from self.listen(decode(data, form))

    def listen(self, audio):
        """Audio at the session's rate, as float32."""
        self._buffer = np.concatenate([self._buffer, audio])
        step = self._rate * FRAME_MS // 1000
        for at in range(0, audio.size, step):
            piece = audio[at : at + step]
            self._heard_ms += piece.size * 1000 / self._rate
            if self.turns:
                yield from self._detect(piece, self.turns)

    def _detect(self, piece, turns):
        loud = bool(np.abs(piece).max() > LOUD)
        if self._speaking is None and loud:
            self._speaking, self._quiet_ms = self._new_item(), 0.0
            began = max(0, round(self._heard_ms) - FRAME_MS - turns.get("prefix_padding_ms", 300))
            yield self._event("input_audio_buffer.speech_started", audio_start_ms=began, item_id=self._speaking)
        elif self._speaking:
            self._quiet_ms = 0.0 if loud else self._quiet_ms + piece.size * 1000 / self._rate
            if self._quiet_ms >= turns.get("silence_duration_ms", 200):
                ended = {"audio_end_ms": round(self._heard_ms), "item_id": self._speaking}
                yield self._event("input_audio_buffer.speech_stopped", **ended)
                yield from self._commit()

    def _new_item(self):
        return f"item_{next(self._numbers):021d}"

    # ---- items

    def _commit(self):
        item_id, previous = self._speaking or self._new_item(), self._last_item
        audio, self._buffer, self._speaking = self._buffer, self._buffer[:0], None
        self._last_item = item_id
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": item_id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
        self._items[item_id] = item = item | {"content": content}
        place = {"previous_item_id": previous}
        yield self._event("input_audio_buffer.committed", **place, item_id=item_id)
        for kind in ("added", "done") if self._dialect == "ga" else ("created",):
            yield self._event(f"conversation.item.{kind}", **place, item=item)
        _, transcription, _ = shapes.listening(self._session)
        if transcription and self._switches.transcripts != "none":
            yield from self._transcribe(item_id, audio, transcription["model"])

    def _transcribe(self, item_id, audio, model):
        head = "conversation.item.input_audio_transcription."
        item = {"item_id": item_id, "content_index": 0}
        if self._switches.transcripts == "failed":
            refusal = texts.TRANSCRIPTION_FAILED.said(item=item_id)
            yield self._event(head + "failed", **item, error=refusal.body["error"])
            return
        text = TRANSCRIPT if audio.size and np.abs(audio).max() > LOUD else ""
        words = text.split(" ")
        deltas = [text] if model == "whisper-1" else [words[0], *(f" {word}" for word in words[1:])]
        for delta in deltas if text else ():
            yield self._event(head + "delta", **item, delta=delta)
        if self._switches.transcripts == "completed":
            seconds = audio.size / self._rate
            yield self._event(head + "completed", **item, transcript=text, usage=_usage(model, seconds, len(words)))


def _usage(model, seconds, words):
    if not model.startswith(shapes.COUNTED_IN_TOKENS):
        return {"type": "duration", "seconds": -int(-seconds // 1)}
    heard = round(seconds * 10)
    counts = {"total_tokens": heard + words, "input_tokens": heard, "output_tokens": words}
    return {"type": "tokens", **counts, "input_token_details": {"text_tokens": 0, "audio_tokens": heard}}
