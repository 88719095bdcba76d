"""OpenAI's Node SDK and `ws`, run by Node as scripts of a user's would be; here their answers are looked at.

Node's realtime classes insist on wss://, so there is a server with TLS for them; elsewhere sessions are opened by `ws`,
with secrets that the SDK or fetch minted.
"""

import time

import pytest

from listening import BECKETT, check, error_rate, turns_of
from nodejs import PACKAGES
from recipes import check_words, here, program
from serving import COMPLETED


def tried(what, over="HTTP", name="openai", **more):
    return pytest.mark.client(name, over, what, where=PACKAGES, **more)


@pytest.fixture(scope="module")
def run(node, hark, key, file):
    """What a script told."""
    return lambda name, server=hark, **more: node.ask(name, server, key, file, **more)


@tried("Node SDK: uploads in every form of answer, streamed too")
def test_uploads(run):
    told = run("transcriptions.mjs")
    answers = told["answers"]
    assert len(answers) == 12
    for name in ("text", "srt", "vtt"):
        text = answers.pop(name)
        assert ("-->" in text) == (name != "text")
        lines = [line for line in text.splitlines() if "-->" not in line and not line.isdecimal() and line != "WEBVTT"]
        check_words(" ".join(lines))
    for heard in (*answers.values(), *told["files"].values()):
        check_words(heard["text"])
    assert "".join(entry["token"] for entry in answers["logprobs"]["logprobs"]) == answers["logprobs"]["text"]
    assert answers["lists"]["languages"] == [{"code": "en"}]
    for name, keys in (("words", {"words"}), ("segments", {"segments"}), ("both", {"words", "segments"})):
        assert answers[name].keys() & {"words", "segments"} == keys
    check_words(" ".join(word["word"] for word in answers["words"]["words"]))
    assert {segment["speaker"] for segment in answers["diarized"]["segments"]} == {"A"}
    assert told["files"]["withResponse"]["status"] == 200
    assert len(told["streams"]) == 5
    for name, (*parts, done) in told["streams"].items():
        kind = "transcript.text.segment" if name == "diarized" else "transcript.text.delta"
        assert {part["type"] for part in parts} == {kind}
        assert done["type"] == "transcript.text.done"
        assert "".join(part.get("delta", part.get("text")) for part in parts).strip() == done["text"]
        check_words(done["text"])


@tried("Node SDK: secrets of both dialects minted, and sessions opened with them", shows="sessions open")
def test_secrets(run, hark):
    told, now = run("secrets.mjs"), time.time()
    assert told["ga"]["expires_at"] == pytest.approx(now + 60, abs=20)
    assert told["ga"]["session"]["audio"]["input"]["transcription"]["language"] == "en"
    assert told["empty"]["session"]["type"] == "realtime"
    assert told["sessions"]["model"] == "gpt-4o-realtime-preview"
    assert told["transcription_sessions"]["turn_detection"] == {"type": "semantic_vad", "eagerness": "low"}
    for name, minted in told.items():
        secret = minted["value"] if "value" in minted else minted["client_secret"]["value"]
        with hark.socket("/v1/realtime", subprotocols=["realtime", f"openai-insecure-api-key.{secret}"]) as wire:
            kind = "transcription_session" if name == "transcription_sessions" else "session"
            assert wire.receive()["type"] == f"{kind}.created"


@tried("Node SDK: models listed and retrieved", shows="found")
def test_models(run):
    told = run("models.mjs")
    assert {"whisper-1", "gpt-realtime", "moonshine-tiny-en"} <= {model["id"] for model in told["listed"]}
    assert told["one"] in told["listed"]


@tried("Node SDK: what it raises where Hark refuses", shows="kind, code and param kept")
def test_errors(run):
    told = run("errors.mjs")
    expected = {
        "key": ("AuthenticationError", 401, "invalid_api_key", None),
        "upload_key": ("AuthenticationError", 401, "invalid_api_key", None),
        "mint_key": ("AuthenticationError", 401, "invalid_api_key", None),
        "model": ("NotFoundError", 404, "model_not_found", "model"),
        "form": ("BadRequestError", 400, "unsupported_value", "response_format"),
        "translation": ("BadRequestError", 400, "translation_not_offered", "model"),
        "field": ("BadRequestError", 400, "unknown_parameter", "bogus"),
        "url": ("NotFoundError", 404, "unknown_url", None),
    }
    found = {
        name: tuple(error.get(key) for key in ("thrown", "status", "code", "param")) for name, error in told.items()
    }
    assert found == expected
    for error in told.values():
        assert error["type"] == "invalid_request_error"
        assert len(error["message"]) > 30
        assert "sk-wrong-and-secret" not in error["message"]


@tried("sessions opened with a secret, beta", "WebSocket", "ws")
def test_sockets(run):
    told = run("sockets.mjs")
    assert len(told) == 2
    for created, updated, *events in told.values():
        assert created["type"] == "transcription_session.created"
        assert created["session"]["input_audio_transcription"]["model"] == "gpt-4o-transcribe"
        assert updated["type"] == "transcription_session.updated"
        assert error_rate(BECKETT, check(events, "beta")) <= 0.25


@tried(
    "Node SDK: `OpenAIRealtimeWebSocket` and `OpenAIRealtimeWS`, GA and beta, by intent and by model",
    "WebSocket over TLS",
)
def test_realtime_classes(run, hark_tls):
    told = run("wss.mjs", hark_tls, NODE_EXTRA_CA_CERTS=str(hark_tls.certificate))
    assert len(told) == 8
    for name, (created, *events) in told.items():
        transcribing = name.startswith("beta") and "transcribing" in name
        kind = "transcription_session" if transcribing else "session"
        assert created["type"] == f"{kind}.created"
        session = next(event for event in events if event["type"] == f"{kind}.updated")["session"]
        assert ("audio" in session) == name.startswith("GA")
        said = [event for event in events if event["type"] == COMPLETED]
        assert error_rate(BECKETT, turns_of(said)) <= 0.25


@tried("Node SDK: a file, one turn by intent", "WebSocket over TLS")
def test_the_recipe(node, hark_tls, key, file):
    source = here(program("openai-node", "Live", "js"), hark_tls, key)
    told = node.run_text(source, PACKAGES, str(file), NODE_EXTRA_CA_CERTS=str(hark_tls.certificate))
    live, whole = told.strip().split("\nThe whole transcript: ")
    assert live == whole
    check_words(whole)


@tried("Node SDK: an upload, streamed")
def test_the_recipe_for_uploads(node, hark, key, file):
    source = here(program("openai-node", "Uploads", "js"), hark, key)
    check_words(node.run_text(source, PACKAGES, str(file)))
