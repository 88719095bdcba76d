"""Uploads by the official Python SDK, with real models: words, and answers that are of the types that it publishes."""

import openai.types.audio as official
import pytest
from openai import OpenAI
from openai.types.audio.transcription_stream_event import TranscriptionStreamEvent
from pydantic import TypeAdapter

from hark.protocol.subtitles import Spoken
from listening import BECKETT, error_rate

DIARIZE = {"model": "gpt-4o-transcribe-diarize", "chunking_strategy": "auto"}


@pytest.fixture
def client(serve, samples):
    url = serve(model="moonshine-tiny-en", voice_model="silero-vad").url
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def file(samples):
    return samples / "beckett.wav"


def check_words(text):
    assert error_rate(BECKETT, [Spoken(0, 0, text)]) < 0.2, text


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"model": "whisper-1"}, official.Transcription),
        ({"model": "gpt-4o-transcribe", "include": ["logprobs"]}, official.Transcription),
        ({"model": "gpt-transcribe", "languages": ["en"], "keywords": ["gate"]}, official.Transcription),
        (
            {"model": "whisper-1", "response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]},
            official.TranscriptionVerbose,
        ),
        ({**DIARIZE, "response_format": "diarized_json"}, official.TranscriptionDiarized),
    ],
)
def test_answers_are_of_their_types(client, file, options, kind):
    raw = client.audio.transcriptions.with_raw_response.create(file=file, **options)
    TypeAdapter(kind).validate_json(raw.content, strict=True)
    answer = raw.parse()
    assert isinstance(answer, kind)
    check_words(answer.text)


@pytest.mark.parametrize("form", ["text", "srt", "vtt"])
def test_plain_answers_are_text(client, file, form):
    answer = client.audio.transcriptions.create(file=file, model="whisper-1", response_format=form)
    assert isinstance(answer, str)
    said = [line for line in answer.splitlines() if line != "WEBVTT" and "-->" not in line and not line.isdecimal()]
    check_words(" ".join(said))


@pytest.mark.parametrize(
    "options", [{"model": "gpt-4o-mini-transcribe"}, {**DIARIZE, "response_format": "diarized_json"}]
)
def test_streams_are_of_their_types(client, file, options):
    events = list(client.audio.transcriptions.create(file=file, stream=True, **options))
    for event in events:
        TypeAdapter(TranscriptionStreamEvent).validate_json(event.model_dump_json(exclude_unset=True), strict=True)
    *parts, done = events
    check_words(done.text)
    said = [part.delta if part.type == "transcript.text.delta" else part.text for part in parts]
    assert "".join(said).strip() == done.text
