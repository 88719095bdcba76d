"""Every body that Hark answers over REST, against the types that OpenAI publishes for its own client, strictly.

Rule: a gap is a place where Hark says more than the types allow. Each is listed with its reason and stands in only
where a body would not pass without it; one that no body needs any more fails the test.
"""

import json
from functools import cache
from itertools import product

import httpx
import openai.types.audio as audio_types
import pytest
from openai.pagination import SyncPage
from openai.types import Model
from openai.types.audio.transcription_stream_event import TranscriptionStreamEvent
from openai.types.beta.realtime import SessionCreateResponse, TranscriptionSession
from openai.types.realtime import ClientSecretCreateResponse
from pydantic import TypeAdapter, ValidationError

from hark.models.names import OPENAI_NAMES
from serving import PATIENCE_S
from uploading import post, wav

# Of a type: where, what the type would have there, and why Hark says something else.
GAPS = {
    ClientSecretCreateResponse: {
        ("session", "audio", "input", "format", "rate"): (
            24_000,
            "Hark takes any rate from 8,000 to 48,000 (contract E)",
        ),
    },
    TranscriptionSession: {
        ("input_audio_transcription", "model"): ("whisper-1", "the type knows three of the names that transcribe"),
    },
}
LOGPROBS = ["item.input_audio_transcription.logprobs"]
FULL = {"model": "gpt-4o-transcribe", "languages": ["en", "de"], "keywords": ["gate"], "prompt": "x", "delay": "low"}
HEARD = [None, {"language": "en"}, {"model": "whisper-1"}, {"model": "gpt-realtime-whisper"}, FULL]
DETECTORS = [
    None,
    {"type": "server_vad"},
    {"type": "server_vad", "threshold": 0, "idle_timeout_ms": 6_000, "create_response": False},
    {"type": "semantic_vad", "eagerness": "low", "interrupt_response": True},
]
GA_FORMATS = [{"type": "audio/pcm", "rate": rate} for rate in (24_000, 16_000)] + [
    {"type": "audio/pcmu"},
    {"type": "audio/pcma"},
]
TOOLS = [{"type": "function", "name": "open", "parameters": {"type": "object"}}]
GA_VOICED = {
    "type": "realtime", "model": "gpt-realtime", "instructions": "x", "tools": TOOLS, "tool_choice": "auto",
    "max_output_tokens": 64, "truncation": "auto", "tracing": "auto", "output_modalities": ["text"],
}  # fmt: skip
BETA_VOICED = {
    "model": "gpt-realtime", "instructions": "x", "voice": "verse", "tools": TOOLS, "temperature": 0.7,
    "max_response_output_tokens": 64, "modalities": ["text"], "tracing": "auto", "output_audio_format": "g711_alaw",
}  # fmt: skip


def test_minted_ga_sessions(server):
    met = check(ClientSecretCreateResponse, mint(server, "client_secrets", None))
    for base, heard, turns, form in product([{"type": "transcription"}, GA_VOICED], HEARD, DETECTORS, GA_FORMATS):
        given = {"format": form, "transcription": heard, "turn_detection": turns, "noise_reduction": None}
        session = base | {"audio": {"input": given}, "include": LOGPROBS if heard else None}
        met |= check(ClientSecretCreateResponse, mint(server, "client_secrets", {"session": session}))
    assert met == GAPS[ClientSecretCreateResponse].keys()


@pytest.mark.parametrize(
    ("endpoint", "kind", "more"),
    [
        ("transcription_sessions", TranscriptionSession, {}),
        ("sessions", SessionCreateResponse, {}),
        ("sessions", SessionCreateResponse, BETA_VOICED),
    ],
)
def test_minted_beta_sessions(server, endpoint, kind, more):
    met = check(kind, mint(server, endpoint, None))
    for heard, turns, form in product(HEARD, DETECTORS, ["pcm16", "g711_ulaw"]):
        body = {"input_audio_transcription": heard, "turn_detection": turns, "input_audio_format": form}
        body |= {"input_audio_noise_reduction": {"type": "far_field"}, "include": LOGPROBS if heard else None}
        met |= check(kind, mint(server, endpoint, body | more))
    assert met == set(GAPS.get(kind, {}))


def test_models(server):
    listed = httpx.get(f"{server.url}/v1/models").content
    check(SyncPage[Model], listed)
    for model in json.loads(listed)["data"]:
        check(Model, httpx.get(f"{server.url}/v1/models/{model['id']}", verify=False).content)


SILENCE = wav(bytes(16_000))
FORMS = [
    ("json", audio_types.Transcription, []),
    ("json", audio_types.Transcription, [("include[]", "logprobs")]),
    ("verbose_json", audio_types.TranscriptionVerbose, []),
    ("verbose_json", audio_types.TranscriptionVerbose, [("timestamp_granularities[]", "word")]),
    ("diarized_json", audio_types.TranscriptionDiarized, []),
]


@pytest.mark.parametrize(
    ("name", "file"),
    [*((card.name, wav()) for card in OPENAI_NAMES), *((name, SILENCE) for name in ("whisper-1", "gpt-transcribe"))],
    ids=lambda value: value if isinstance(value, str) else ["speech", "silence"][value == SILENCE],
)
def test_transcripts(server, name, file):
    heard = []
    for form, kind, more in FORMS:
        fields = [("model", name), ("response_format", form), ("chunking_strategy", "auto"), *more]
        answer = post(server, *fields, file=file)
        if answer.status_code != 200:
            assert answer.json()["error"]["code"] == "unsupported_value"
            continue
        heard.append(form)
        check(kind, answer.content)
        streamed = post(server, *fields, ("stream", "true"), file=file)
        for frame in streamed.text.split("\n\n") if streamed.headers["content-type"].startswith("text/event") else []:
            if frame not in ("", "data: [DONE]"):
                check(TranscriptionStreamEvent, frame.removeprefix("data: "))
    assert "json" in heard


def mint(server, endpoint, body):
    given = {} if body is None else {"json": body}
    answer = httpx.post(f"{server.url}/v1/realtime/{endpoint}", timeout=PATIENCE_S, verify=False, **given)
    assert answer.status_code == 200, answer.text
    return answer.content


@cache
def official(kind):
    return TypeAdapter(kind)


def check(kind, content):
    """The gaps that were needed."""
    try:
        official(kind).validate_json(content, strict=True)
    except ValidationError:
        body = json.loads(content)
        met = {path for path, (instead, _) in GAPS.get(kind, {}).items() if fill(body, path, instead)}
        official(kind).validate_json(json.dumps(body), strict=True)
        return met
    return set()


def fill(body, path, instead):
    """Whether something else stood there."""
    for name in path[:-1]:
        body = body.get(name) or {}
    there = path[-1] in body and body[path[-1]] != instead
    if there:
        body[path[-1]] = instead
    return there
