"""The client against real sockets: what it makes of events, and what it says when there is no session."""

import asyncio
import json
from contextlib import aclosing, asynccontextmanager

import numpy as np
import pybase64
import pytest
from websockets.asyncio.server import serve

from hark.app import running
from hark.client import Conversation, NoSessionError, RefusedError, Spoken, connect, realtime_url, stream
from hark.client.events import decode
from hark.client.stream import even_chunks
from hark.config import Settings
from hark.core.settings import TurnDetectionPatch
from hark.errors import CallerError
from hark.models.scripted import amplitude

EMPTY = {"type": "error", "error": {"code": "input_audio_buffer_commit_empty", "message": "buffer too small."}}
TRANSCRIPTION = "conversation.item.input_audio_transcription"


def buffer_event(kind, item_id="a", **fields):
    return {"type": f"input_audio_buffer.{kind}", "item_id": item_id, **fields}


def item_event(kind, item_id="a", **fields):
    return {"type": f"{TRANSCRIPTION}.{kind}", "item_id": item_id, "content_index": 0, **fields}


TURN = [
    buffer_event("speech_started", audio_start_ms=100),
    item_event("delta", delta="open the "),
    buffer_event("speech_stopped", audio_end_ms=900),
    buffer_event("committed"),
    {"type": "conversation.item.added", "item": {"id": "a"}},
    item_event("delta", delta="gate"),
    item_event("completed", transcript="open the gate"),
]


# ---- events to turns


def told(*events):
    conversation = Conversation()
    for event in events:
        if (known := decode(json.dumps(event))) is not None:
            conversation.apply(known)
    return conversation


def test_deltas_grow_a_turn_and_completed_ends_it():
    growing = told(*TURN[:6])
    assert [(turn.text, turn.ended) for turn in growing.open] == [("open the gate", False)]
    ended = told(*TURN)
    assert ended.open == []
    assert ended.spoken() == [Spoken(100, 900, "open the gate")]


def test_the_times_in_completed_count_for_more():
    last = item_event("completed", transcript="open the gate", start_ms=310, end_ms=700)
    assert told(*TURN[:-1], last).spoken() == [Spoken(310, 700, "open the gate")]


def test_a_failed_turn_is_ended_and_has_no_words():
    failed = told(*TURN[:4], item_event("failed", error={"type": "server_error", "message": "No luck."}))
    assert (failed.turns[0].failed, failed.open, failed.spoken()) == ("No luck.", [], [])


def test_a_turn_without_times_lies_between_its_neighbours():
    without = told(
        *TURN, item_event("completed", "b", transcript="and in"), item_event("completed", "c", transcript="")
    )
    assert without.spoken(until_ms=2_000)[1:] == [Spoken(900, 2_000, "and in")]


def test_cleared_forgets_what_was_not_committed():
    cleared = told(
        *TURN, buffer_event("speech_started", "b", audio_start_ms=950), {"type": "input_audio_buffer.cleared"}
    )
    assert [turn.item_id for turn in cleared.turns] == ["a"]


def test_the_audio_clock_of_the_server_is_followed():
    assert [told(*TURN[:count]).heard_ms for count in (0, 1, 3, 7)] == [0, 100, 900, 900]


# ---- pure parts


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/realtime?intent=transcription"),
        ("http://127.0.0.1:8000/v1/", "ws://127.0.0.1:8000/v1/realtime?intent=transcription"),
        ("ws://127.0.0.1:8000/v1/realtime?intent=x", "ws://127.0.0.1:8000/v1/realtime?intent=transcription"),
        ("https://api.example.com/v1", "wss://api.example.com/v1/realtime?intent=transcription"),
        ("ws://[::1]:80/behind/a/proxy", "ws://[::1]:80/behind/a/proxy/v1/realtime?intent=transcription"),
    ],
)
def test_the_address_may_be_the_base_or_the_socket(base, url):
    assert realtime_url(base) == url


@pytest.mark.parametrize("base", ["localhost:8000", "", "http://", "ftp://host", "http://host:port"])
def test_what_is_no_address_is_refused(base):
    with pytest.raises(CallerError, match="Expected the address of a server"):
        realtime_url(base)


@pytest.mark.parametrize("sizes", [[0], [10], [1_600], [4_000, 1, 799], [500] * 20])
def test_even_chunks_keep_every_sample(sizes):
    pieces = [np.full(size, number, np.float32) for number, size in enumerate(sizes)]
    chunks = list(even_chunks(pieces))
    assert np.array_equal(np.concatenate([np.zeros(0), *chunks]), np.concatenate(pieces))
    assert all(chunk.size == 1_600 for chunk in chunks[:-1])


# ---- a server that follows a script, on a real socket


