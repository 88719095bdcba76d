"""What the pretender says in a session: updates and their refusals, turns, transcripts that come or do not."""

import asyncio
import re
from pathlib import Path
from typing import get_args, get_type_hints

import openai
import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from pretender import TRANSCRIPT, Pretender, Switches
from pretending import BETA, BETA_SESSION, GA_SESSION, wire
from serving import COMPLETED, base64, speech

HEAD = "conversation.item.input_audio_transcription"
GA_TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    *[f"{HEAD}.delta"] * 4,
    COMPLETED,
]


def heard(socket, session=GA_SESSION):
    """Configure, say something; the events of its turn."""
    assert socket.receive()["type"] == "session.created"
    assert socket.ask("session.update", session=session)["type"] == "session.updated"
    socket.append(speech("alpha"))
    return socket.until(COMPLETED)


def types(events):
    return [event["type"] for event in events]


# ---- as it should be -----------------------------------------------------------------------------------------------


def test_the_sdk_hears_a_turn(today):
    async def scenario():
        base = {"base_url": f"{today.url}/v1", "websocket_base_url": f"ws{today.url[4:]}/v1", "api_key": today.key}
        intent = {"intent": "transcription"}
        async with openai.AsyncOpenAI(**base) as client, client.realtime.connect(extra_query=intent) as connection:
            await connection.session.update(session=GA_SESSION)
            await connection.input_audio_buffer.append(audio=base64(speech("alpha")))
            while (event := await connection.recv()).type != COMPLETED:
                pass
            return event

    event = asyncio.run(scenario())
    assert (event.transcript, event.usage.type) == (TRANSCRIPT, "tokens")


def test_a_turn_that_the_server_finds(today):
    with wire(today) as socket:
        events = heard(socket)
    assert types(events) == GA_TURN
    assert len({event["item_id"] for event in events if "item_id" in event}) == 1
    assert "".join(event["delta"] for event in events if "delta" in event) == TRANSCRIPT
    for event in events:
        TypeAdapter(RealtimeServerEvent).validate_python(event)


def test_a_turn_that_the_client_commits(today):
    manual = {
        "type": "transcription",
        "audio": {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}},
    }
    with wire(today) as socket:
        socket.receive()
        assert socket.ask("session.update", session=manual)["session"]["audio"]["input"]["turn_detection"] is None
        refusal = socket.ask("input_audio_buffer.commit", event_id="mine")["error"]
        assert (refusal["code"], refusal["event_id"]) == ("input_audio_buffer_commit_empty", "mine")
        assert refusal["message"].endswith("at least 100ms of audio, but buffer only has 0.00ms of audio.")
        socket.append(speech("alpha"))
        socket.send("input_audio_buffer.commit")
        events = socket.until(COMPLETED)
        assert types(events) == [*GA_TURN[2:5], f"{HEAD}.delta", COMPLETED]
        assert events[-1]["usage"] == {"type": "duration", "seconds": 1}
        item = events[0]["item_id"]
        assert socket.ask("conversation.item.retrieve", item_id=item)["item"]["id"] == item
        assert socket.ask("conversation.item.delete", item_id=item)["type"] == "conversation.item.deleted"
        assert socket.ask("conversation.item.delete", item_id=item)["error"]["code"] == "item_not_found"
        socket.append(speech("alpha"))
        assert socket.ask("input_audio_buffer.clear")["type"] == "input_audio_buffer.cleared"


def test_silence_is_an_empty_transcript(today):
    with wire(today) as socket:
        socket.receive()
        socket.ask("session.update", session=GA_SESSION)
        socket.append(bytes(24_000))
        socket.send("input_audio_buffer.commit")
        assert socket.until(COMPLETED)[-1]["transcript"] == ""


def test_the_beta_has_its_own_words(before):
    with wire(before, headers=BETA) as socket:
        assert socket.receive()["type"] == "transcription_session.created"
        assert (
            socket.ask("transcription_session.update", session=BETA_SESSION)["type"] == "transcription_session.updated"
        )
        socket.append(speech("alpha"))
        assert types(socket.until(COMPLETED)) == [*GA_TURN[:3], "conversation.item.created", *GA_TURN[5:]]


# ---- updates that are refused --------------------------------------------------------------------------------------


def test_the_update_of_the_other_kind(before, today):
    with wire(before, headers=BETA) as socket:  # S3
        session_id = socket.receive()["session"]["id"]
        error = socket.ask("session.update", session={"turn_detection": {"type": "semantic_vad"}})["error"]
        assert (error["type"], error["code"]) == ("server_error", None)
        assert f"Please include the session ID {session_id} in your message" in error["message"]
    not_allowed = "Passing a transcription session update event to a realtime session is not allowed."
    with wire(before, "/v1/realtime?model=gpt-4o-realtime-preview", headers=BETA) as socket:
        socket.receive()
        assert socket.ask("transcription_session.update", session={})["error"]["message"] == not_allowed
    with wire(today, "/v1/realtime?model=gpt-realtime") as socket:
        socket.receive()
        assert socket.ask("session.update", session=GA_SESSION)["error"]["message"] == not_allowed
    with wire(today) as socket:
        socket.receive()
        assert socket.ask("session.update", session={"type": "realtime"})["error"]["code"] == "invalid_parameter"
        unknown = socket.ask("transcription_session.update", session={})["error"]
        assert (unknown["code"], unknown["param"]) == ("invalid_value", "type")
        assert "'session.update'" in unknown["message"]


