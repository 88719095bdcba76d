"""Records for the journal, and how a test writes them."""

from concurrent.futures import Future

from hark.journal.records import Entry, ItemRecord, SessionRecord

PATIENCE_S = 20


def session(session_id="sess_1", **fields):
    given = {"transport": "websocket", "key_id": "k1", "key_name": "phone", "model": "whisper-1", "call_id": None}
    return SessionRecord(id=session_id, **given | {"opened_at": 1_000.0} | fields)


def item(item_id="item_1", **fields):
    given = {"previous_id": None, "model": "whisper-1", "started_at": 1_000.5, "ended_at": 1_002.0}
    heard = {"recorded_at": 1_002.5, "audio_start_ms": 500, "audio_end_ms": 1_500, "transcript": "one two"}
    return ItemRecord(id=item_id, **given | heard | fields)


def begun(item_id="item_1", **fields):
    """Committed, and not transcribed yet."""
    return item(item_id, **{"audio_start_ms": None, "audio_end_ms": None, "transcript": None} | fields)


def write(journal, *entries):
    """All of them at once; whether each is on disk."""
    written = [Future() for _ in entries]
    for entry, future in zip(entries, written, strict=True):
        journal.write(entry, future.set_result)
    return [future.result(PATIENCE_S) for future in written]


def entries(count, of=None):
    return [Entry(of or session(), item(f"item_{number}")) for number in range(count)]
