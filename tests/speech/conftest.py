"""One server process for all tests in this folder."""

import pytest

from listening import Process


@pytest.fixture(scope="session")
def server(samples, tmp_path_factory):
    """`hark serve` with the default models."""
    process = Process(tmp_path_factory.mktemp("serve"))
    yield process
    process.stop()
