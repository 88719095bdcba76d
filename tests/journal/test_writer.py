"""The thread that writes: many in one commit, in order, again after faults, and the days that are kept."""

import logging
import sqlite3
import time
from contextlib import closing
from functools import partial
from itertools import count

import pytest

from hark.errors import OperatorError
from hark.journal import writer
from hark.journal.records import Closed, Entry
from hark.journal.store import Store, put, transaction
from hark.journal.writer import DAY_S, Journal
from journalling import PATIENCE_S, begun, entries, item, session, write

NOW = 1_800_000_000.0


def until(true):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "kept")


@pytest.fixture
def begin(store):
    """Starts journals on the store, and stops them in the end."""
    started = []

    def beginning(**options):
        started.append(Journal(store, **options))
        started[-1].start()
        return started[-1]

    yield beginning
    for each in started:
        each.stop()


def kept(store, session_id="sess_1"):
    found = store.find(session_id)
    return [each.id for each in found.items] if found else []


class Lock:
    """Another program that writes to the file, and does not end."""

    def __init__(self, store):
        store.check()
        self._database = sqlite3.connect(store.path, isolation_level=None)

    def __enter__(self):
        self._database.execute("BEGIN IMMEDIATE")
        return self

    def release(self):
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")

    def __exit__(self, *fault):
        self.release()
        self._database.close()


def test_what_is_written_is_there_when_it_says_so(store, begin):
    journal = begin()
    for number in range(5):
        assert write(journal, Entry(session(), item(f"item_{number}"))) == [True]
        assert kept(store) == [f"item_{n}" for n in range(number + 1)]


def test_many_sessions_wait_for_a_few_commits(store, begin):
    journal = begin()
    with Lock(store) as lock:  # the first one waits, and all others for it
        written = []
        for number in range(300):
            journal.write(Entry(session(f"sess_{number}"), item()), written.append)
        lock.release()
    until(lambda: len(written) == 300)
    assert all(written)
    assert journal.figures.commits <= 3
    assert len(store.listed()) == 300


def test_notes_keep_their_place_before_what_is_waited_for(store, begin, monkeypatch):
    monkeypatch.setattr(writer, "NOTE_S", 3_600)
    journal = begin()
    journal.note(Entry(session(), begun()))
    journal.note(Entry(session(), begun("item_2")))
    assert write(journal, Entry(session(), item("item_2"))) == [True]
    assert [(each.id, each.transcript) for each in store.find("sess_1").items] == [
        ("item_1", None),
        ("item_2", "one two"),
    ]


def test_notes_are_written_by_themselves_and_at_the_end(store, begin, monkeypatch):
    monkeypatch.setattr(writer, "NOTE_S", 0.01)
    journal = begin()
    journal.note(Entry(session(), begun()))
    until(lambda: kept(store))
    monkeypatch.setattr(writer, "NOTE_S", 3_600)
    journal.note(Closed("sess_1", 7.0))
    journal.stop()
    assert store.find("sess_1").session.closed_at == 7.0


def test_two_processes_may_write_to_one_file(store, begin):
    one, two = begin(), begin()
    written = []
    for number in range(100):
        for name, journal in (("sess_1", one), ("sess_2", two)):
            journal.write(Entry(session(name), item(f"item_{number}")), written.append)
    until(lambda: len(written) == 200)
    assert all(written)
    assert kept(store, "sess_1") == kept(store, "sess_2") == [f"item_{n}" for n in range(100)]


# ---- faults --------------------------------------------------------------------------------------------------------


def test_a_locked_file_is_tried_again_and_told_of_once(store, begin, caplog):
    journal = begin()
    written = []
    with caplog.at_level(logging.WARNING, "hark.journal"), Lock(store) as lock:
        journal.write(Entry(session(), item()), written.append)
        until(lambda: "cannot be written: database is locked" in caplog.text)
        assert journal.behind_s > 0
        assert journal.figures.waiting == 1
        assert not written
        lock.release()
        until(lambda: written)
    assert written == [True]
    until(lambda: "is written again" in caplog.text)
    assert journal.figures.behind_s == 0
    assert caplog.text.count("cannot be written") == 1
    assert "one two" not in caplog.text


def test_what_was_given_up_is_not_written(store, begin):
    journal = begin()
    with Lock(store) as lock:
        journal.write(Entry(session(), item("item_1")), lambda well: None)
        until(lambda: journal.behind_s > 0)
        journal.give_up(journal.write(Entry(session(), item("item_2")), lambda well: pytest.fail("nobody waits")))
        lock.release()
    assert write(journal, Entry(session(), item("item_3"))) == [True]
    assert kept(store) == ["item_1", "item_3"]
    assert journal.figures.given_up == 1


