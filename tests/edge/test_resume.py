"""A client that loses its WebSocket comes back and goes on: the same items, the same clock, nothing lost or doubled."""

import time

import httpx
import pytest

from hark.auth.keys import create_key
from hark.edge import lives
from serving import BETA, COMPLETED, PATIENCE_S, speech

DELTA = "conversation.item.input_audio_transcription.delta"
STARTED = "input_audio_buffer.speech_started"
SAID = speech("alpha", "bravo", "charlie", "delta", pause_s=0.8)
BYTES_A_MS = 48


def cut(wire):
    """The connection is gone, without a word."""
    wire.socket.socket.close()


def shown(server, session_id, **query):
    return httpx.get(f"{server.url}/v1/realtime/sessions/{session_id}/transcript", params=query)


def status(server, session_id, wanted):
    patient_until = time.monotonic() + PATIENCE_S
    while (body := shown(server, session_id).json())["status"] != wanted and time.monotonic() < patient_until:
        time.sleep(0.01)
    return body


def again(server, session_id, after=None, dialect="ga", **headers):
    query = f"?intent=transcription&resume={session_id}" + (f"&after={after}" if after else "")
    return server.socket(f"/v1/realtime{query}", additional_headers=headers | (BETA if dialect == "beta" else {}))


def alike(events):
    """What of them does not depend on chance: not the ids, nor how a transcript was shared out into deltas."""
    told = [event for event in events if event["type"] != STARTED and not event["type"].endswith("delta")]
    return [
        {name: value for name, value in event.items() if name not in ("event_id", "item_id", "item")} for event in told
    ]


def test_a_turn_goes_on_where_it_was_cut(serve, dialect):
    server = serve()
    with server.session(dialect) as wire:
        session_id = wire.created["session"]["id"]
        wire.append(SAID[: 500 * BYTES_A_MS])
        (started,) = wire.until(STARTED)
        cut(wire)
    assert status(server, session_id, "away")["items"][0]["id"] == started["item_id"]
    with again(server, session_id, started["event_id"], dialect) as wire:
        greeting = wire.receive()
        assert greeting["type"].endswith("session.created")
        assert greeting["session"]["id"] == session_id
        assert greeting["resumed"] == {"audio_end_ms": 500, "events_missed": False}
        wire.append(SAID[500 * BYTES_A_MS :])
        events = wire.until(COMPLETED)
        wire.send("session.close")
        wire.ending()
    assert events[-1]["item_id"] == started["item_id"]
    assert events[-1]["transcript"] == "alpha bravo charlie delta"
    with server.session(dialect) as wire:  # the same without a cut
        wire.append(SAID)
        undisturbed = wire.until(COMPLETED)
    assert alike(events) == alike(undisturbed)


def test_events_that_were_missed_are_told_once(serve):
    server = serve()
    with server.session() as wire:
        session_id = wire.created["session"]["id"]
        wire.append(SAID[: 100 * BYTES_A_MS])
        wire.append(SAID[100 * BYTES_A_MS :])
        cut(wire)  # before anything could be read
    body = status(server, session_id, "away")
    while not body["items"] or body["items"][0]["status"] != "completed":
        body = shown(server, session_id).json()
    assert body["text"] == "alpha bravo charlie delta"
    with again(server, session_id, wire.created["event_id"]) as wire:
        assert wire.receive()["resumed"]["events_missed"] is False
        events = wire.until(COMPLETED)
        assert [e["type"] for e in events].count(STARTED) == 1
        assert events[-1]["transcript"] == body["text"]
        last = events[-1]["event_id"]
        cut(wire)
    with again(server, session_id, last) as wire:
        wire.receive()
        assert wire.ask("input_audio_buffer.clear")["type"] == "input_audio_buffer.cleared", "nothing is told twice"


def test_who_is_cut_off_behind_the_greeting_has_still_missed_the_rest(serve):
    server = serve()
    with server.session() as wire:
        session_id = wire.created["session"]["id"]
        wire.append(SAID)
        cut(wire)
    while not (body := shown(server, session_id).json())["text"]:
        assert body["items"][-1:] == [] or body["items"][-1]["status"] == "in_progress"
    seen = wire.created["event_id"]
    for _ in range(2):
        with again(server, session_id, seen) as wire:
            seen = wire.receive()["event_id"]
            cut(wire)
    with again(server, session_id, seen) as wire:
        assert wire.receive()["resumed"]["events_missed"] is False
        events = wire.until(COMPLETED)
    assert [event["type"] for event in events].count(STARTED) == 1
    assert "".join(event["delta"] for event in events if event["type"].endswith("delta")) == body["text"]


