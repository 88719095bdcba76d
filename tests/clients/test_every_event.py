"""Every event that any client was sent in this run, against OpenAI's own types and parser: the last tests to run.

Rule: the logs are read when all connections are over, so each client has to have gone by then.
"""

import json
import time

import pytest

from eventlog import connections
from nodejs import SCRIPTS
from serving import PATIENCE_S

ENDED = {"audio_start_ms": 0, "audio_end_ms": 6_000, "item_id": "item_1", "event_id": "event_1"}
SEGMENT = {
    "type": "conversation.item.input_audio_transcription.segment",
    **{"event_id": "event_1", "item_id": "item_1", "content_index": 0, "id": "seg_1"},
    **{"speaker": "A", "start": 0.0, "end": 1.0, "text": "Ever tried."},
}
UNKNOWN = [{"type": "input_audio_buffer.timeout_triggered"} | ENDED, SEGMENT]


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


def test_every_ga_event_is_known_to_the_strictest_parser(logged, node, tmp_path):
    """That of the Agents SDK for JavaScript, which has no schema for the events of `UNKNOWN` (contract J.2)."""
    events = [event for connection in logged if connection.dialect == "ga" for event in connection.events]
    sample = tmp_path / "events.jsonl"
    sample.write_text("".join(f"{json.dumps(event)}\n" for event in [*UNKNOWN, *events]), "utf-8")
    known = json.loads(node.run(SCRIPTS / "parse.mjs", str(sample)))
    assert known[: len(UNKNOWN)] == [False] * len(UNKNOWN), "It knows more now: take that out of the list."
    excused = {event["type"] for event in UNKNOWN}
    passed = zip(events, known[len(UNKNOWN) :], strict=True)
    assert [event for event, met in passed if not met and event["type"] not in excused] == []
