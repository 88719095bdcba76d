"""One server process for all tests in this folder."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "models"))

from listening import Process


@pytest.fixture(scope="session")
def server(samples, tmp_path_factory):
    """`hark serve` with the default models."""
    process = Process(tmp_path_factory.mktemp("serve"))
    yield process
    process.stop()
