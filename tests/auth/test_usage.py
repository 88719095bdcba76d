"""A key's hour: what counts, when it is free again, and that the store keeps it."""

import sqlite3
import threading
from pathlib import Path

import pytest

from hark.auth.keys import create_key
from hark.auth.places import store_at
from hark.auth.store import FILE, Store
from hark.auth.usage import MINUTE_SAMPLES, Account, hour, total
from hark.core.work import SAMPLE_RATE
from hark.errors import CallerError, RateLimitError
from redises import names

NOON = 1_795_000_000 // 60 * 60  # the beginning of a minute
MINUTE = NOON // 60


def account(minutes, stored=()):
    made = Account(minutes)
    made.learn(dict(stored), {})
    return made


def refused(run):
    with pytest.raises(RateLimitError) as caught:
        run()
    return caught.value


# ---- the hour


def test_the_hour_is_this_minute_and_the_59_before():
    buckets = {MINUTE - 60: 1, MINUTE - 59: 10, MINUTE: 100, MINUTE + 1: 1_000, MINUTE + 2: 10_000}
    assert hour(NOON + 59.9) == (MINUTE - 59, MINUTE + 1)
    assert total(buckets, NOON) == total(buckets, NOON + 59.9) == 1_110
    assert total(buckets, NOON + 60) == 11_100


def test_audio_in_real_time_uses_no_more_than_60_minutes_of_60():
    used = account(60)
    for second in range(3 * 3_600):
        used.add(SAMPLE_RATE, NOON + second)
        assert used.overdrawn(NOON + second) is None


def test_what_is_used_up_is_free_an_hour_after_its_minute():
    used = account(2)
    used.add(MINUTE_SAMPLES, NOON + 30)
    used.check(NOON + 30)
    used.add(MINUTE_SAMPLES, NOON + 90)
    assert used.overdrawn(NOON + 90) is None, "just as much as may be"
    error = refused(lambda: used.check(NOON + 90.5))
    assert (error.code, error.type, error.retry_after_s) == ("rate_limit_exceeded", "rate_limit_error", 3_510)
    assert error.message == (
        "Rate limit reached for audio: this API key may send 2 minutes an hour, and has sent 2.0. "
        "Please try again in 3510s, at 2026-11-18 12:06:00 UTC."
    )
    refused(lambda: used.check(NOON + 90.5 + 3_509))
    used.check(NOON + 90.5 + 3_510)
    used.add(1, NOON + 3_600)
    assert used.overdrawn(NOON + 3_600) is None


def test_past_the_limit_it_takes_as_long_as_it_takes():
    used = account(1, {MINUTE - 50: MINUTE_SAMPLES, MINUTE - 20: 3 * MINUTE_SAMPLES, MINUTE: 1})
    assert refused(lambda: used.check(NOON)).retry_after_s == 40 * 60
    assert used.overdrawn(NOON).retry_after_s == 40 * 60


