"""/openapi.json: the description against the routes that there are, and the server against its description.

Requests, right and wrong, are generated from the description (schemathesis). Three of its checks are off, no others:
`positive_data_acceptance`, for a schema cannot say which models there are, what is a language, and which field goes
with which; `negative_data_rejection` at the uploads, for all in a form is text, and an empty or unknown field counts as
not sent (what is refused there stands in test_transcriptions.py); `missing_required_header`, for none is required.
"""

import httpx
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from starlette.routing import Route, WebSocketRoute

import hark
from documents import codes, section, table
from hark.app import routes
from hark.edge.calls import Calls
from hark.edge.client_secrets import ClientSecrets
from hark.edge.console import Console
from hark.edge.drain import Drain
from hark.edge.models import Models
from hark.edge.nodes import keys_of
from hark.edge.reference import Reference
from hark.edge.scrape import Scrape
from hark.edge.transcriptions import Transcriptions
from hark.edge.transcripts import Transcripts
from hark.edge.websocket import Realtime
from hark.protocol import answers
from hark.protocol.openapi import describe
from hark.protocol.operations import OPERATIONS
from hark.protocol.uploads import UploadForm
from serving import PATIENCE_S, speech
from serving import settings as options
from uploading import post, wav

KEY = "k" * 20
SOUND = wav(speech("alpha", rate=16_000))
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
    checks.allow_header_conformance,
]


@schemathesis.serializer("application/sdp")
def sdp(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


def generated(keys_required):
    schema = schemathesis.openapi.from_dict(describe("http://here", hark.__version__, keys_required=keys_required))
    schema.config.generation.update(deterministic=True)
    return schema


# The server runs in this process, and may draw a random number while a request is being made up.
SERVER_DRAWS = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
OPEN, KEYED = generated(keys_required=False), generated(keys_required=True)
BOUNDED = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


# ---- the document --------------------------------------------------------------------------------------------------


def test_every_route_is_described_and_no_other():
    keys = keys_of(options())
    calls = Calls(keys=keys, find_model=None, compute=None, lifetime_s=0, limits=None, network=None)
    parts = (
        Realtime(keys, None, None, 0, False, None, calls),
        ClientSecrets(keys, None, 0, calls),
        Models(keys, [], None),
        Transcriptions(keys, None, None, 0, 0, None),
        Reference(keys),
        Console(keys),
        Drain(keys, None, None, calls, seconds=0),
        Transcripts(keys, None, None),
        Scrape(keys, None),
    )
    there = {
        (method, route.path.replace(":path}", "}"))
        for route in routes(*parts)
        if isinstance(route, Route)
        for method in route.methods - {"HEAD"}
    }
    assert {(operation.method, place) for operation in OPERATIONS for place in operation.places} == there
    live = {route.path for route in routes(*parts) if isinstance(route, WebSocketRoute)} - {"/{path:path}"}
    assert {place for operation in OPERATIONS if operation.status == 101 for place in operation.places} == live


def test_the_document_is_valid_and_says_where_it_is(server, serve):
    for running, required in ((server, False), (serve(api_key=KEY), True)):
        document = httpx.get(f"{running.url}/openapi.json").json()
        validate(document)
        assert document == describe(running.url, hark.__version__, keys_required=required)
    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS)


def test_the_form_has_the_parts_that_are_read():
    """That each of them is read, test_docs.py sees to."""
    listed = {codes(row[0])[0] for row in table(section("docs/rest.md", "Fields"), "field")}
    assert set(UploadForm.__struct_fields__) == listed


# ---- answers -------------------------------------------------------------------------------------------------------


# To drain a server is to lose it for all that follows (test_drain.py does).
@SERVER_DRAWS
@OPEN.exclude(path="/drain").parametrize()
@BOUNDED
def test_every_answer_is_one_that_the_description_has(case, server):
    upload = case.operation.definition.raw["operationId"] in ("create_transcription", "transcribe")
    if upload and isinstance(case.body, dict) and "file" in case.body:
        case.body["file"] = SOUND
    strict = [] if upload else [checks.negative_data_rejection]
    case.call_and_validate(base_url=server.url, checks=CHECKS + strict, timeout=PATIENCE_S)


@SERVER_DRAWS
@KEYED.parametrize()
@settings(BOUNDED, max_examples=5)
def test_with_a_key_nobody_else_comes_in(case, serve):
    case.call_and_validate(base_url=serve(api_key=KEY).url, checks=[*CHECKS, checks.ignored_auth], timeout=PATIENCE_S)


def test_a_path_of_several_routes_allows_the_methods_of_all(server):
    answer = httpx.delete(f"{server.url}/v1/realtime/transcription_sessions")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


HEARD = {
    "input_audio_transcription": {"model": "whisper-1", "keywords": ["gate"], "delay": "low", "languages": ["en"]},
    "input_audio_noise_reduction": {"type": "near_field", "strength": 0.5},
    "include": ["item.input_audio_transcription.logprobs"],
}
MINTED = {
    "client_secrets": [
        {},
        {"session": {"type": "transcription"}},
        {"session": {"type": "transcription", "audio": {"input": {"format": {"type": "audio/pcmu"}}}}},
        {"session": {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}},
        {"session": HEARD},
        {"model": "whisper-1", "language": "en", "vad": False},
    ],
    "transcription_sessions": [{}, {"input_audio_format": {"type": "pcm16", "rate": 16_000}}, {"vad": False}, HEARD],
    "sessions": [{}, {"model": "gpt-4o-realtime-preview", "turn_detection": {"type": "semantic_vad"}}, HEARD],
}


@pytest.mark.parametrize("endpoint", MINTED)
def test_every_session_that_is_minted_is_one_that_the_types_describe(server, endpoint):
    operation = next(it for it in OPERATIONS if (it.method, it.path) == ("POST", f"/v1/realtime/{endpoint}"))
    for body in MINTED[endpoint]:
        answer = httpx.post(server.url + operation.path, json=body)
        msgspec.json.decode(answer.content, type=operation.answers[0].shapes[0])


def test_a_beta_secret_lives_as_long_as_the_body_says_beside_an_empty_object(server):
    """A null in `client_secret` once hid the lifetime that stood at the top level."""
    lifetime = {"expires_after": {"anchor": "created_at", "seconds": 0}, "client_secret": None}
    answer = httpx.post(f"{server.url}/v1/realtime/sessions", json=lifetime)
    assert answer.json()["error"]["code"] == "integer_below_min_value"


@pytest.mark.parametrize("model", ["gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-transcribe-diarize", "scripted"])
def test_every_frame_of_a_stream_is_one_that_the_types_describe(server, model):
    forms = {"json": [("include", "logprobs")], "diarized_json": []}
    if model == "gpt-4o-transcribe":
        del forms["diarized_json"]
    for form, more in forms.items():
        fields = [("stream", "true"), ("chunking_strategy", "auto"), ("model", model), ("response_format", form)]
        answer = post(server, *fields, *more)
        assert answer.headers["content-type"].startswith("text/event-stream")
        *frames, last = [line.removeprefix("data: ") for line in answer.text.split("\n\n")[:-1]]
        assert last == "[DONE]"
        assert [type(msgspec.json.decode(frame, type=answers.StreamFrame)) for frame in frames][-1] is answers.TextDone