class Script:
    """Greets, accepts the settings, and answers the commit with the events that were written for it."""

    def __init__(self, at_commit=(EMPTY,), at_update=({"type": "session.updated", "session": {}},)):
        self.answers = {"session.update": at_update, "input_audio_buffer.commit": at_commit}
        self.received = []

    async def __call__(self, socket):
        await socket.send(json.dumps({"type": "session.created", "session": {"id": "sess_1"}}))
        async for frame in socket:
            event = json.loads(frame)
            self.received.append(event)
            for answer in self.answers.get(event["type"], ()):
                await socket.send(json.dumps(answer))


@asynccontextmanager
async def serving(handler, **options):
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def transcribe(script, audio, **options):
    async with serving(script) as base, connect(base, **options) as client:
        async with aclosing(stream(client, [audio])) as events:
            seen = [type(event).__name__ async for event in events]
        return client, seen


def tone(seconds):
    return np.sin(np.arange(int(16_000 * seconds)) / 5).astype(np.float32) / 2


def test_the_session_is_set_up_as_asked():
    script = Script()
    vad = TurnDetectionPatch(type="server_vad", silence_duration_ms=500)
    asyncio.run(transcribe(script, tone(0.1), model="whisper-1", language="en", turn_detection=vad))
    assert script.received[0] == {
        "type": "session.update",
        "session": {
            "type": "transcription",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 16_000},
                    "transcription": {"model": "whisper-1", "language": "en"},
                    "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
                }
            },
        },
    }


def test_no_turn_detection_is_sent_as_null():
    script = Script()
    asyncio.run(transcribe(script, tone(0.1), turn_detection=None))
    assert script.received[0]["session"]["audio"]["input"]["turn_detection"] is None


@pytest.mark.parametrize(("rate", "expected"), [(16_000, 16_000), (24_000, 23_976)])
def test_the_audio_arrives_whole(rate, expected):
    script = Script()
    asyncio.run(transcribe(script, tone(1), rate=rate))
    appends = [event for event in script.received if event["type"] == "input_audio_buffer.append"]
    assert len(appends) == 10
    heard = np.frombuffer(b"".join(pybase64.b64decode(event["audio"]) for event in appends), "<i2") / 32767
    assert heard.size == expected  # from 16 to 24 kHz the resampler holds back the last millisecond
    if rate == 16_000:
        assert np.abs(heard - tone(1)).max() < 1e-4


def test_a_turn_that_is_open_at_the_end_is_waited_for():
    last = [buffer_event("committed"), item_event("delta", delta="open"), item_event("completed", transcript="open")]
    client, seen = asyncio.run(transcribe(Script(last), tone(0.2)))
    assert seen == ["AudioCommitted", "TranscriptDelta", "TranscriptCompleted"]
    assert client.conversation.spoken(200) == [Spoken(0, 200, "open")]


def test_a_turn_that_ends_by_itself_is_not_taken_for_the_last():
    last = [*TURN, buffer_event("committed", "b"), item_event("completed", "b", transcript="and in")]
    client, _ = asyncio.run(transcribe(Script(last), tone(0.2)))
    assert [turn.final for turn in client.conversation.turns] == ["open the gate", "and in"]


def test_nothing_left_to_commit_is_no_fault():
    client, _ = asyncio.run(transcribe(Script([*TURN[:-1], EMPTY, TURN[-1]]), tone(0.2)))
    assert [turn.final for turn in client.conversation.turns] == ["open the gate"]


def test_any_other_error_event_is_raised():
    fault = {"type": "error", "error": {"code": "invalid_value", "message": "No.", "param": "x", "event_id": "e1"}}
    with pytest.raises(RefusedError, match=r"No\.") as caught:
        asyncio.run(transcribe(Script([fault]), tone(0.2)))
    assert (caught.value.code, caught.value.param, caught.value.event_id) == ("invalid_value", "x", "e1")


def test_what_breaks_the_audio_is_what_is_raised():
    def broken():
        yield tone(0.2)
        raise CallerError("The file broke off.")

    async def attempt():
        async with serving(Script()) as base, connect(base) as client:
            async for _ in stream(client, broken()):
                pass

    with pytest.raises(CallerError, match="broke off"):
        asyncio.run(attempt())


def test_a_server_that_goes_away_in_the_middle_is_named():
    async def leave(socket):
        await socket.send(json.dumps({"type": "session.created", "session": {}}))
        await socket.recv()
        await socket.send(json.dumps({"type": "session.updated", "session": {}}))
        await socket.close(1012, "restarting")

    async def attempt():
        async with serving(leave) as base, connect(base) as client:
            async for _ in stream(client, [tone(1)]):
                pass

    with pytest.raises(NoSessionError, match=r"ws://127.* ended the session: restarting \(close code 1012\)"):
        asyncio.run(attempt())


