"""Unmodified clients against `hark serve` as a process of its own, with a key, real models and a real recording.

Rule: each client comes in an environment of its own, with locked versions, that one make target makes; nothing of it
is shared with Hark's. A client is tested through the code that its users write, never through its insides.
"""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "speech"))
pytest.register_assert_rewrite("listening")

from listening import Process  # noqa: E402

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
