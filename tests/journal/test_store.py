"""The journal's file: what is written is read again, only its owner reads it, what is erased is gone from the disk."""

import sqlite3
import stat
from contextlib import closing

import pytest

from hark.core.messages import SpeakerSegment, Word
from hark.errors import OperatorError
from hark.journal.records import Closed, Entry, Listed, Transcript
from hark.journal.store import FILE, STEP_ITEMS, Store, put, transaction
from journalling import begun, item, session


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "kept")


def keep(store, *records):
    with closing(store.open()) as database, transaction(database):
        for record in records:
            put(database, record)


def test_what_is_written_is_read_again(store):
    whole = item(
        previous_id="item_0",
        languages=("en", "de"),
        words=(Word("one", 500, 900), Word("two", 900, 1_400)),
        segments=(SpeakerSegment("item_1", "seg_0", "A", 500, 1_400, "one two"),),
    )
    failed = item("item_2", previous_id="item_1", transcript=None, failure="server_error")
    one = session(call_id="rtc_1")
    keep(store, Entry(one, begun()), Entry(one, failed), Entry(one, whole), Closed("sess_1", 1_010.0))
    closed = session(call_id="rtc_1", closed_at=1_010.0)
    assert store.find("sess_1") == Transcript(closed, (whole, failed)), "in the order of their commits"
    assert store.find("sess_1", "k1") == store.find("sess_1")
    assert store.find("sess_1", "k2") is None
    assert store.find("sess_2") is None


def test_sessions_are_listed_by_time_and_key(store):
    first, second = session(), session("sess_2", opened_at=2_000.0, key_name="desk")
    silent = item("item_0", transcript=" ")
    keep(store, *(Entry(first, each) for each in (silent, item(transcript="one  two"), begun("item_2"))))
    keep(store, Entry(second, begun()))
    one, two = Listed(first, 3, 1, 2.0, "one two"), Listed(second, 1, 1, 0.0, "")
    assert store.listed() == [one, two]
    assert store.listed(since=1_000.0, until=2_000.0) == [one]
    assert store.listed(since=1_000.1) == [two]
    assert store.listed(key_name="desk") == [two]
    assert store.listed(key_name="nobody") == []


def test_where_nothing_was_written_nothing_is_made(store):
    assert (store.listed(), store.find("sess_1"), store.delete(["sess_1"]), store.purge(1e10)) == ([], None, [], 0)
    assert not store.path.parent.exists()


def test_only_its_owner_may_read_it(store):
    with closing(store.open()) as database, transaction(database):
        put(database, Entry(session(), item()))
        files = list(store.path.parent.iterdir())
        assert {file.name for file in files} == {FILE, f"{FILE}-wal", f"{FILE}-shm"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700


def test_a_commit_waits_for_the_disk(store):
    with closing(store.open()) as database:
        asked = ("synchronous", "journal_mode", "secure_delete", "auto_vacuum")
        assert [database.execute(f"PRAGMA {name}").fetchone()[0] for name in asked] == [2, "wal", 1, 2]


@pytest.mark.parametrize("erase", [lambda store: store.delete(["sess_1"]), lambda store: store.purge(1_500.0)])
def test_what_is_erased_is_gone_from_the_disk_and_leaves_no_space(store, erase):
    secret = "a secret that nobody shall find again "
    kept = Entry(session("sess_2", opened_at=2_000.0), item(recorded_at=2_000.0, transcript="kept"))
    many = [item(f"item_{n}", transcript=secret * 20) for n in range(3 * STEP_ITEMS)]
    keep(store, kept, *(Entry(session(), each) for each in many))
    before = store.path.stat().st_size
    with closing(store.open()) as server:  # which goes on, so that the write-ahead log stays
        server.execute("SELECT count(*) FROM items").fetchone()
        keep(store, Entry(session(), item(transcript=secret)))
        assert secret.encode() in store.path.with_name(f"{FILE}-wal").read_bytes()
        erase(store)
        assert [each.session.id for each in store.listed()] == ["sess_2"]
        assert store.find("sess_2").items[0].transcript == "kept"
        for file in store.path.parent.iterdir():
            assert b"nobody shall find" not in file.read_bytes(), file
        assert store.path.stat().st_size < before / 4


def test_what_is_young_stays_when_the_old_goes(store):
    keep(store, Entry(session(), item(recorded_at=10.0)), Entry(session(), item("item_2", recorded_at=20.0)))
    assert store.purge(20.0) == 1
    assert [each.id for each in store.find("sess_1").items] == ["item_2"]
    assert store.purge(21.0) == 1
    assert store.find("sess_1") is None or store.find("sess_1").items == ()


def test_a_session_that_goes_on_after_its_end_was_erased_is_there_again(store):
    keep(store, Entry(session(), item()))
    assert store.delete(["sess_1", "sess_9"]) == ["sess_1"]
    keep(store, Entry(session(), item("item_2")))
    assert [each.id for each in store.find("sess_1").items] == ["item_2"]


def test_a_file_that_is_no_journal_is_refused(store):
    store.path.parent.mkdir()
    store.path.write_bytes(b"This is a letter, not a journal. " * 40)
    with pytest.raises(OperatorError, match=r"The journal .*journal\.db cannot be used: file is not a database"):
        store.check()
    store.path.unlink()
    store.path.mkdir()
    with pytest.raises(OperatorError, match="cannot be used"):
        store.check()


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="cannot be used"):
        Store(tmp_path / "file").check()


def test_a_newer_journal_is_refused(store):
    store.check()
    with closing(sqlite3.connect(store.path)) as database:
        database.execute("PRAGMA user_version = 2")
    with pytest.raises(OperatorError, match=r"made by a newer Hark \(its schema is 2\)"):
        store.check()
