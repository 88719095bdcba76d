"""Unmodified clients against `hark serve` as a process of its own, with a key, real models and a real recording.

Rule: each client comes with locked versions, in an environment of its own that a make target makes; OpenAI's Python SDK
alone is in Hark's, for other tests use it too. It is tested through the code that its users write, never its insides,
and marks say which client it was (matrix.py). Every event that any of them was sent is checked at the end.
"""

import sys
import wave
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "speech"))

import matrix
from hark.audio.formats import encode
from hark.edge.tls import own_path
from listening import Process
from nodejs import Node

KEY = "sk-clients-0123456789"


def pytest_configure(config):
    matrix.attach(config)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem == "test_every_event")


@pytest.fixture(scope="session")
def key():
    return KEY


@pytest.fixture(scope="session")
def start(samples, event_logs, tmp_path_factory):
    """Starts a server process with these flags; its events are logged. Gives it and the folder of its keys."""
    started = []

    def process(*flags):
        data = tmp_path_factory.mktemp("data")
        variables = {"HARK_API_KEY": KEY, "HARK_DATA_DIR": str(data), "HARK_EVENT_LOG": str(event_logs)}
        started.append(Process(tmp_path_factory.mktemp("home"), *flags, **variables))
        return started[-1], data

    yield process
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def hark(start):
    """The server process; `url` is its base URL without /v1."""
    return start()[0]


@pytest.fixture(scope="session")
def hark_tls(start):
    """One that serves https and wss; `certificate` is the file that its clients have to trust."""
    server, data = start("--tls-self-signed")
    server.certificate = own_path(data)
    return server


@pytest.fixture(scope="session")
def file(samples):
    return samples / "beckett.wav"


@pytest.fixture(scope="session")
def file_24(recording, tmp_path_factory):
    """The recording at 24,000 Hz."""
    path = tmp_path_factory.mktemp("audio") / "beckett.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        file.writeframes(encode(recording("beckett", 24_000), "pcm16"))
    return path


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    """Runs programs for Node."""
    return Node(tmp_path_factory.mktemp("node"))
