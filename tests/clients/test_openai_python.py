"""OpenAI's Python SDK, synchronous and asynchronous: secrets, uploads, models, and what it raises."""

import asyncio
import json
import sys
import time
from pathlib import Path

import openai
import openai.types.audio as audio_types
import pytest
from openai import AsyncOpenAI, AsyncStream, OpenAI, Stream
from openai.types.audio.transcription_stream_event import TranscriptionStreamEvent
from openai.types.beta.realtime import SessionCreateResponse, TranscriptionSession
from openai.types.realtime import ClientSecretCreateResponse
from pydantic import TypeAdapter

from hark.audio.formats import encode
from listening import BECKETT, error_rate, turns_of
from serving import COMPLETED, base64

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")


def tried(what, over="HTTP", **more):
    return pytest.mark.client("openai", over, what, where=Path(sys.prefix), **more)


UPLOADS = tried("Python SDK: uploads in every form of answer")
SECRETS = tried("Python SDK: secrets of both dialects minted, and sessions opened with them", "HTTP, WebSocket")
DIARIZE = {"model": "gpt-4o-transcribe-diarize", "chunking_strategy": "auto"}
VERBOSE = {"model": "whisper-1", "response_format": "verbose_json"}
STRATEGY = {"type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 200, "silence_duration_ms": 300}
PLAIN = [
    {"model": "whisper-1"},
    {"model": "gpt-4o-transcribe", "language": "en", "prompt": "Beckett", "temperature": 0.2},
    {"model": "gpt-4o-mini-transcribe", "include": ["logprobs"], "response_format": "json"},
    {"model": "gpt-4o-transcribe", "chunking_strategy": "auto"},
    {"model": "gpt-4o-transcribe", "chunking_strategy": STRATEGY},
    {"model": "gpt-transcribe", "languages": ["en", "fr"], "keywords": ["fail", "better"]},
]
STREAMS = [
    {"model": "gpt-4o-transcribe"},
    {"model": "gpt-4o-mini-transcribe", "include": ["logprobs"]},
    {"model": "gpt-transcribe", "languages": ["en"], "keywords": ["fail"]},
    {"model": "gpt-4o-transcribe", "chunking_strategy": STRATEGY},
    {**DIARIZE, "response_format": "diarized_json"},
]


@pytest.fixture(params=["sync", "async"])
def ask(request, hark, key):
    """What `question(client)` gives; a stream as a list."""

    def ask_one(question, api_key=key):
        options = {"base_url": f"{hark.url}/v1", "api_key": api_key, "max_retries": 0}
        if request.param == "sync":
            with OpenAI(**options) as client:
                answer = question(client)
                return list(answer) if isinstance(answer, Stream) else answer

        async def talk():
            async with AsyncOpenAI(**options) as client:
                answer = await question(client)
                return [event async for event in answer] if isinstance(answer, AsyncStream) else answer

        return asyncio.run(talk())

    return ask_one


def check_words(text):
    assert error_rate(BECKETT, turns_of([{"item_id": "item", "transcript": text}])) <= 0.25, text


# ---- uploads


@UPLOADS
@pytest.mark.parametrize("options", PLAIN, ids=str)
def test_text(ask, file, options):
    heard = ask(lambda client: client.audio.transcriptions.create(file=file, **options))
    assert isinstance(heard, audio_types.Transcription)
    check_words(heard.text)
    assert heard.usage.type == ("duration" if options["model"] in ("whisper-1", "gpt-transcribe") else "tokens")
    assert (heard.logprobs is not None) == ("include" in options)


@UPLOADS
@pytest.mark.parametrize("form", ["text", "srt", "vtt"])
def test_plain_forms(ask, file, form):
    heard = ask(lambda client: client.audio.transcriptions.create(file=file, model="whisper-1", response_format=form))
    lines = [line for line in heard.splitlines() if "-->" not in line and not line.isdecimal() and line != "WEBVTT"]
    check_words(" ".join(lines))
    assert ("-->" in heard) == (form != "text")


@UPLOADS
@pytest.mark.parametrize("asked", [["word"], ["segment"], ["word", "segment"]])
def test_times(ask, file, asked):
    heard = ask(
        lambda client: client.audio.transcriptions.create(file=file, timestamp_granularities=asked, **VERBOSE),
    )
    assert isinstance(heard, audio_types.TranscriptionVerbose)
    assert heard.duration == pytest.approx(9.963, abs=0.001)
    for name in ("word", "segment"):
        found = getattr(heard, f"{name}s")
        assert (found is not None) == (name in asked)
        for entry in found or []:
            assert 0 <= entry.start < entry.end <= heard.duration
    if "word" in asked:
        check_words(" ".join(word.word for word in heard.words))


@UPLOADS
def test_speakers(ask, file):
    heard = ask(
        lambda client: client.audio.transcriptions.create(file=file, response_format="diarized_json", **DIARIZE)
    )
    assert isinstance(heard, audio_types.TranscriptionDiarized)
    check_words(" ".join(segment.text for segment in heard.segments))
    assert {segment.speaker for segment in heard.segments} == {"A"}


@tried("Python SDK: uploads, the answer streamed")
@pytest.mark.parametrize("options", STREAMS, ids=str)
def test_streams(ask, file, options):
    *parts, done = ask(lambda client: client.audio.transcriptions.create(file=file, stream=True, **options))
    for event in [*parts, done]:
        TypeAdapter(TranscriptionStreamEvent).validate_json(event.model_dump_json(exclude_unset=True), strict=True)
    said = [part.delta if part.type == "transcript.text.delta" else part.text for part in parts]
    assert len(said) >= 4
    assert "".join(said).strip() == done.text
    check_words(done.text)


@pytest.mark.parametrize(
    "given",
    [lambda file: file, lambda file: file.read_bytes(), lambda file: ("speech.wav", file.read_bytes(), "audio/wav")],
    ids=["path", "bytes", "tuple"],
)
def test_every_way_to_give_a_file(ask, file, given):
    heard = ask(lambda client: client.audio.transcriptions.create(file=given(file), model="gpt-4o-transcribe"))
    check_words(heard.text)


def test_a_response_that_is_read_as_it_comes(hark, key, file):
    with OpenAI(base_url=f"{hark.url}/v1", api_key=key) as client:
        uploads = client.audio.transcriptions.with_streaming_response
        with uploads.create(file=file, model="gpt-4o-transcribe") as response:
            check_words(json.loads(response.read())["text"])
        with uploads.create(file=file, model="gpt-4o-transcribe", stream=True) as response:
            lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    check_words(json.loads(lines[-2].removeprefix("data: "))["text"])


# ---- models


@tried("Python SDK: models listed and retrieved", shows="found")
def test_models(ask):
    listed = ask(lambda client: client.models.list()).data
    names = {model.id for model in listed}
    assert {"whisper-1", "gpt-4o-transcribe", "gpt-realtime", "moonshine-tiny-en"} <= names
    assert ask(lambda client: client.models.retrieve("whisper-1")) == next(m for m in listed if m.id == "whisper-1")


# ---- secrets


def ga_session(**turns):
    heard = {"format": {"type": "audio/pcm", "rate": 24_000}, "transcription": {"model": "gpt-4o-transcribe"}}
    return {"type": "transcription", "audio": {"input": heard | turns}}


async def hear(connection, recording):
    """What is said in the six turns of the sample."""
    audio = encode(recording("beckett", 24_000), "pcm16") + bytes(48_000)
    for start in range(0, len(audio), 9_600):
        await connection.input_audio_buffer.append(audio=base64(audio[start : start + 9_600]))
    said = []
    while len(said) < 6:
        event = await connection.recv()
        assert event.type != "error", event
        if event.type == COMPLETED:
            said.append(event.transcript)
    return " ".join(said)


@SECRETS
def test_a_ga_secret_opens_a_session_that_hears(ask, hark, recording):
    raw = ask(
        lambda client: client.realtime.client_secrets.with_raw_response.create(
            session=ga_session(), expires_after={"anchor": "created_at", "seconds": 60}
        )
    )
    ClientSecretCreateResponse.model_validate_json(raw.content, strict=True)
    minted = raw.parse()
    assert minted.expires_at - time.time() == pytest.approx(60, abs=15)

    async def talk():
        async with (
            AsyncOpenAI(base_url=f"{hark.url}/v1", api_key=minted.value) as client,
            client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
        ):
            created = await connection.recv()
            assert created.type == "session.created"
            assert created.session.audio.input.transcription.model == "gpt-4o-transcribe"
            return await hear(connection, recording)

    check_words(asyncio.run(talk()))


@SECRETS
@pytest.mark.parametrize("kind", ["transcription_sessions", "sessions"])
def test_a_beta_secret_opens_a_session_that_hears(ask, hark, recording, kind):
    options = {"input_audio_transcription": {"model": "whisper-1"}}
    if kind == "sessions":
        options |= {"model": "gpt-4o-realtime-preview", "voice": "verse"}
    raw = ask(lambda client: getattr(client.beta.realtime, kind).with_raw_response.create(**options))
    official = TranscriptionSession if kind == "transcription_sessions" else SessionCreateResponse
    official.model_validate_json(raw.content, strict=True)
    secret = raw.parse().client_secret
    assert secret.expires_at > time.time() + 60

    async def talk():
        at = f"ws{hark.url.removeprefix('http')}/v1"
        model = "whisper-1" if kind == "transcription_sessions" else "gpt-4o-realtime-preview"
        async with (
            AsyncOpenAI(base_url=f"{hark.url}/v1", websocket_base_url=at, api_key=secret.value) as client,
            client.beta.realtime.connect(model=model) as connection,
        ):
            return await hear(connection, recording)

    check_words(asyncio.run(talk()))


# ---- what it raises


@tried("Python SDK: what it raises where Hark refuses", shows="kind, code and param kept")
@pytest.mark.parametrize(
    ("question", "raised", "code", "param"),
    [
        (lambda c, _: c.models.retrieve("no-such-model"), openai.NotFoundError, "model_not_found", "model"),
        (
            lambda c, file: c.audio.transcriptions.create(file=file, model="no-such-model"),
            openai.NotFoundError,
            "model_not_found",
            "model",
        ),
        (
            lambda c, file: c.audio.transcriptions.create(
                file=file, model="gpt-4o-transcribe", response_format="verbose_json"
            ),
            openai.BadRequestError,
            "unsupported_value",
            "response_format",
        ),
        (
            lambda c, _: c.audio.transcriptions.create(file=("a.wav", b"no sound"), model="gpt-4o-transcribe"),
            openai.BadRequestError,
            "unsupported_format",
            "messages",
        ),
        (
            lambda c, file: c.audio.transcriptions.create(file=file, model="whisper-1", language="english"),
            openai.BadRequestError,
            "invalid_language_format",
            "language",
        ),
        (
            lambda c, file: c.audio.translations.create(file=file, model="whisper-1"),
            openai.BadRequestError,
            "translation_not_offered",
            "model",
        ),
        (
            lambda c, _: c.realtime.client_secrets.create(extra_body={"bogus": 1}),
            openai.BadRequestError,
            "unknown_parameter",
            "bogus",
        ),
        (
            lambda c, _: c.realtime.client_secrets.create(session=ga_session(turn_detection={"type": "nope"})),
            openai.BadRequestError,
            "invalid_value",
            "session.audio.input.turn_detection.type",
        ),
        (
            lambda c, _: c.beta.realtime.transcription_sessions.create(
                client_secret={"expires_at": {"anchor": "created_at", "seconds": 1}}
            ),
            openai.BadRequestError,
            "integer_below_min_value",
            "client_secret.expires_at.seconds",
        ),
        (lambda c, _: c.chat.completions.create(model="x", messages=[]), openai.NotFoundError, "unknown_url", None),
    ],
)
def test_errors_keep_their_kind_code_and_param(ask, file, question, raised, code, param):
    with pytest.raises(raised) as caught:
        ask(lambda client: question(client, file))
    error = caught.value
    assert (error.code, error.param, error.type) == (code, param, "invalid_request_error")
    assert len(error.body["message"]) > 20


@pytest.mark.parametrize(
    "question",
    [
        lambda c, _: c.models.list(),
        lambda c, file: c.audio.transcriptions.create(file=file, model="whisper-1"),
        lambda c, _: c.realtime.client_secrets.create(),
        lambda c, _: c.beta.realtime.sessions.create(),
    ],
)
def test_a_wrong_key_is_an_authentication_error(ask, file, question):
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided") as caught:
        ask(lambda client: question(client, file), api_key="sk-wrong-and-secret")
    assert caught.value.code == "invalid_api_key"
    assert "sk-wrong-and-secret" not in str(caught.value)
