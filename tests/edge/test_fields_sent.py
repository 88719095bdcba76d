"""The rows of docs/api.md about what the server sends, against all that a server can be made to say.

Rule: what a row says is sent is seen at least once, what it says is not sent is never seen, and nothing is seen that
has no row.
"""

import httpx
import msgspec
import pytest

from hark.protocol import event_fields, fields
from hark.protocol.fields import ANY, INSIDE
from serving import COMPLETED, speech
from uploading import post

FAILED = "conversation.item.input_audio_transcription.failed"
LOGPROBS = {"include": ["item.input_audio_transcription.logprobs"]}
ITEM = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}


def paths(value, path=""):
    """The dotted paths of all that stands in a JSON value, lists opened."""
    if isinstance(value, list):
        for one in value:
            yield from paths(one, path)
    elif isinstance(value, dict):
        for name, inner in value.items():
            here = f"{path}.{name}".strip(".")
            yield here
            yield from paths(inner, here)


def gathered(pairs):
    found = {}
    for name, value in pairs:
        found.setdefault(name, set()).update(paths(value))
    return found


def conversation(wire):
    yield wire.created
    yield wire.ask("session.update", session=LOGPROBS)
    wire.append(speech("alpha", "bravo"))
    turn = wire.until(COMPLETED)
    yield from turn
    yield wire.ask("conversation.item.retrieve", item_id=turn[-1]["item_id"])
    yield wire.ask("conversation.item.delete", item_id=turn[-1]["item_id"])
    yield wire.ask("nope", event_id="mine")
    wire.send("conversation.item.create", item=ITEM)
    wire.send("response.create")
    yield from wire.until("response.done")
    wire.send("session.update", session={"include": ["hark.voice_activity"]})
    wire.append(speech("delta"))
    yield from wire.until(COMPLETED)
    wire.append(speech("charlie", pause_s=0))
    wire.send("input_audio_buffer.clear")
    yield from wire.until(FAILED)
    yield wire.ask("session.update", session={"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5_000}})
    wire.append(bytes(6 * 48_000))
    yield from wire.until(COMPLETED)


@pytest.fixture(scope="module")
def said(serve):
    """Of each event, by its type, the paths that were seen in it."""
    server, events = serve(), []
    for dialect in ("ga", "beta"):
        for model in ("whisper-1", "gpt-4o-transcribe-diarize", "gpt-transcribe", "gpt-realtime"):
            with server.session(dialect, f"/v1/realtime?model={model}") as wire:
                events += conversation(wire)
        for intent in ("transcription", ""):
            target = f"/v1/realtime?intent={intent}&model=gpt-realtime"
            with server.session(dialect, target) as wire:
                wire.socket.socket.close()
            with server.socket(f"/v1/realtime?resume={wire.created['session']['id']}") as wire:
                events.append(wire.receive())
    return gathered((event["type"], event) for event in events)


@pytest.fixture(scope="module")
def minted(serve):
    """The same of each endpoint that mints."""
    return gathered(
        (endpoint, httpx.post(f"{serve().url}/v1/realtime/{endpoint}", json=body).json())
        for endpoint in ("client_secrets", "transcription_sessions", "sessions")
        for body in ({}, {"model": "whisper-1"})
    )


@pytest.fixture(scope="module")
def answered(serve):
    """The same of each form of answer to an upload, and of each frame of a stream."""
    server, found = serve(), []
    both = [("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")]
    for model in ("gpt-transcribe", "whisper-1"):
        named = [("model", model), ("chunking_strategy", "auto")]
        found.append(("json", post(server, *named, ("include", "logprobs")).json()))
        found.append(("verbose_json", post(server, *named, ("response_format", "verbose_json"), *both).json()))
        found.append(("diarized_json", post(server, *named, ("response_format", "diarized_json")).json()))
    diarize = [("model", "gpt-4o-transcribe-diarize"), ("chunking_strategy", "auto")]
    found.append(("diarized_json", post(server, *diarize, ("response_format", "diarized_json")).json()))
    found.append(("json", post(server, ("model", "gpt-4o-transcribe")).json()))
    for more in (("include", "logprobs"), ("response_format", "diarized_json")):
        stream = post(server, ("model", "gpt-transcribe"), ("stream", "true"), more).text
        frames = [msgspec.json.decode(line.removeprefix("data: ")) for line in stream.split("\n\n")[:-2]]
        found += [(frame["type"], frame) for frame in frames]
    return gathered(found)


def check(rows, seen):
    for event in {row.event for row in rows} | set(seen):
        there = seen.get(event, set())
        mine = {row.path: row for row in rows if row.event == event}
        for field in there:
            best = max((path for path in mine if speaks_for(path, field)), key=len, default=None)
            if any(path.startswith(f"{field}.") for path in mine if not path.endswith(INSIDE)):
                continue  # an object, some of which has rows of its own
            assert best is not None, f"{event} {field}: no row"
            assert mine[best].fate == "sent", f"{event} {field}: is sent"
        for path, row in mine.items():
            if row.fate == "sent":
                assert any(speaks_for(path, field) for field in there), f"{event} {path}: is not sent"


def speaks_for(path, field):
    inside = path.removesuffix(INSIDE)
    return path in (ANY, field) or (path.endswith(INSIDE) and (field == inside or field.startswith(f"{inside}.")))


def test_every_field_of_a_server_event(said):
    check(event_fields.SERVER.rows, said)


def test_every_field_of_an_answer_to_minting(minted):
    check(event_fields.MINTED.rows, minted)


def test_every_field_of_an_answer_to_an_upload(answered):
    check(event_fields.TRANSCRIPTS.rows, answered)


def test_every_field_of_a_model(server):
    listed = httpx.get(f"{server.url}/v1/models").json()["data"]
    check(fields.MODEL.rows, gathered(("", model) for model in listed))