def test_what_was_cleared_before_it_was_an_item_is_in_no_transcript(serve):
    server = serve()
    with server.session() as wire:
        wire.ask("session.update", session={"type": "transcription", "audio": {"input": {"turn_detection": None}}})
        for _ in range(4):  # which is long enough for partial hypotheses
            wire.append(SAID[: 850 * BYTES_A_MS])
        event = wire.until(DELTA)[-1]
        body = shown(server, wire.created["session"]["id"]).json()
        assert [item["id"] for item in body["items"]] == [event["item_id"]]
        wire.send("input_audio_buffer.clear")
        wire.until("input_audio_buffer.cleared")
        assert shown(server, wire.created["session"]["id"]).json()["items"] == []


def test_the_greeting_counts_as_the_last_event_too(serve):
    server = serve()
    with server.session() as wire:
        session_id = wire.created["session"]["id"]
        cut(wire)
    with again(server, session_id, wire.created["event_id"]) as wire:
        greeting = wire.receive()
        cut(wire)
    with again(server, session_id, greeting["event_id"]) as wire:
        assert wire.receive()["resumed"] == {"audio_end_ms": 0, "events_missed": False}


@pytest.mark.parametrize("after", [None, "event_00000000000000000000"])
def test_who_does_not_know_what_was_seen_last_is_told_that_something_may_be_missing(serve, after):
    server = serve()
    with server.session() as wire:
        session_id = wire.created["session"]["id"]
        cut(wire)
    with again(server, session_id, after) as wire:
        assert wire.receive()["resumed"]["events_missed"] is True


def test_the_newest_connection_counts(serve):
    server = serve()
    with server.session() as old:
        session_id = old.created["session"]["id"]
        old.append(SAID[: 400 * BYTES_A_MS])
        (started,) = old.until(STARTED)
        with again(server, session_id, started["event_id"]) as new:
            assert new.receive()["resumed"]["audio_end_ms"] == 400
            events, code, reason = old.ending()
            assert ([e for e in events if e["type"] != STARTED], code, reason) == ([], 4000, "session_resumed")
            new.append(SAID[400 * BYTES_A_MS :])
            assert new.until(COMPLETED)[-1]["transcript"] == "alpha bravo charlie delta"


def test_a_connection_that_is_still_there_takes_no_place_from_the_one_that_follows_it(serve, tmp_path):
    key = create_key(tmp_path, "phone", time.time(), max_sessions=1)
    server, headers = serve(data_dir=tmp_path), {"authorization": f"Bearer {key}"}
    with server.socket(additional_headers=headers) as old:
        created = old.receive()
        with again(server, created["session"]["id"], **headers) as new:
            assert new.receive()["type"] == "session.created"
            assert old.ending()[1:] == (4000, "session_resumed")
            with again(server, created["session"]["id"], **headers) as newest:
                assert newest.receive()["type"] == "session.created"
                assert new.ending()[1:] == (4000, "session_resumed")


def test_one_that_does_not_come_back_is_finished_and_kept(serve):
    server = serve(resume_seconds=1)
    with server.session() as wire:
        session_id = wire.created["session"]["id"]
        wire.append(SAID[: 700 * BYTES_A_MS])
        wire.until(STARTED)
        cut(wire)
    body = status(server, session_id, "ended")
    (item,) = body["items"]
    assert (item["status"], item["transcript"].split()[:2]) == ("completed", ["alpha", "bravo"])
    assert (item["start_ms"], item["end_ms"]) == (0, 700)
    with again(server, session_id) as wire:
        (event,), code, _ = wire.ending()
        assert (event["error"]["code"], event["error"]["param"], code) == ("session_not_found", "resume", 4000)
    patient_until = time.monotonic() + PATIENCE_S
    while shown(server, session_id).status_code == 200 and time.monotonic() < patient_until:
        time.sleep(0.02)
    refused = shown(server, session_id)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "session_not_found")


