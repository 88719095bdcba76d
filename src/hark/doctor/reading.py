"""What went wrong in a log: each connection from its handshake to its close, by the same rules as a walk.

Rule: an `error` is judged with the event that it answers in view. A session that went well is said to have gone well,
so that its reader looks elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import structs

from hark.doctor.heard import Audio, hear
from hark.doctor.http import fault, refusal
from hark.doctor.logs import Conversation, Entry, Exchange, Log
from hark.doctor.report import FloorName, Step, as_note, found, ok, short, without
from hark.doctor.rules import Answer, Asked, Place, recognise
from hark.doctor.shapes import mapping
from hark.doctor.sockets import CREATED
from hark.protocol.wire import DialectName

INPUT: Final = "input_audio_buffer"
TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"
UPDATES: Final = ("session.update", "transcription_session.update")
FLOORS: Final[dict[Place, FloorName]] = {"mint": "secrets", "call": "WebRTC", "models": "key"}
# After these the session goes on as if nothing had been.
HARMLESS: Final = frozenset(("commit-empty",))


def diagnose(log: Log) -> list[Step]:
    steps: list[Step] = []
    for part in log:
        steps += _exchange(part) if isinstance(part, Exchange) else _conversation(part)
    return [without(step, ()) for step in steps]


def _exchange(exchange: Exchange) -> Iterator[Step]:
    floor = FLOORS.get(exchange.asked.place, "HTTP")
    if 200 <= exchange.status < 400:
        yield ok(floor, exchange.did, f"HTTP {exchange.status}")
        return
    if exchange.status == 0:
        got = "no answer that the page may see: the server is not there, or CORS forbids it"
        yield found(floor, "origin-refused", exchange.did, got)
        return
    answer = refusal(exchange.status, exchange.body)
    yield found(floor, recognise(answer, exchange.asked), exchange.did, answer.said)


def _conversation(talk: Conversation) -> Iterator[Step]:
    asked = talk.asked
    where = asked.path + (
        "?" + "&".join(f"{name}={value}" for name, value in asked.query.items()) if asked.query else ""
    )
    did = f"connected to {where}" if where else "connected"
    if talk.refusal is not None:
        yield found("handshake", recognise(talk.refusal, asked), did, talk.refusal.said)
        return
    created = next((entry for entry in talk.entries if _type(entry) in CREATED), None)
    if created is None:
        yield _no_session(talk, did)
        return
    yield ok("handshake", did, str(_type(created)))
    if talk.origin and asked.credential == "key":
        yield found(
            "handshake",
            "key-instead-of-secret",
            "looked at the credential",
            f"a page of {talk.origin} holds an API key",
            outcome="note",
            means="Whoever opens the page can read the key and use it for anything.",
        )
    yield from _settings(talk)
    yield from _errors(talk)
    yield from _speech(talk)
    yield from _close(talk)


def _no_session(talk: Conversation, did: str) -> Step:
    for entry in talk.entries:
        if _type(entry) == "error" and entry.event is not None:
            close = next((other.close[0] for other in talk.entries if other.close), None)
            answer = fault(entry.event.get("error"), close_code=close)
            return found("handshake", recognise(answer, talk.asked), did, answer.said)
    for entry in talk.entries:
        if entry.close is not None:
            answer = Answer(message=entry.close[1], close_code=entry.close[0])
            return found("handshake", recognise(answer, talk.asked), did, answer.said)
    if any(entry.direction == "received" and entry.event for entry in talk.entries):
        return ok("handshake", did, "the log begins in a session")
    return found("handshake", "silent-server", did, "nothing was received")


def _settings(talk: Conversation) -> Iterator[Step]:
    sent = [kind for entry in talk.entries if entry.direction == "sent" and (kind := _type(entry)) in UPDATES]
    answered = sum(str(_type(entry)).endswith("session.updated") for entry in talk.entries)
    refused = sum(_type(entry) == "error" for entry in talk.entries)
    if not sent:
        return
    did = f"sent {', '.join(dict.fromkeys(map(str, sent)))}"
    if answered:
        yield ok("session", did, f"{answered} of {len(sent)} acknowledged")
    elif not refused:
        yield found("session", "update-unanswered", did, "no session.updated and no error")


def _errors(talk: Conversation) -> Iterator[Step]:
    last = None
    for entry in talk.entries:
        kind = _type(entry)
        if entry.direction == "sent":
            last = kind if kind and kind != f"{INPUT}.append" else last
            if entry.binary is not None:
                yield found("session", "binary-frames", "sent a binary frame", f"{entry.binary} bytes", outcome="note")
        elif kind == "error" and entry.event is not None:
            error = entry.event.get("error")
            cause = _type(_by_id(talk, mapping(error).get("event_id"))) or last
            asked = structs.replace(talk.asked, place="session", dialect=_dialect(talk), event=cause)
            answer = fault(error)
            finding = recognise(answer, asked)
            step = found("session", finding, f"sent {cause or 'what was refused'}", answer.said)
            yield as_note(step) if finding in HARMLESS else step


def _speech(talk: Conversation) -> Iterator[Step]:
    audio = hear(talk, _session(talk))
    if audio.mistake is not None:
        yield found("speech", "wrong-audio", "looked at the audio", audio.mistake)
    kinds = [_type(entry) for entry in talk.entries]
    done = [entry.event or {} for entry in talk.entries if _type(entry) == f"{TRANSCRIPTION}.completed"]
    for entry in talk.entries:
        if _type(entry) == f"{TRANSCRIPTION}.failed" and entry.event is not None:
            said = fault(entry.event.get("error")).said
            yield found("speech", "transcript-failed", "a turn was transcribed", said)
    yield from _unfinished(talk, audio)
    if done:
        texts = [str(event.get("transcript") or "") for event in done]
        said = f"{len(done)} transcripts, {sum(not text.strip() for text in texts)} of them empty"
        yield ok("speech", audio.did, f"{said}; the first: “{short(texts[0], 60)}”")
    elif not audio.appends and not audio.elsewhere:
        yield found("speech", "no-audio", "looked for audio", "no input_audio_buffer.append was sent")
    elif f"{INPUT}.speech_started" not in kinds and f"{INPUT}.committed" not in kinds:
        yield _nothing_heard(talk, audio)


def _nothing_heard(talk: Conversation, audio: Audio) -> Step:
    detection = audio.turn_detection
    if detection is False:
        return found("speech", "never-committed", audio.did, "turn_detection is null and nothing was committed")
    return found("speech", "no-speech-found", audio.did, "speech_started never came")


def _unfinished(talk: Conversation, audio: Audio) -> Iterator[Step]:
    open_items: dict[str, str] = {}
    for entry in talk.entries:
        kind, event = str(_type(entry)), entry.event or {}
        item = str(event.get("item_id") or mapping(event.get("item")).get("id") or "")
        if kind == f"{INPUT}.speech_started":
            open_items[item] = "spoken"
        elif kind == f"{INPUT}.committed":
            open_items[item] = "committed"
        elif kind in (f"{TRANSCRIPTION}.completed", f"{TRANSCRIPTION}.failed", "conversation.item.deleted"):
            open_items.pop(item, None)
        elif kind == f"{INPUT}.cleared":
            open_items = {name: state for name, state in open_items.items() if state == "committed"}
    states = list(open_items.values())
    if not states:
        return
    got = f"{len(states)} turns without an end"
    closed_by_client = any(entry.close and entry.direction == "sent" for entry in talk.entries)
    if "committed" in states and audio.transcription is False:
        yield found("speech", "transcription-off", audio.did, got)
    elif closed_by_client:
        yield found("speech", "closed-too-early", audio.did, got)
    elif "committed" in states:
        yield found("speech", "no-transcript", audio.did, got)
    else:
        yield found("speech", "turn-never-ended", audio.did, got)


def _close(talk: Conversation) -> Iterator[Step]:
    for entry in talk.entries:
        if entry.close is None:
            continue
        code, reason = entry.close
        who = "the client" if entry.direction == "sent" else "the server"
        got = f"code {code}" + (f", {reason}" if reason else "")
        if code in (1000, 1005) or (code == 1001 and entry.direction == "sent"):
            yield ok("session", f"{who} closed", got)
        elif not any(_type(other) == "error" for other in talk.entries[-3:]):
            answer = Answer(message=reason, close_code=code, envelope=True)
            yield found("session", recognise(answer, Asked("session")), f"{who} closed", got)
        return


def _type(entry: Entry | None) -> str | None:
    if entry is None or entry.event is None:
        return None
    kind = entry.event.get("type")
    return kind if isinstance(kind, str) else None


def _by_id(talk: Conversation, event_id: object) -> Entry | None:
    """What the client sent under this id."""
    if not event_id:
        return None
    return next(
        (e for e in talk.entries if e.direction == "sent" and (e.event or {}).get("event_id") == event_id), None
    )


def _session(talk: Conversation) -> dict[str, Any]:
    """The settings as the server told them last."""
    told = [mapping((e.event or {}).get("session")) for e in talk.entries if e.direction == "received"]
    return next((session for session in reversed(told) if session), {})


def _dialect(talk: Conversation) -> DialectName:
    created = next((kind for entry in talk.entries if (kind := _type(entry)) in CREATED), None)
    return "beta" if created == "transcription_session.created" else talk.asked.dialect
