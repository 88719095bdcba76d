"""The ledger finds what is wrong: a judge that passes everything would let any session pass."""

import pytest

from fuzz.ledger import Ledger

SPOKEN = "conversation.item.input_audio_transcription."
CREATED = {"type": "session.created", "session": {"object": "realtime.session"}}
STARTED = {"type": "input_audio_buffer.speech_started", "item_id": "a", "audio_start_ms": 0}
STOPPED = {"type": "input_audio_buffer.speech_stopped", "item_id": "a", "audio_end_ms": 10}
COMMITTED = {"type": "input_audio_buffer.committed", "item_id": "a", "previous_item_id": None}
DELTA = {"type": f"{SPOKEN}delta", "item_id": "a", "delta": "x"}
COMPLETED = {"type": f"{SPOKEN}completed", "item_id": "a", "transcript": "x"}
DELETED = {"type": "conversation.item.deleted", "item_id": "a"}
RIGHT = [CREATED, STARTED, STOPPED, COMMITTED, DELTA, COMPLETED]
WRONG = {
    "created twice": [CREATED, CREATED],
    "no beginning": [STARTED],
    "an end without a beginning": [CREATED, STOPPED],
    "never ended": RIGHT[:-1],
    "ended twice": [*RIGHT, COMPLETED],
    "deltas of another text": [*RIGHT[:-1], COMPLETED | {"transcript": "y"}],
    "more said of what was deleted": [*RIGHT[:-1], DELETED, COMPLETED],
    "after an item that is not there": [CREATED, COMMITTED | {"previous_item_id": "b"}, COMPLETED],
    "out of order": [*RIGHT[:-2], COMMITTED | {"item_id": "b", "previous_item_id": "a"}, DELTA | {"item_id": "b"}],
    "a fault of the server": [CREATED, {"type": "error", "error": {"type": "server_error"}}],
    "an event of no protocol": [CREATED, {"type": "input_audio_buffer.purged"}],
}


def judge(events):
    ledger = Ledger()
    for number, event in enumerate(events):
        ledger.told(event | {"event_id": f"event_{number}"})
    ledger.finished()


def test_what_is_right_passes():
    judge(RIGHT)
    judge([*RIGHT[:-1], DELETED])


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_does_not(name):
    with pytest.raises((AssertionError, AttributeError)):
        judge(WRONG[name])


def test_event_ids_are_used_once():
    ledger = Ledger()
    ledger.told(CREATED | {"event_id": "event_1"})
    with pytest.raises(AssertionError, match="twice"):
        ledger.told(STARTED | {"event_id": "event_1"})
