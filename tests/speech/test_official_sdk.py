"""The official Python SDK against a real server process: what its users write works as it stands.

Each event is looked at twice, as the SDK hands it out and, strictly, against the types that the SDK publishes.
"""

import asyncio
import json
from collections import defaultdict

import openai.types.realtime as ga_types
import pytest
from openai import AsyncOpenAI

from hark.audio.formats import encode
from listening import BECKETT, check, error_rate, pieces, silence
from official_events import validate
from serving import COMPLETED, base64

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
RATE = 24_000
TURNS = 6


async def receive(connection, dialect, *, last):
    """Every event up to the `last`th completed one."""
    events = []
    while sum(event["type"] == COMPLETED for event in events) < last:
        frame = await connection.recv_bytes()
        events.append(json.loads(frame))
        assert connection.parse_event(frame).type == events[-1]["type"]
        validate(events[-1], dialect)
    return events


def chunks(audio):
    return [base64(piece) for piece in pieces(encode(audio, "pcm16"), [RATE // 5])]


def test_the_realtime_client_transcribes(server, recording):
    async def talk():
        async with (
            AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client,
            client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
        ):
            heard = {"transcription": {"model": "gpt-4o-transcribe"}, "turn_detection": {"type": "server_vad"}}
            await connection.session.update(session={"type": "transcription", "audio": {"input": heard}})
            for chunk in [*chunks(recording("beckett", RATE)), *chunks(silence(1, RATE))]:
                await connection.input_audio_buffer.append(audio=chunk)
            return await receive(connection, "ga", last=TURNS)

    events = asyncio.run(talk())
    assert [event["type"] for event in events[:2]] == ["session.created", "session.updated"]
    assert error_rate(BECKETT, check(events[2:], "ga")) <= 0.25


def test_the_realtime_client_hands_out_typed_events(server, recording):
    async def talk():
        async with (
            AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client,
            client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
        ):
            for chunk in [*chunks(recording("beckett", RATE)), *chunks(silence(1, RATE))]:
                await connection.input_audio_buffer.append(audio=chunk)
            said, ended = defaultdict(str), []
            while len(ended) < TURNS:
                event = await connection.recv()
                if isinstance(event, ga_types.ConversationItemInputAudioTranscriptionDeltaEvent):
                    said[event.item_id] += event.delta
                if isinstance(event, ga_types.ConversationItemInputAudioTranscriptionCompletedEvent):
                    ended.append((event.item_id, event.transcript))
            return list(said.items()), ended

    said, ended = asyncio.run(talk())
    assert said == ended
    assert ended[0][1] == "Ever tried."


@pytest.mark.parametrize("detected", [True, False])
def test_the_beta_client_transcribes(server, recording, detected):
    async def talk():
        at = f"ws{server.url.removeprefix('http')}/v1"
        async with (
            AsyncOpenAI(base_url=f"{server.url}/v1", websocket_base_url=at, api_key="none") as client,
            client.beta.realtime.connect(model="gpt-4o-transcribe") as connection,
        ):
            turn_detection = {"type": "server_vad", "silence_duration_ms": 500} if detected else None
            await connection.transcription_session.update(session={"turn_detection": turn_detection})
            for chunk in [*chunks(recording("beckett", RATE)), *chunks(silence(1, RATE))]:
                await connection.input_audio_buffer.append(audio=chunk)
            if not detected:
                await connection.input_audio_buffer.commit()
            return await receive(connection, "beta", last=TURNS if detected else 1)

    events = asyncio.run(talk())
    assert [event["type"] for event in events[:2]] == ["transcription_session.created", "transcription_session.updated"]
    turns = check(events[2:], "beta", detected=detected)
    assert error_rate(BECKETT, turns) <= 0.25
    assert {turn.events[-1]["usage"]["type"] for turn in turns} == {"tokens"}
