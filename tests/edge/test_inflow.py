"""A client that sends too many messages waits and loses nothing, others do not feel it; and one that sends none at all
is sent home."""

import asyncio
import json
import threading
import time

import pytest

from calling import Caller
from hark.core.messages import AppendAudio, CommitAudio
from hark.edge import inflow
from hark.edge.inflow import MOST, OTHER, PER_S, PIECE_BYTES, Quota
from serving import COMPLETED, PATIENCE_S, base64, speech

APPEND, COMMIT = AppendAudio(audio=b""), CommitAudio()
IDLE_S = 0.6


# ---- the quota


def test_audio_in_the_smallest_usual_chunks_waits_for_nothing():
    quota = Quota(0.0)
    for number in range(100_000):  # of 10 ms, and four times as fast as one speaks
        quota.fill(number / 400)
        quota.spend("x" * 700, APPEND)
        assert quota.wait_s == 0


def test_a_second_brings_so_much_and_no_more_than_the_most_is_saved():
    quota = Quota(0.0)
    for _ in range(MOST // OTHER):
        quota.spend("{}", COMMIT)
    assert quota.wait_s == 0
    quota.spend("{}", COMMIT)
    assert quota.wait_s == pytest.approx((OTHER + inflow.ENOUGH) / PER_S)
    quota.fill(quota.wait_s)
    assert quota.wait_s == 0
    quota.fill(1_000.0)
    quota.spend("x" * PIECE_BYTES * (MOST - OTHER))
    assert quota.wait_s == 0
    quota.spend("", APPEND)
    assert quota.wait_s > 0, "what was not sent in an hour is not saved up"


# ---- over the wire


@pytest.fixture
def scarce(monkeypatch):
    """100 messages a second, and 100 at once."""
    monkeypatch.setattr(inflow, "MOST", 2_000)


def flood(wire, texts):
    thread = threading.Thread(target=lambda: [wire.socket.send(text) for text in texts])
    thread.start()
    return thread


@pytest.mark.parametrize("event_log", [False, True])
def test_a_flood_of_messages_is_answered_to_the_last_and_others_do_not_feel_it(serve, scarce, tmp_path, event_log):
    server = serve(event_log=tmp_path) if event_log else serve()
    with server.session() as loud, server.session() as calm:
        began = time.monotonic()
        sending = flood(loud, ['{"type": "input_audio_buffer.clear"}'] * 300)
        assert calm.hear("alpha", "bravo") == "alpha bravo"
        assert [loud.receive()["type"] for _ in range(300)] == ["input_audio_buffer.cleared"] * 300
        sending.join()
        assert loud.hear("charlie") == "charlie"
        assert time.monotonic() - began > 1.9, "those past the hundredth take 2 s"


def test_tiny_appends_make_the_same_transcript(server, scarce):
    audio = speech("alpha", "juliett", "bravo", pause_s=1)
    tiny = [
        json.dumps({"type": "input_audio_buffer.append", "audio": base64(audio[at : at + 10])})
        for at in range(0, len(audio), 10)
    ]
    with server.session() as wire:
        began = time.monotonic()
        sending = flood(wire, tiny)
        assert wire.until(COMPLETED)[-1]["transcript"] == "alpha juliett bravo"
        sending.join()
        for _ in range(2):  # the first may be read together with the last appends
            assert wire.ask("input_audio_buffer.clear")["type"] == "input_audio_buffer.cleared"
        assert time.monotonic() - began > 0.9 * (len(tiny) - 2_000) / PER_S


def test_a_turn_is_not_ended_because_its_client_has_to_wait(server, monkeypatch):
    monkeypatch.setattr(inflow, "MOST", 0)
    monkeypatch.setattr(inflow, "OTHER", 4 * PER_S)  # each message costs 4 s
    audio = speech("alpha", "juliett", "bravo", pause_s=1)
    with server.session() as wire:
        wire.append(audio[:20_000])
        wire.until("input_audio_buffer.speech_started")
        wire.send("input_audio_buffer.commit_nothing")
        wire.append(audio[20_000:])
        assert wire.until(COMPLETED)[-1]["transcript"] == "alpha juliett bravo"


# ---- silence


def check_sent_home(events, code, reason):
    assert events[-1]["error"]["code"] == "session_idle"
    assert "sent nothing for 0.01 minutes" in events[-1]["error"]["message"]
    assert (code, reason) == (1001, "session_idle")


@pytest.mark.parametrize("event_log", [False, True])
def test_who_sends_nothing_is_sent_home_and_told_what_was_heard(serve, tmp_path, dialect, event_log):
    options = {"event_log": tmp_path} if event_log else {}
    server = serve(max_idle_minutes=IDLE_S / 60, **options)
    with server.session(dialect) as wire:
        wire.append(speech("alpha", "bravo", pause_s=0))
        events, code, reason = wire.ending()
        assert [event["transcript"] for event in events if event["type"] == COMPLETED] == ["alpha bravo"]
        check_sent_home(events, code, reason)


@pytest.mark.parametrize("message", ["append", "clear"])
def test_who_sends_anything_may_stay(serve, message):
    with serve(max_idle_minutes=IDLE_S / 60).session() as wire:
        deadline = time.monotonic() + 3 * IDLE_S
        while time.monotonic() < deadline:
            if message == "append":
                wire.append(bytes(2))
            else:
                wire.send("input_audio_buffer.clear")
                assert wire.receive()["type"] == "input_audio_buffer.cleared"
            time.sleep(IDLE_S / 20)
        check_sent_home(*wire.ending())


def test_who_is_kept_waiting_is_not_idle(serve, monkeypatch):
    monkeypatch.setattr(inflow, "MOST", 0)
    monkeypatch.setattr(inflow, "OTHER", round(2 * IDLE_S * PER_S))
    with serve(max_idle_minutes=IDLE_S / 60).session() as wire:
        for _ in range(2):
            wire.send("input_audio_buffer.clear")
        assert [wire.receive()["type"] for _ in range(2)] == ["input_audio_buffer.cleared"] * 2


def test_a_call_in_which_nothing_comes_ends_too(serve):
    server = serve(max_idle_minutes=IDLE_S / 60)

    async def scenario():
        async with Caller(server.url, audio=False) as caller, asyncio.timeout(PATIENCE_S):
            await caller.call()
            events = await caller.until("error")
            assert events[-1]["error"]["code"] == "session_idle"

    asyncio.run(scenario())
