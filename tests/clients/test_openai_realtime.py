"""OpenAI's Python SDK in realtime sessions: its recipe, both dialects, TLS, and a connection that breaks."""

import asyncio

import pytest
from openai import AsyncOpenAI

import recipes
from cable import Cable
from hark.audio.formats import encode
from recipes import check_words, here, program
from serving import COMPLETED, base64

TURNS = 6


def tried(what, over="WebSocket", **more):
    return pytest.mark.client("openai", over, f"Python SDK: {what}", where=recipes.environment("openai"), **more)


@pytest.fixture
def run(tmp_path):
    return lambda source, file, **variables: recipes.run(tmp_path, source, file, "openai", **variables)


@tried("`realtime.connect`, turns by `server_vad`")
def test_turns(run, hark, key, file):
    turns = run(here(program("openai-python"), hark, key), file)
    assert len(turns) > 1
    check_words(" ".join(turns))


@tried("a file uploaded, its words streamed", "HTTP")
def test_files(run, hark, key, file):
    check_words(" ".join(run(here(program("openai-python", "Whole files"), hark, key), file)))


@tried("`beta.realtime.connect` with `websocket_base_url`")
def test_the_beta_helper(run, hark, key, file_24):
    check_words(" ".join(run(here(program("openai-python", "The older realtime helper"), hark, key), file_24)))


@tried("`beta.realtime.connect`", "WebSocket over TLS")
def test_the_beta_helper_over_tls(run, hark_tls, key, file_24):
    source = program("openai-python", "The older realtime helper")
    source = source.replace(' websocket_base_url="ws://127.0.0.1:8000/v1",', "").replace("http://", "https://")
    assert "websocket_base_url" not in source
    heard = run(here(source, hark_tls, key), file_24, SSL_CERT_FILE=str(hark_tls.certificate))
    check_words(" ".join(heard))


async def say(connection, recording):
    for start in range(0, len(audio := encode(recording("beckett", 24_000), "pcm16") + bytes(48_000)), 9_600):
        await connection.input_audio_buffer.append(audio=base64(audio[start : start + 9_600]))


@tried("`realtime.connect(model=…)`, asynchronous")
@pytest.mark.parametrize("model", ["gpt-4o-transcribe", "gpt-realtime"])
def test_a_model_in_the_url(hark, key, recording, model):
    async def talk():
        async with (
            AsyncOpenAI(base_url=f"{hark.url}/v1", api_key=key) as client,
            client.realtime.connect(model=model) as connection,
        ):
            await say(connection, recording)
            said = []
            while len(said) < TURNS:
                event = await connection.recv()
                assert event.type != "error", event
                said += [event.transcript] if event.type == COMPLETED else []
            return " ".join(said)

    check_words(asyncio.run(talk()))


@tried("`realtime.connect(on_reconnecting=…)`", but="the connection is cut on purpose")
def test_a_connection_that_breaks_is_made_again(hark, key, recording):
    tries, sessions, said = [], [], []

    async def talk():
        async with (
            Cable(hark.url) as cable,
            AsyncOpenAI(base_url=f"{cable.url}/v1", api_key=key) as client,
            client.realtime.connect(
                extra_query={"intent": "transcription"}, on_reconnecting=lambda event: tries.append(event.attempt)
            ) as connection,
        ):
            async for event in connection:
                assert event.type != "error", event
                if event.type == "session.created":
                    sessions.append(event.session.id)
                    await connection.session.update(session={"type": "transcription"})
                elif event.type == "session.updated" and len(sessions) == 1:
                    cable.pull()
                elif event.type == "session.updated":
                    await say(connection, recording)
                elif event.type == COMPLETED:
                    said.append(event.transcript)
                    if len(said) == TURNS:
                        break

    asyncio.run(talk())
    assert tries == [1]
    assert len(set(sessions)) == 2
    check_words(" ".join(said))
