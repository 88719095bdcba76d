"""The commands of the curl recipe, run by curl with a key."""

import json
import os
import subprocess

import pytest

import recipes
from documents import blocks, page
from recipes import check_words


def curl(what, **more):
    return pytest.mark.client("curl", "HTTP", what, **more)


@pytest.fixture
def said(hark, key, file):
    """What the command that has this in it says, on its way from the page to the shell given server, file and key."""
    commands = "".join(blocks(page("docs/recipes/curl.md"), "sh")).replace("\\\n", " ").splitlines()

    def ask(part):
        (command,) = [command for command in commands if part in command]
        command = command.replace("http://127.0.0.1:8000", hark.url).replace("FILE", str(file))
        command += ' --fail-with-body -H "Authorization: Bearer $HARK_KEY"'
        given = {"PATH": os.environ["PATH"], "HARK_KEY": key}
        ran = subprocess.run(
            ["sh", "-c", command], env=given, capture_output=True, text=True, timeout=recipes.PATIENCE_S, check=False
        )
        assert ran.returncode == 0, (ran.stdout, ran.stderr)
        return ran.stdout

    return ask


@curl("models listed", shows="found")
def test_models(said):
    assert "whisper-1" in {model["id"] for model in json.loads(said("/v1/models"))["data"]}


@curl("a file uploaded, as text and as subtitles")
def test_uploads(said):
    check_words(said("response_format=text"))
    lines = said("response_format=srt").splitlines()
    assert "-->" in lines[1]
    check_words(" ".join(line for line in lines if "-->" not in line and not line.isdecimal()))


@curl("a file uploaded, its words streamed")
def test_streams(said):
    lines = [line.removeprefix("data: ") for line in said("stream=true").splitlines() if line]
    assert lines[-1] == "[DONE]"
    *deltas, done = map(json.loads, lines[:-1])
    assert len(deltas) > 4
    assert "".join(event["delta"] for event in deltas).strip() == done["text"]
    check_words(done["text"])


@curl("a client secret minted", shows="minted")
def test_minting(said, hark):
    secret = json.loads(said("client_secrets"))["value"]
    with hark.socket("/v1/realtime", subprotocols=["realtime", f"openai-insecure-api-key.{secret}"]) as wire:
        created = wire.receive()
    assert created["session"]["audio"]["input"]["transcription"]["model"] == "gpt-4o-transcribe"
