"""Unmodified clients against `hark serve` as a process of its own, with a key, real models and a real recording.

Rule: each client comes with locked versions, in an environment of its own that a make target makes; OpenAI's Python SDK
alone is in Hark's, for other tests use it too. It is tested through the code that its users write, never its insides.
"""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "speech"))

from listening import Process

KEY = "sk-clients-0123456789"


@pytest.fixture(scope="session")
def key():
    return KEY


@pytest.fixture(scope="session")
def hark(samples, tmp_path_factory):
    """The server process; `url` is its base URL without /v1."""
    data = str(tmp_path_factory.mktemp("keys"))
    process = Process(tmp_path_factory.mktemp("home"), HARK_API_KEY=KEY, HARK_DATA_DIR=data)
    yield process
    process.stop()


@pytest.fixture(scope="session")
def file(samples):
    return samples / "beckett.wav"