def test_a_file_waits_for_as_much_as_it_holds():
    used = account(10, {MINUTE - 50: 2 * MINUTE_SAMPLES, MINUTE - 20: 3 * MINUTE_SAMPLES})
    used.expect(5 * MINUTE_SAMPLES, NOON)
    assert refused(lambda: used.expect(6 * MINUTE_SAMPLES, NOON)).retry_after_s == 10 * 60
    assert refused(lambda: used.expect(10 * MINUTE_SAMPLES, NOON)).retry_after_s == 40 * 60
    with pytest.raises(CallerError, match=r"at most 10 minutes .* the file has 10\.5") as caught:
        used.expect(10 * MINUTE_SAMPLES + MINUTE_SAMPLES // 2, NOON)
    assert (caught.value.code, caught.value.status) == ("audio_too_long", 400), "nothing that a retry could mend"


def test_without_a_limit_all_is_counted_and_nothing_refused():
    used = account(None)
    used.add(10**9, NOON)
    used.check(NOON)
    used.expect(10**9, NOON)
    assert used.overdrawn(NOON) is None
    assert used.unsaved == {MINUTE: 10**9}


def test_what_is_saved_is_counted_once():
    used = account(1)
    used.add(SAMPLE_RATE, NOON)
    saved = dict(used.unsaved)
    used.add(5 * SAMPLE_RATE, NOON)  # while it is written
    used.learn({MINUTE: SAMPLE_RATE + 53 * SAMPLE_RATE}, saved)  # and another process wrote too
    assert used.unsaved == {MINUTE: 5 * SAMPLE_RATE}
    used.add(SAMPLE_RATE, NOON)
    assert used.overdrawn(NOON) is None
    used.add(1, NOON)
    assert used.overdrawn(NOON) is not None


# ---- the store


def rows(place):
    """Which key's minutes are kept."""
    if isinstance(place, Path):
        return Store(place)._ask("SELECT key_id, minute FROM audio ORDER BY 1, 2")
    totals = sorted(name for name in names(place) if name.startswith("hark:audio:") and name.count(":") == 2)
    return [(name.split(":")[2], int(minute)) for name in totals for minute in sorted(place.ask("HKEYS", name))]


def test_the_store_adds_up_and_forgets_after_an_hour(place):
    store = store_at(place)
    assert store.audio(NOON, ["a"]) == {"a": {}}
    assert names(place) == []
    store.add_audio({("a", MINUTE): 10, ("a", MINUTE - 1): 1, ("b", MINUTE): 5}, NOON)
    store_at(place).add_audio({("a", MINUTE): 10}, NOON)
    assert store.audio(NOON, ["a", "b", "c"]) == {"a": {MINUTE: 20, MINUTE - 1: 1}, "b": {MINUTE: 5}, "c": {}}
    assert store.audio(NOON + 59 * 60, ["a"]) == {"a": {MINUTE: 20}}
    store.add_audio({("a", MINUTE + 60): 1, ("b", MINUTE + 60): 1}, NOON + 3_600)
    assert rows(place) == [("a", MINUTE + 60), ("b", MINUTE + 60)]


def test_a_clock_that_was_wrong_for_a_while_blocks_nobody(place):
    store = store_at(place)
    store.add_audio({("a", MINUTE + 500_000): 10}, NOON + 500_000 * 60)
    assert store.audio(NOON, ["a"]) == {"a": {}}
    store.add_audio({("a", MINUTE): 1}, NOON)
    assert rows(place) == [("a", MINUTE)]


def test_many_writers_lose_nothing(place):
    writers = [
        threading.Thread(target=lambda: [store_at(place).add_audio({("a", MINUTE): 1}, NOON) for _ in range(25)])
        for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert store_at(place).audio(NOON, ["a"]) == {"a": {MINUTE: 100}}


def test_a_store_from_before_there_were_minutes_is_brought_up_to_date(tmp_path):
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute(
            "CREATE TABLE keys (id TEXT PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, created_at INTEGER "
            "NOT NULL, expires_at INTEGER, revoked_at INTEGER, origins TEXT NOT NULL, max_sessions INTEGER) STRICT"
        )
        database.execute("INSERT INTO keys VALUES ('00', 'old', x'00', 1, NULL, NULL, '[]', 3)")
    database.close()
    create_key(tmp_path, "new", NOON, audio_minutes_per_hour=7)
    kept = [(key.name, key.max_sessions, key.audio_minutes_per_hour) for key in Store(tmp_path).all()]
    assert kept == [("old", 3, None), ("new", None, 7)]


def test_to_look_gives_up_no_lock_of_the_process(tmp_path):
    # To close a descriptor of a database that SQLite did not open ends the locks of all its connections (POSIX).
    create_key(tmp_path, "phone", NOON)
    opened = []
    store = Store(tmp_path)
    store._create()
    for call in ("open", "close"):
        real = getattr(__import__("os"), call)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"hark.auth.store.os.{call}", lambda *given, real=real: opened.append(given) or real(*given))
            assert store.has_keys()
    assert opened == []


# ---- files that are being heard


def test_what_one_file_will_take_no_other_may_have():
    used = account(10)
    used.expect(6 * MINUTE_SAMPLES, NOON)
    used.reserved += 6 * MINUTE_SAMPLES
    error = refused(lambda: used.expect(5 * MINUTE_SAMPLES, NOON))
    assert (error.code, error.retry_after_s) == ("rate_limit_exceeded", 5)
    assert "other files that it is sending take 6.0" in error.message
    used.expect(4 * MINUTE_SAMPLES, NOON)
    used.check(NOON)
    used.add(5 * MINUTE_SAMPLES, NOON)
    used.reserved -= 5 * MINUTE_SAMPLES
    used.expect(4 * MINUTE_SAMPLES, NOON)
    assert "has sent 5.0" in refused(lambda: used.expect(6 * MINUTE_SAMPLES, NOON)).message
