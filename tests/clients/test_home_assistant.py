"""Home Assistant's bridge to OpenAI's API, started as its recipe says, and spoken to as Home Assistant does."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

import recipes
from recipes import check_words, here, program
from serving import PATIENCE_S

CLIENT = Path(__file__).with_name("wyoming_client.py")
# The ways in which it can ask for words, each with a model.
WAYS = {"realtime": "gpt-live-transcribe", "streaming": "gpt-4o-transcribe", "plain": "whisper-1"}


def tried(what, over):
    return pytest.mark.client("wyoming-openai", over, what, where=recipes.environment("wyoming"))


@pytest.fixture(scope="module")
def bridge(hark, key, tmp_path_factory):
    """The address of the bridge, which runs the recipe's command with models for all three ways."""
    command = here(program("home-assistant", language="sh"), hark, key).replace("\\\n", " ").splitlines()[1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    words = command.replace("tcp://0.0.0.0:10300", uri).split()
    assert words[0] == "python"
    assert words[-2:] == ["--stt-realtime-models", WAYS["realtime"]]
    words[0] = recipes.environment("wyoming") / "bin" / "python"
    words += ["--stt-streaming-models", WAYS["streaming"], "--stt-models", WAYS["plain"]]
    path = tmp_path_factory.mktemp("bridge") / "log"
    with path.open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env={"PATH": os.environ["PATH"]})
    wait_for(uri, process, path)
    yield uri
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    assert not recipes.TROUBLE.search(path.read_text()), path.read_text()


def wait_for(uri, process, log):
    """Until it listens."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", int(uri.rpartition(":")[2]))) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"The bridge does not listen: {log.read_text()}")


def transcribed(uri, file, way, *paced):
    command = [recipes.environment("wyoming") / "bin" / "python", CLIENT, uri, file, WAYS[way], *paced]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=recipes.PATIENCE_S, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert set(told["models"]) == set(WAYS.values())
    check_words(told["text"])
    return told


@tried("the bridge, a realtime model", "WebSocket")
def test_the_bridge_streams_audio_and_words(bridge, file):
    told = transcribed(bridge, file, "realtime", "paced")
    assert len(told["pieces"]) > 4
    assert "".join(told["pieces"]).strip() == told["text"]


@tried("the bridge, a streaming model", "HTTP")
def test_the_bridge_streams_words(bridge, file):
    told = transcribed(bridge, file, "streaming")
    assert len(told["pieces"]) > 4


@tried("the bridge, a plain model", "HTTP")
def test_the_bridge_uploads(bridge, file):
    assert transcribed(bridge, file, "plain")["pieces"] == []
