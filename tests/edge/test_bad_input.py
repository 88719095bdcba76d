"""Whatever a client sends, it gets one error that says so, and its session goes on as if nothing had been sent."""

import json

import pytest

from hark.protocol.wire import MAX_APPEND_BYTES
from serving import COMPLETED, base64, speech

GA_RATE = {"type": "transcription", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 4_000}}}}
FLAT_RATE = {"input_audio_format": {"type": "pcm16", "rate": 4_000}}
BAD = {
    "not JSON": ('{"type": "input_audio_buffer.append", "audio": "AAA', "invalid_json", None),
    "no object": ("[1, 2]", "invalid_event", None),
    "binary": (b"\x00\x01" * 100, "invalid_event", None),
    "nothing": ("", "invalid_json", None),
    "empty binary": (b"", "invalid_event", None),
    "no type": ({}, "invalid_event", "type"),
    "unknown event": ({"type": "input_audio_buffer.apend"}, "invalid_value", "type"),
    "unknown field": ({"type": "input_audio_buffer.append", "audio": "", "sound": ""}, "unknown_parameter", "sound"),
    "no audio": ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
    "no base64": ({"type": "input_audio_buffer.append", "audio": "***"}, "invalid_value", "audio"),
    "no session": ({"type": "session.update"}, "missing_required_parameter", "session"),
    "unknown setting": ({"type": "session.update", "session": {"bogus": 1}}, "unknown_parameter", "session.bogus"),
    "unknown item": ({"type": "conversation.item.retrieve", "item_id": "x"}, "item_not_found", "item_id"),
    "unknown deleted": ({"type": "conversation.item.delete", "item_id": "x"}, "item_not_found", "item_id"),
    "unknown truncated": ({"type": "conversation.item.truncate", "item_id": "x"}, "item_not_found", "item_id"),
    "nested too deeply": ('{"type":"session.update","session":{"tools":' + "[" * 100_000, "invalid_json", None),
    "half a character": ('{"type": "input_audio_buffer.commit", "event_id": "\\ud800"}', "invalid_json", None),
}


def interrupted_turn(wire, raw):
    """The error that `raw` draws in the middle of a turn, and what was understood of the whole turn."""
    audio = speech("alpha", "juliett", "bravo")
    wire.append(audio[:12_345])
    wire.socket.send(json.dumps(raw | {"event_id": "mine"}) if isinstance(raw, dict) else raw)
    error = wire.until("error")[-1]["error"]
    wire.append(audio[12_345:])
    return error, wire.until(COMPLETED)[-1]["transcript"]


@pytest.mark.parametrize(("raw", "code", "param"), BAD.values(), ids=BAD)
def test_an_error_and_the_turn_goes_on(server, dialect, raw, code, param):
    with server.session(dialect) as wire:
        error, transcript = interrupted_turn(wire, raw)
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
        assert error["event_id"] == ("mine" if isinstance(raw, dict) else None)
        assert len(error["message"]) > 20
        assert transcript == "alpha juliett bravo"


@pytest.mark.parametrize("session", [GA_RATE, FLAT_RATE])
def test_a_bad_rate_is_named_in_the_dialect_of_the_session(server, dialect, session):
    with server.session(dialect) as wire:
        error, transcript = interrupted_turn(wire, {"type": "session.update", "session": session})
        assert error["code"] == "integer_below_min_value"
        ga = dialect == "ga" or session is GA_RATE
        assert error["param"] == f"session.{'audio.input.format' if ga else 'input_audio_format'}.rate"
        assert ">= 8000" in error["message"]
        assert transcript == "alpha juliett bravo"


def test_too_much_at_once(server):
    too_much = {"type": "input_audio_buffer.append", "audio": base64(bytes(MAX_APPEND_BYTES + 2))}
    with server.session() as wire:
        error, transcript = interrupted_turn(wire, too_much)
        assert (error["code"], error["param"], transcript) == ("invalid_value", "audio", "alpha juliett bravo")
        assert "Send it in parts" in error["message"]


def test_the_supported_events_are_listed(server):
    with server.session() as wire:
        message = wire.ask("nope")["error"]["message"]
        assert "'session.update'" in message
        assert "'input_audio_buffer.append'" in message


