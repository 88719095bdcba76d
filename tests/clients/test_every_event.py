"""Every event that any client was sent in this run, against OpenAI's own types: the last test to run.

Rule: the logs are read when all connections are over, so each client has to have gone by then.
"""

import time

import pytest

from eventlog import connections
from serving import PATIENCE_S


@pytest.fixture(scope="module")
def logged(event_logs):
    """A Connection for each that there was."""
    deadline = time.monotonic() + PATIENCE_S
    while still := [connection.path.name for connection in connections(event_logs) if not connection.over]:
        assert time.monotonic() < deadline, f"These have not ended: {still}"
        time.sleep(0.1)
    found = connections(event_logs)
    assert any(connection.events for connection in found), "No client was sent anything: run this with the others."
    return found


def test_every_event_is_what_the_official_types_say(logged):
    assert [(connection.path.name, connection.faults) for connection in logged if connection.faults] == []