def test_a_file_without_room_is_written_on_when_there_is_some(store, begin, monkeypatch):
    """SQLite's own limit of pages gives the very error of a full disk."""
    opened, most = Store.open, [20]

    def small(self):
        database = opened(self)
        database.execute(f"PRAGMA max_page_count = {most[0]}")
        return database

    monkeypatch.setattr(Store, "open", small)
    journal = begin()
    long = [Entry(session(), item(f"item_{n}", transcript="word " * 20_000)) for n in range(3)]
    written = []
    for entry in long:
        journal.write(entry, written.append)
    until(lambda: journal.behind_s > 0)
    assert not written
    most[0] = 10_000
    until(lambda: len(written) == 3)
    assert all(written)
    assert kept(store) == ["item_0", "item_1", "item_2"]


def test_a_file_that_is_replaced_by_rubbish_and_mended(store, begin):
    journal = begin()
    assert write(journal, Entry(session(), item("item_1"))) == [True]
    good = store.path.with_name("good")
    store.path.rename(good)
    store.path.write_bytes(b"rubbish " * 1_000)
    written = []
    journal.write(Entry(session(), item("item_2")), written.append)
    until(lambda: journal.figures.behind_s > 0)
    assert not written
    good.replace(store.path)
    until(lambda: written)
    assert written == [True]
    assert "item_2" in kept(store)


def test_a_file_that_is_deleted_is_made_anew(store, begin):
    journal = begin()
    assert write(journal, Entry(session(), item("item_1"))) == [True]
    for file in store.path.parent.iterdir():
        file.unlink()
    store.path.parent.rmdir()
    assert write(journal, Entry(session(), item("item_2"))) == [True]
    assert kept(store) == ["item_2"]


def test_a_record_that_cannot_be_written_fails_alone(store, begin):
    journal = begin()
    broken = Entry(session(), item("item_2", transcript="\ud800"))
    good = entries(2)
    assert write(journal, good[0], broken, good[1]) == [True, False, True]
    assert kept(store) == ["item_0", "item_1"]
    assert journal.figures.lost == 1


def test_more_than_can_wait_is_refused(store, begin, monkeypatch):
    monkeypatch.setattr(writer, "MAX_WAITING", 3)
    journal = begin()
    with Lock(store):
        answers = []
        for entry in entries(5):
            journal.write(entry, answers.append)
        assert answers == [False, False]


def test_who_stops_is_not_kept_by_a_fault(store):
    journal = Journal(store)
    journal.start()
    answers = []
    with Lock(store):
        journal.write(Entry(session(), item()), answers.append)
        journal.stop()
        assert answers == [False]
    journal.write(Entry(session(), item()), answers.append)
    assert answers == [False, False]


def test_a_folder_that_cannot_be_had_is_told_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    journal = Journal(Store(tmp_path / "file"))
    with pytest.raises(OperatorError, match="cannot be used"):
        journal.start()
    journal.stop()


# ---- days ----------------------------------------------------------------------------------------------------------


def fill(store, ages):
    """A session of an item for each of these ages in days."""
    with closing(store.open()) as database, transaction(database):
        for number, age in enumerate(ages):
            at = NOW - age * DAY_S
            put(database, Entry(session(f"sess_{number}", opened_at=at), item(recorded_at=at)))


def test_old_ones_are_deleted_at_the_start_and_what_comes_is_written_between(store, begin, monkeypatch):
    monkeypatch.setattr("hark.journal.store.STEP_ITEMS", 10)
    fill(store, [40] * 95 + [31, 29])
    journal = begin(keep_days=30, clock=lambda: NOW)
    assert write(journal, Entry(session("new", opened_at=NOW), item(recorded_at=NOW))) == [True]
    until(lambda: [each.session.id for each in store.listed()] == ["sess_96", "new"])
    until(lambda: journal.figures.expired == 96)


def test_they_are_deleted_as_time_goes_on(store, begin):
    fill(store, [10, 5])
    days = count()
    journal = begin(keep_days=12, clock=lambda: NOW + next(days) * DAY_S, sweep_s=0.001)
    until(lambda: not store.listed())
    until(lambda: journal.figures.expired == 2)


def test_without_days_all_is_kept(store, begin):
    fill(store, [4_000])
    journal = begin(clock=partial(pytest.fail, "nobody asks"))
    assert write(journal, Entry(session("new"), item())) == [True]
    assert len(store.listed()) == 2
