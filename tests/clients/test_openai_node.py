"""OpenAI's Node SDK and `ws`, run by Node as scripts of a user's would be; here their answers are looked at.

Node's realtime classes insist on wss://, so there is a server with TLS for them; elsewhere sessions are opened by `ws`,
with secrets that the SDK or fetch minted.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from listening import BECKETT, check, error_rate, turns_of
from serving import COMPLETED

FOLDER = Path(__file__).parent / "node"
PACKAGES = FOLDER / "node_modules"


def tried(what, over="HTTP", name="openai", **more):
    return pytest.mark.client(name, over, what, where=PACKAGES, **more)


PATIENCE_S = 100


@pytest.fixture(scope="module")
def node():
    """Node 22 or later: the one that the lock names for this machine, else the machine's own."""
    assert PACKAGES.is_dir(), "The packages are not there: run make test-clients."
    locked = PACKAGES / ".bin" / "node"
    return str(locked) if locked.exists() else shutil.which("node")


@pytest.fixture(scope="module")
def run(node, hark, key, file):
    """What a script told."""

    def run_script(name, server=hark, **more):
        given = {"HARK_URL": server.url, "HARK_KEY": key, "HARK_FILE": str(file), "PATH": os.environ["PATH"], **more}
        ended = subprocess.run(
            [node, FOLDER / name], env=given, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return run_script


def check_words(text):
    assert error_rate(BECKETT, turns_of([{"item_id": "item", "transcript": text}])) <= 0.25, text


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


@tried("Node SDK: `OpenAIRealtimeWebSocket` and `OpenAIRealtimeWS`", "WebSocket over TLS")
def test_realtime_classes_over_tls(run, hark_tls):
    told = run("wss.mjs", hark_tls, NODE_EXTRA_CA_CERTS=str(hark_tls.certificate))
    assert told.keys() == {"OpenAIRealtimeWebSocket", "OpenAIRealtimeWS"}
    for events in told.values():
        kinds = [event["type"] for event in events]
        assert kinds[0] == "session.created"
        assert "session.updated" in kinds
        said = [event for event in events if event["type"] == COMPLETED]
        assert error_rate(BECKETT, turns_of(said)) <= 0.25
