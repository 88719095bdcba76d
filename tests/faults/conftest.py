"""Faults done to real processes while real speech streams: `make test-faults`, which writes the table of
docs/reliability.md.

Rule: a fault is what the name says, not a mock of it: a signal, a full file system, a locked file, a clock that jumps.
After each, every item that was announced has exactly one end, and the words of who was not to be harmed are those of an
undisturbed run (talking.py says what is compared).
"""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "speech"))

import recovering
from standing import Hark
from talking import Company, account, said


def pytest_configure(config):
    recovering.attach(config)


@pytest.fixture(scope="session")
def clips(recording):
    """What is played: six short turns in 10 s; two long ones in 13; three in 16."""
    cities = recording("two_cities")
    return [recording("beckett"), cities[: round(13.2 * 16_000)], cities[round(8.5 * 16_000) : round(24.5 * 16_000)]]


@pytest.fixture(scope="session")
def start(samples, tmp_path_factory):
    """Starts a server with these flags and variables; it is stopped, and looked at, when the tests have ended."""
    started = []

    def process(*flags, **options):
        started.append(Hark(tmp_path_factory.mktemp("serve"), *flags, **options))
        return started[-1]

    yield process
    try:
        for server in started:
            server.stop()
    finally:
        for server in started:
            server.kill()


@pytest.fixture(scope="session")
def server(start):
    """The one of all tests after which it is as good as before."""
    return start()


@pytest.fixture(scope="session")
def undisturbed(server, clips):
    """What each clip says where nothing happens: texts and times of its turns."""
    with Company(server, clips) as company:
        pass
    for talk in company.talks:
        assert talk.fault is None, talk.fault
        account(talk.events)
    return [said(talk.events) for talk in company.talks]


@pytest.fixture
def survived(request):
    """Says how long it took to be as before, for the row of the test's mark."""
    return request.config.pluginmanager.get_plugin("reliability writer").took(request.node)
