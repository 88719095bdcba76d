"""The models, the samples and one server process for all tests in this folder."""

import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("listening")
# The gaps of the official types are listed once, in the test of the protocol.
sys.path.append(str(Path(__file__).parents[1] / "protocol"))

from hark.audio.files import read_audio  # noqa: E402
from hark.models.files import DEFAULTS  # noqa: E402
from hark.models.pull import models_folder, pull  # noqa: E402
from listening import Process  # noqa: E402


@pytest.fixture(scope="session")
def samples():
    """The folder with the sample recordings; what the server needs is pulled too."""
    pull(DEFAULTS, models_folder(), progress=lambda *_: None)
    return models_folder() / "samples"


@pytest.fixture(scope="session")
def server(samples, tmp_path_factory):
    """`hark serve` with the default models."""
    process = Process(tmp_path_factory.mktemp("serve"))
    yield process
    process.stop()


@pytest.fixture(scope="session")
def recording(samples):
    """A sample by name, at a rate, as mono float32."""
    return lambda name, rate=16_000: read_audio(samples / f"{name}.wav", rate)