@pytest.mark.parametrize("milliseconds", [0, 99])
def test_an_empty_commit_is_refused_in_the_words_that_clients_look_for(server, dialect, milliseconds):
    with server.session(dialect) as wire:
        wire.append(bytes(48 * milliseconds))
        error = wire.ask("input_audio_buffer.commit", event_id="c1")["error"]
        assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "c1")
        assert "buffer too small" in error["message"]
        assert f"{milliseconds}.00ms" in error["message"]
        assert wire.hear("echo") == "echo"
        assert wire.ask("input_audio_buffer.commit")["type"] in {"input_audio_buffer.committed", "error"}


def test_a_users_item_is_not_truncated(server, dialect):
    with server.session(dialect) as wire:
        wire.append(speech("alpha"))
        item_id = wire.until(COMPLETED)[-1]["item_id"]
        truncate = {"item_id": item_id, "content_index": 0, "audio_end_ms": 10}
        error = wire.ask("conversation.item.truncate", **truncate)["error"]
        assert error["code"] == "invalid_value"
        assert "Only model output audio messages can be truncated" in error["message"]
        item = wire.ask("conversation.item.retrieve", item_id=item_id)["item"]
        assert item["content"][0]["transcript"] == "alpha"
        assert wire.ask("conversation.item.delete", item_id=item_id)["item_id"] == item_id
        assert wire.ask("conversation.item.delete", item_id=item_id)["error"]["code"] == "item_not_found"


def test_items_of_the_client(server, dialect):
    item = {"id": "item_mine", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "é"}]}
    steps = ["created"] if dialect == "beta" else ["added", "done"]
    with server.session(dialect) as wire:
        wire.send("conversation.item.create", item=item, previous_item_id="root")
        for step in steps:
            event = wire.receive()
            assert (event["type"], event["previous_item_id"]) == (f"conversation.item.{step}", None)
            assert event["item"] == item | {"object": "realtime.item", "status": "completed"}
        error = wire.ask("conversation.item.create", item=item)["error"]
        assert (error["code"], error["param"]) == ("invalid_value", "item.id")
        wire.append(speech("alpha"))
        committed = wire.until("input_audio_buffer.committed")[-1]
        assert committed["previous_item_id"] == "item_mine"


def test_a_response_is_asked_for_and_no_error_comes(server, dialect):
    with server.session(dialect) as wire:
        wire.append(speech("alpha", "bravo", pause_s=0))
        wire.send("input_audio_buffer.commit")
        wire.send("response.create", response={"modalities": ["text"]})
        wire.send("response.cancel")
        wire.append(speech("charlie"))
        events = wire.until(COMPLETED)
        if events[-1]["transcript"] != "charlie":
            events += wire.until(COMPLETED)
        kinds = [event["type"] for event in events]
        assert "error" not in kinds
        created, done = (event["response"] for event in events if event["type"].startswith("response."))
        assert (created["status"], done["status"], done["id"]) == ("in_progress", "failed", created["id"])
        assert done["status_details"]["error"]["message"]
        assert kinds.index("input_audio_buffer.committed") < kinds.index("response.created")


def test_a_client_that_closes_the_session_gets_what_it_said(server, dialect):
    with server.session(dialect) as wire:
        wire.append(speech("alpha", "bravo", pause_s=0.05))
        wire.send("session.close")
        events, code, _ = wire.ending()
        assert code == 1000
        assert events[-1]["type"] == COMPLETED
        assert events[-1]["transcript"].startswith("alpha")


def test_clients_get_their_own_events_and_no_others(server):
    said = {"ga": ("alpha", "bravo"), "beta": ("juliett", "hotel", "golf"), "ga 2": ("delta",)}
    with (
        server.session("ga") as one,
        server.session("beta") as two,
        server.session("ga") as three,
    ):
        wires = dict(zip(said, (one, two, three), strict=True))
        audio = {name: speech(*words) for name, words in said.items()}
        for at in range(0, max(map(len, audio.values())), 4_801):
            for name, wire in wires.items():
                if chunk := audio[name][at : at + 4_801]:
                    wire.append(chunk)
        seen = {name: wire.until(COMPLETED) for name, wire in wires.items()}
        items = [{event["item_id"] for event in events if "item_id" in event} for events in seen.values()]
        assert [len(ids) for ids in items] == [1, 1, 1]
        assert len(set.union(*items)) == 3
        assert {name: events[-1]["transcript"] for name, events in seen.items()} == {
            name: " ".join(words) for name, words in said.items()
        }
        for wire in wires.values():
            assert wire.ask("input_audio_buffer.clear")["type"] == "input_audio_buffer.cleared"
