"""What Hark sends, against the types that OpenAI publishes for its own client, event by event."""

from official_events import validate
from serving import COMPLETED, speech

FAILED = "conversation.item.input_audio_transcription.failed"
LOGPROBS = ["item.input_audio_transcription.logprobs"]
DETECTORS = {"type": "server_vad", "idle_timeout_ms": 6000}, {"type": "semantic_vad", "eagerness": "low"}, None
FULL = {"model": "gpt-4o-transcribe", "languages": ["en", "de"], "keywords": ["gate"], "prompt": "x", "delay": "low"}
GA_UPDATES = [
    {"type": "transcription", "include": LOGPROBS, "audio": {"input": {"transcription": FULL, "turn_detection": None}}},
    {"type": "realtime", "instructions": "x", "audio": {"input": {"format": {"type": "audio/pcmu"}}}},
    *({"audio": {"input": {"turn_detection": detection}}} for detection in DETECTORS),
]
BETA_UPDATES = [
    {"include": LOGPROBS, "input_audio_transcription": FULL, "input_audio_noise_reduction": {"type": "far_field"}},
    *({"turn_detection": detection} for detection in DETECTORS),
]
COMMON = {
    "error", "conversation.item.retrieved", "conversation.item.deleted", "response.created", "response.done",
    "conversation.item.input_audio_transcription.delta", COMPLETED, FAILED,
    *(f"input_audio_buffer.{name}" for name in ("speech_started", "speech_stopped", "committed", "cleared")),
}  # fmt: skip
EXPECTED = {
    "ga": COMMON | {"session.created", "session.updated", "conversation.item.added", "conversation.item.done"},
    "beta": COMMON
    | {
        "session.created",
        "transcription_session.created",
        "transcription_session.updated",
        "conversation.item.created",
    },
}


def conversation(wire):
    """The greeting, and whatever a session of any kind can be made to say."""
    yield wire.created
    wire.append(speech("alpha", "bravo"))
    turn = wire.until(COMPLETED)
    yield from turn
    yield wire.ask("conversation.item.retrieve", item_id=turn[-1]["item_id"])
    yield wire.ask("conversation.item.delete", item_id=turn[-1]["item_id"])
    yield wire.ask("input_audio_buffer.commit", event_id="evt_1")
    yield wire.ask("nope")
    wire.send("conversation.item.create", item={"type": "message", "role": "user", "content": []}, event_id="evt_2")
    wire.send("response.create")
    yield from wire.until("response.done")
    wire.append(speech("charlie", pause_s=0))
    wire.send("input_audio_buffer.clear")
    yield from wire.until(FAILED)


def test_every_event_is_what_the_official_types_say(server, dialect):
    updates = [("session.update", session) for session in GA_UPDATES]
    if dialect == "beta":
        updates = [("transcription_session.update", session) for session in BETA_UPDATES]
    events = []
    for query in ("?intent=transcription", "?model=gpt-4o-transcribe", "?model=gpt-realtime"):
        with server.session(dialect, f"/v1/realtime{query}") as wire:
            events += conversation(wire)
            events += [wire.ask(kind, session=session) for kind, session in updates]
            events.append(wire.ask("conversation.item.retrieve", item_id="nope"))
    for event in events:
        validate(event, dialect)
    assert {event["type"] for event in events} == EXPECTED[dialect]
    assert len({event["event_id"] for event in events}) == len(events)