def test_a_goodbye_is_one(serve):
    server = serve()
    with server.session() as wire:
        session_id = wire.created["session"]["id"]
        wire.append(SAID[: 700 * BYTES_A_MS])
        wire.until(STARTED)
    body = status(server, session_id, "ended")
    assert [item["status"] for item in body["items"]] == ["completed"]


def test_a_session_is_its_keys_own(serve, tmp_path):
    mine, other = (create_key(tmp_path, name, time.time()) for name in ("mine", "other"))
    server = serve(data_dir=tmp_path)
    with server.socket(additional_headers={"authorization": f"Bearer {mine}"}) as wire:
        session_id = wire.receive()["session"]["id"]
        cut(wire)
    url = f"{server.url}/v1/realtime/sessions/{session_id}/transcript"
    for key, answer, close in ((None, 401, 3000), (other, 404, 4000)):
        headers = {"authorization": f"Bearer {key}"} if key else {}
        assert httpx.get(url, headers=headers).status_code == answer
        with again(server, session_id, **headers) as wire:
            assert wire.ending()[1] == close
    headers = {"authorization": f"Bearer {mine}"}
    assert httpx.get(url, headers=headers).status_code == 200
    with again(server, session_id, **headers) as wire:
        assert wire.receive()["session"]["id"] == session_id


def test_an_event_log_between_changes_nothing(serve, tmp_path):
    server = serve(event_log=str(tmp_path))
    with server.session() as wire:
        session_id = wire.created["session"]["id"]
        wire.append(SAID[: 500 * BYTES_A_MS])
        (started,) = wire.until(STARTED)
        cut(wire)
    status(server, session_id, "away")
    with again(server, session_id, started["event_id"]) as wire:
        assert wire.receive()["resumed"] == {"audio_end_ms": 500, "events_missed": False}
        wire.append(SAID[500 * BYTES_A_MS :])
        assert wire.until(COMPLETED)[-1]["transcript"] == "alpha bravo charlie delta"


def test_forms_of_a_transcript(serve):
    server = serve()
    with server.session() as wire:
        session_id = wire.created["session"]["id"]
        assert wire.hear("alpha", "bravo") == "alpha bravo"
        answered = {form: shown(server, session_id, response_format=form) for form in ("json", "text", "srt", "vtt")}
        assert answered["text"].text == "alpha bravo\n"
        assert answered["srt"].text.startswith("1\n00:00:00,000 --> ")
        assert answered["vtt"].text.startswith("WEBVTT\n")
        body = answered["json"].json()
        assert (body["id"], body["status"], body["complete"]) == (session_id, "open", True)
        assert all(answer.headers["cache-control"] == "no-store" for answer in answered.values())
        refused = shown(server, session_id, response_format="pdf")
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "response_format")


def test_without_patience_nothing_is_kept(serve):
    server = serve(resume_seconds=0)
    with server.session() as wire:
        session_id = wire.created["session"]["id"]
        assert shown(server, session_id).status_code == 404
        with again(server, session_id) as other:
            assert other.ending()[1] == 4000
        assert wire.hear("alpha") == "alpha"
        cut(wire)
    with again(server, session_id) as wire:
        (event,), code, _ = wire.ending()
        assert (event["error"]["code"], code) == ("session_not_found", 4000)


def lost(server):
    """The id of a session that waits for its client."""
    with server.session() as wire:
        session_id = wire.created["session"]["id"]
        cut(wire)
    assert status(server, session_id, "away")["status"] == "away"
    return session_id


def test_sessions_that_are_connected_take_no_place_of_those_that_wait(serve, monkeypatch):
    monkeypatch.setattr(lives, "MAX_AWAY", 3)
    server = serve(resume_seconds=601)
    waiting = [lost(server), lost(server)]
    with server.session(), server.session() as last:
        assert last.hear("alpha") == "alpha"
        assert [shown(server, each).json()["status"] for each in waiting] == ["away", "away"]


def test_past_the_bound_the_one_that_has_waited_longest_is_finished(serve, monkeypatch):
    monkeypatch.setattr(lives, "MAX_AWAY", 1)
    server = serve(resume_seconds=602)
    with server.session() as eldest:
        eldest_id = eldest.created["session"]["id"]
        earlier = lost(server)
        cut(eldest)
    assert status(server, earlier, "ended")["status"] == "ended"
    assert shown(server, eldest_id).json()["status"] == "away"