def test_iterating_ends_with_the_session_and_skips_what_is_unknown():
    async def finish(socket):
        await socket.send(json.dumps({"type": "session.created", "session": {}}))
        await socket.recv()
        for event in ({"type": "session.updated", "session": {}}, {"type": "new.event"}, *TURN):
            await socket.send(json.dumps(event))

    async def attempt():
        async with serving(finish) as base, connect(base) as client:
            return [type(event).__name__ async for event in client]

    names = "SpeechStarted TranscriptDelta SpeechStopped AudioCommitted TranscriptDelta TranscriptCompleted"
    assert asyncio.run(attempt()) == names.split()


# ---- no session


async def fail_to_connect(handler, **options):
    async with serving(handler, **options) as base, connect(base):
        pass


def refusal(code, close_code):
    async def refuse(socket):
        error = {"type": "invalid_request_error", "code": code, "message": "It says so here."}
        await socket.send(json.dumps({"type": "error", "error": error}))
        await socket.close(close_code)

    return refuse


def test_nobody_there():
    async def attempt():
        async with serving(Script()) as base:
            pass
        async with connect(base):
            pass

    with pytest.raises(NoSessionError, match=r"Could not connect to ws://127.*: .*connection refused.*hark serve"):
        asyncio.run(attempt())


def test_http_refusals_are_quoted():
    def not_found(connection, request):
        return connection.respond(404, "There is no such page.")

    with pytest.raises(NoSessionError, match=r"answered HTTP 404 .* There is no such page\."):
        asyncio.run(fail_to_connect(Script(), process_request=not_found))


def test_what_speaks_no_http_is_named():
    async def attempt():
        async def greet(reader, writer):
            writer.write(b"220 mail.example.com ESMTP\r\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            await connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}").__aenter__()

    with pytest.raises(NoSessionError, match="is no WebSocket"):
        asyncio.run(attempt())


@pytest.mark.parametrize(
    ("code", "close_code", "hint"),
    [
        ("invalid_api_key", 3000, r" Check the API key\.$"),
        ("invalid_model", 4000, r" Check the model and the address\.$"),
        ("server_draining", 1012, "$"),
        ("rate_limit_exceeded", 1013, "$"),
    ],
)
def test_a_session_that_is_refused_says_why(code, close_code, hint):
    with pytest.raises(NoSessionError, match=rf"refused the session: It says so here\.{hint}") as caught:
        asyncio.run(fail_to_connect(refusal(code, close_code)))
    assert (caught.value.code, caught.value.close_code) == (code, close_code)


def test_settings_that_are_refused_are_no_broken_connection():
    fault = {"type": "error", "error": {"code": "invalid_value", "message": "No such model.", "event_id": None}}
    with pytest.raises(RefusedError, match="No such model"):
        asyncio.run(fail_to_connect(Script(at_update=[fault])))


def test_the_key_is_sent_and_never_told():
    seen = []

    def look(connection, request):
        seen.append(request.headers["Authorization"])
        return connection.respond(401, "No.")

    async def attempt():
        async with serving(Script(), process_request=look) as base, connect(base, api_key="sk-secret"):
            pass

    with pytest.raises(NoSessionError) as caught:
        asyncio.run(attempt())
    assert seen == ["Bearer sk-secret"]
    assert "sk-secret" not in str(caught.value)


# ---- Hark itself


SCRIPTED = {"port": 0, "model": "scripted", "voice_model": "scripted-vad", "api_key": "sk-right"}
SAID = ["alpha", "golf", "charlie"]


def speech():
    """Two turns, the second of which the recording cuts off, as the scripted model hears them."""
    silence = np.zeros(16_000, np.float32)
    first = [np.full(3_200, amplitude(word), np.float32) for word in SAID]
    second = [np.full(3_200, amplitude("hotel"), np.float32), silence[:1_600]]
    return [silence, *first, silence, *second]


async def with_hark(**options):
    async with running(Settings(**SCRIPTED)) as base:
        async with connect(base, api_key="sk-right", **options) as client:
            async for _ in stream(client, speech()):
                pass
        return client.conversation


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_hark_transcribes_to_the_last_word(rate):
    conversation = asyncio.run(with_hark(rate=rate))
    assert [turn.text for turn in conversation.spoken()] == ["alpha golf charlie", "hotel"]
    assert [turn.failed for turn in conversation.turns] == [None, None]
    first = conversation.spoken()[0]
    assert 500 <= first.start_ms <= 1_000 < 1_600 <= first.end_ms <= 2_000


def test_hark_makes_one_turn_where_the_client_commits():
    conversation = asyncio.run(with_hark(turn_detection=None))
    assert [turn.text for turn in conversation.spoken()] == ["alpha golf charlie hotel"]


def test_hark_refuses_a_wrong_key():
    async def attempt():
        async with running(Settings(**SCRIPTED)) as base, connect(base, api_key="sk-wrong"):
            pass

    with pytest.raises(NoSessionError, match="Check the API key") as caught:
        asyncio.run(attempt())
    assert caught.value.close_code == 3000


def test_hark_refuses_an_unknown_model():
    with pytest.raises(RefusedError, match="nosuch"):
        asyncio.run(with_hark(model="nosuch"))