@pytest.mark.parametrize(
    ("patch", "code", "param"),
    [
        ({"input_audio_format": "pcm16"}, "unknown_parameter", "session.input_audio_format"),
        ({"audio": {"input": {"vad": 1}}}, "unknown_parameter", "session.audio.input.vad"),
        ({"type": None}, "missing_required_parameter", "session.type"),
        (
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}},
            "integer_below_min_value",
            "session.audio.input.format.rate",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "none"}}}},
            "invalid_value",
            "session.audio.input.turn_detection.type",
        ),
        ({"audio": {"input": {"transcription": {"model": "gpt-9"}}}}, "invalid_model", None),
        ({"audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}, "invalid_value", None),
    ],
)
def test_an_update_is_refused_whole(today, patch, code, param):
    session = {name: value for name, value in (GA_SESSION | {"include": ["x"]} | patch).items() if value is not None}
    with wire(today) as socket:
        created = socket.receive()["session"]
        error = socket.ask("session.update", session=session)["error"]
        assert (error["code"], error["param"]) == (code, param)
        assert socket.ask("session.update", session={"type": "transcription"})["session"] == created


def test_frames_that_are_no_events(today):
    with wire(today) as socket:
        socket.receive()
        for frame, code in (
            (b"\x00", "invalid_event"),
            ("{", "invalid_json"),
            ("[]", "invalid_json"),
            ("{}", "invalid_value"),
        ):
            socket.socket.send(frame)
            assert socket.receive()["error"]["code"] == code
        assert socket.ask("session.update", session="sess_1")["error"]["param"] == "session"
        assert socket.ask("input_audio_buffer.append", audio="?")["error"]["param"] == "audio"


# ---- what does not come --------------------------------------------------------------------------------------------


def test_an_update_that_is_never_answered(pretend):
    with wire(pretend(updates="ignored")) as socket:
        socket.receive()
        assert socket.ask("input_audio_buffer.clear")["type"] == "input_audio_buffer.cleared"
        socket.send("session.update", session=GA_SESSION)
        assert socket.ask("input_audio_buffer.clear")["type"] == "input_audio_buffer.cleared"


@pytest.mark.parametrize(
    ("transcripts", "after"), [("deltas_only", [f"{HEAD}.delta"] * 4), ("failed", [f"{HEAD}.failed"]), ("none", [])]
)
def test_a_turn_without_a_transcript(pretend, transcripts, after):
    with wire(pretend(transcripts=transcripts)) as socket:
        socket.receive()
        socket.ask("session.update", session=GA_SESSION)
        socket.append(speech("alpha"))
        socket.send("conversation.item.delete", item_id="item_of_nobody")
        assert types(socket.until("error"))[:-1] == [*GA_TURN[:5], *after]


def test_a_session_without_a_model_transcribes_nothing(today):
    with wire(today) as socket:
        socket.receive()
        socket.append(speech("alpha"))
        socket.send("conversation.item.delete", item_id="item_of_nobody")
        assert types(socket.until("error"))[:-1] == GA_TURN[:5]


@pytest.mark.parametrize(("beta", "minutes"), [("off", 60), ("on", 30)])
def test_a_session_that_reaches_its_end(pretend, beta, minutes):
    pretender = pretend(session_expires=True, beta=beta)
    with wire(pretender, headers=BETA if beta == "on" else {}) as socket:
        socket.receive()
        socket.append(speech("alpha"))
        (event,), code, _ = socket.ending()
    assert (event["error"]["code"], code) == ("session_expired", 1001)
    assert event["error"]["message"] == f"Your session hit the maximum duration of {minutes} minutes."


# ---- the switches --------------------------------------------------------------------------------------------------


def test_every_switch_is_tried():
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_pretender*.py"))
    tried = set(re.findall(r"\b(\w+)=", tests))
    fields, usual = get_type_hints(Switches), Switches()
    assert fields.keys() - tried == set()
    for name, kind in fields.items():
        chosen = {value for value in literals(kind) if value not in (None, getattr(usual, name))}
        assert {value for value in chosen if f'"{value}"' not in tests} == set()


def literals(kind):
    """The values of a Literal, alone or beside None."""
    for value in get_args(kind):
        if get_args(value):
            yield from literals(value)
        elif isinstance(value, str):
            yield value


def test_a_switch_that_there_is_not():
    with pytest.raises(TypeError):
        Pretender(bta="off")
