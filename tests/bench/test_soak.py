"""The soak, for a moment, which finds nothing; and its books, which find what is wrong when something is."""

import re
import subprocess
import sys

import pytest

from documents import ROOT
from hark.models.scripted import WORDS
from soak_accounts import Account
from soak_watch import Held, Reading, Trend, leaks, trends

SPOKEN = "conversation.item.input_audio_transcription."


def told():
    """Two turns in the GA dialect, as they should be, and an update."""
    events = [{"type": "session.created", "session": {"id": "sess_1"}}, {"type": "session.updated", "session": {}}]
    previous = None
    for number, item_id in enumerate(("item_1", "item_2")):
        start, end = 1_000 * number, 1_000 * number + 900
        events += [
            {"type": "input_audio_buffer.speech_started", "item_id": item_id, "audio_start_ms": start},
            {"type": SPOKEN + "delta", "item_id": item_id, "delta": "alpha"},
            {"type": "input_audio_buffer.speech_stopped", "item_id": item_id, "audio_end_ms": end},
            {"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": previous},
            {"type": "conversation.item.added", "item": {"id": item_id}},
            {"type": "conversation.item.done", "item": {"id": item_id}},
            {"type": SPOKEN + "delta", "item_id": item_id, "delta": " bravo"},
            {"type": SPOKEN + "completed", "item_id": item_id, "transcript": "alpha bravo", "start_ms": start,
             "end_ms": end},
        ]  # fmt: skip
        previous = item_id
    return [{"event_id": f"event_{number}", **event} for number, event in enumerate(events)]


TRANSCRIPT = {
    "complete": True,
    "items": [{"id": item_id, "status": "completed", "transcript": "alpha bravo"} for item_id in ("item_1", "item_2")],
}


def account(events, *, transcript=TRANSCRIPT, close=1000):
    """The faults that a client finds in what it was told."""
    kept = Account("a client")
    kept.connect()
    kept.ask("session.update", "mine_1", 0.0)
    kept.send(2_000)
    for event in events:
        kept.told(event, 1.0)
    kept.closed(close)
    kept.compare(transcript)
    return kept.faults


def without(number):
    return lambda events: events[:number] + events[number + 1 :]


def changed(number, **fields):
    return lambda events: [event | fields if index == number else event for index, event in enumerate(events)]


def with_more(**event):
    return lambda events: [*events, {"event_id": "event_more", **event}]


def test_what_is_as_it_should_be_is_no_fault():
    assert account(told()) == []


@pytest.mark.parametrize(
    "doctor, fault",
    [
        (without(9), "an item never ended, though the session did"),
        (without(8), "deltas are not the"),
        (without(1), "session.update was never answered"),
        (without(0), "a connection began with session.updated"),
        (without(6), "a committed item was never shown"),
        (lambda events: [*events, events[-1]], "came twice"),
        (with_more(type=SPOKEN + "completed", item_id="item_2", transcript="x"), "that was completed already"),
        (
            with_more(type=SPOKEN + "failed", item_id="item_3", error={"message": "Broken."}),
            "an item failed: None: Bro",
        ),
        (with_more(type="error", error={"type": "invalid_request_error", "message": "No."}), "nothing asked for"),
        (with_more(type="input_audio_buffer.committed", item_id="item_2"), "committed came twice"),
        (changed(13, previous_item_id=None), "an item follows None and not item_1"),
        (changed(17, end_ms=2_001), "an item lies at 1000 to 2001 of 2000 ms"),
        (changed(10, audio_start_ms=2_001), "speech started at 2001 ms"),
        (lambda events: [*events[:8], *events[10:], *events[8:10]], "while an earlier one has not ended"),
    ],
)
def test_what_is_lost_doubled_or_out_of_order_is_one(doctor, fault):
    assert any(fault in each for each in account(doctor(told())))


@pytest.mark.parametrize(
    "item, fault",
    [
        ({"status": "in_progress"}, "is in progress"),
        ({"status": "failed"}, "failed in the transcript and was told as completed"),
        ({"transcript": "alpha"}, "another one than was told"),
        ({"id": "item_9"}, "the transcript lacks an item"),
    ],
)
def test_a_transcript_that_says_something_else_is_one(item, fault):
    first, second = TRANSCRIPT["items"]
    assert any(fault in each for each in account(told(), transcript=TRANSCRIPT | {"items": [first, second | item]}))


def test_a_close_that_nobody_wanted_is_one():
    assert account(told(), close=1011) == ["session.close was followed by close code 1011"]


def test_who_comes_back_must_not_hear_anything_twice():
    events, kept = told(), Account("a client")
    kept.connect()
    kept.send(2_000)
    for event in events[:6]:
        kept.told(event, 1.0)
    kept.cut()
    kept.connect()
    resumed = {"audio_end_ms": 1_500, "events_missed": False}
    kept.told({**events[0], "event_id": "event_back", "resumed": resumed}, 2.0)
    assert (kept.faults, kept.sent_ms) == ([], 1_500)
    kept.told(events[5], 2.0)
    assert any("came twice" in fault for fault in kept.faults)


def test_slow_answers_are_noticed():
    kept = Account("a client", slow_s=5)
    for event in told()[:1]:
        kept.told(event, 0.0)
    kept.ask("input_audio_buffer.clear", "mine_1", 1.0)
    kept.told({"type": "input_audio_buffer.cleared", "event_id": "event_9"}, 6.1)
    assert kept.slow == ["the answer to input_audio_buffer.clear took 5.1 s"]


def reading(at=0.0, resident=100.0, handles=20, threads=9, engines=1, tasks=7.0):
    roles = {"server": Held(1, resident, resident, handles, threads), "engines": Held(engines, 300.0 * engines)}
    return Reading(at, roles, {"hark_tasks": tasks})


def test_what_is_left_over_is_named():
    assert leaks(reading(), reading(engines=3, resident=150.0), threads=0) == []
    worse = reading(handles=21, threads=12, tasks=8.0)
    worse.roles["zombies"] = Held(1)
    assert leaks(reading(), worse, threads=2) == [
        "server: 20 handles before and 21 after",
        "server: 9 threads before and 12 after",
        "zombies: 0 processes before and 1 after",
        "hark_tasks: 7 before and 8 after",
    ]


def test_memory_that_grows_is_not_flat():
    found = trends(
        [reading(at=float(minute), resident=400.0 + 3 * minute, engines=1 + minute // 6) for minute in range(12)]
    )
    assert found == {"engines, a process": Trend(300.0, 300.0), "server": Trend(404.5, 428.5)}
    assert [trend.flat for trend in found.values()] == [True, False]
    assert Trend(400.0, 419.0).flat


def test_a_moment_of_it_finds_nothing():
    command = [sys.executable, "benchmarks/soak.py", "--model", "scripted", "--minutes", "0.03"]
    command += ["--sessions", "6", "--resume-seconds", "1", "--slow-seconds", "60"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    lives, items = re.search(r"([\d,]+) lives, ([\d,]+) items, all accounted for", run.stdout.splitlines()[-1]).groups()
    assert int(lives) >= 12
    assert int(items) >= 6
    assert not set(WORDS) & set(re.findall(r"\w+", run.stdout)), "what was said is nobody's business"
