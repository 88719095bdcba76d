"""The journal at work in a server: a transcript is on disk before its client has it, or it is not sent."""

import asyncio
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from unittest.mock import Mock

import httpx
import numpy as np
import pytest

import hark.edge.journal as recorder
from calling import RATE, Caller
from hark.app import journal_of
from hark.auth.keys import create_key
from hark.core.messages import SpeakerSegment
from hark.edge import records
from hark.errors import ModelError, OperatorError
from hark.journal.records import Entry
from hark.journal.store import Store, put, transaction
from hark.models.scripted import ScriptedEngine
from journalling import item, session
from serving import COMPLETED, PATIENCE_S, Server, settings, speech
from uploading import SAID, post

FAILED = "conversation.item.input_audio_transcription.failed"
COMMITTED = "input_audio_buffer.committed"
MANUAL = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "kept")


@pytest.fixture
def journalled(store, tmp_path):
    """Starts servers that write to the store."""
    servers = []

    def starting(**options):
        servers.append(Server(**{"journal": store.path.parent, "data_dir": tmp_path / "data"} | options))
        return servers[-1]

    yield starting
    for server in servers:
        server.stop()


@contextmanager
def locked(store):
    """Another program writes to the file, and does not end."""
    database = sqlite3.connect(store.path, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        database.execute("ROLLBACK")
        database.close()


def until(true):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def told(store, session_id):
    return [(each.transcript, each.failure) for each in store.find(session_id).items]


def test_a_transcript_is_there_when_its_client_has_it(journalled, store):
    began = time.time()
    with journalled().session() as wire:
        session_id = wire.created["session"]["id"]
        for words in (["alpha", "bravo"], ["charlie"], ["delta", "echo"]):
            wire.append(speech(*words, pause_s=1))
            completed = wire.until(COMPLETED)[-1]
            item = store.find(session_id).items[-1]
            assert (
                (item.id, item.transcript)
                == (completed["item_id"], completed["transcript"])
                == (item.id, " ".join(words))
            )
            assert (item.audio_start_ms, item.audio_end_ms) == (completed["start_ms"], completed["end_ms"])
            assert [[w.text, w.start_ms, w.end_ms] for w in item.words] == [[*w.values()] for w in completed["words"]]
            assert began <= item.started_at <= item.ended_at <= item.recorded_at <= time.time()
    found = store.find(session_id)
    assert [each.previous_id for each in found.items] == [None, *(each.id for each in found.items[:-1])]
    assert (found.session.transport, found.session.key_id, found.session.key_name) == ("websocket", "", "anonymous")
    until(lambda: (store.find(session_id).session.closed_at or 0) > began)


def test_a_session_that_is_not_in_memory_any_more_is_read_from_the_journal(journalled, store):
    server = journalled(resume_seconds=0)
    with server.session() as wire:
        session_id = wire.created["session"]["id"]
        wire.hear("alpha", "bravo")
        url = f"{server.url}/v1/realtime/sessions/{session_id}/transcript"
        body = httpx.get(url).json()
        assert (body["status"], body["text"], body["complete"]) == ("open", "alpha bravo", True)
        assert body["items"][0] | {"id": ""} == {
            "id": "", "status": "completed", "transcript": "alpha bravo", "start_ms": 0, "end_ms": 648,
        }  # fmt: skip
        assert httpx.get(url, params={"response_format": "text"}).text == "alpha bravo\n"
    until(lambda: httpx.get(url).json()["status"] == "ended")
    assert httpx.get(url.replace(session_id, "sess_none")).status_code == 404


def test_what_memory_has_not_whole_the_journal_has_while_the_session_goes_on(journalled, monkeypatch):
    monkeypatch.setattr(records, "MAX_ITEMS", 1)
    server = journalled()
    with server.session() as wire:
        url = f"{server.url}/v1/realtime/sessions/{wire.created['session']['id']}/transcript"
        assert (wire.hear("alpha"), wire.hear("bravo")) == ("alpha", "bravo")
        body = httpx.get(url).json()
        assert (body["status"], body["text"], body["complete"]) == ("open", "alpha bravo", True)


def test_whose_it_was_is_written_and_never_the_key(journalled, store, tmp_path):
    server = journalled()
    key = create_key(tmp_path / "data", "phone", time.time())
    bearer = {"Authorization": f"Bearer {key}"}
    with server.socket("/v1/realtime?intent=transcription&model=whisper-1", additional_headers=bearer) as wire:
        session_id = wire.receive()["session"]["id"]
        wire.hear("alpha")
    found = store.find(session_id)
    assert (found.session.key_name, found.session.model, found.items[0].model) == ("phone", None, "whisper-1")
    assert store.find(session_id, found.session.key_id) == found
    assert len(found.session.key_id) == 16
    assert all(key.encode() not in file.read_bytes() for file in store.path.parent.iterdir())


def test_an_upload_is_a_session(journalled, store):
    answer = post(journalled())
    assert answer.json()["text"] == SAID
    (listed,) = store.listed()
    assert (listed.session.transport, listed.items, listed.missing) == ("upload", 2, 0)
    assert " ".join(each.transcript for each in store.find(listed.session.id).items) == SAID


def test_a_call_is_a_session(journalled, store):
    server = journalled()

    async def call():
        async with asyncio.timeout(60), Caller(server.url) as caller:
            tone = 0.3 * np.sin(np.arange(RATE // 2) * 2 * np.pi * 300 / RATE)
            caller.voice.say(np.concatenate([np.zeros(RATE // 4), tone]).astype(np.float32))
            await caller.call()
            return (await caller.until(COMPLETED))[-1], caller.location.rpartition("/")[2]

    completed, call_id = asyncio.run(call())
    (listed,) = store.listed()
    assert (listed.session.transport, listed.session.call_id) == ("webrtc", call_id)
    assert told(store, listed.session.id) == [(completed["transcript"], None)]


def test_speakers_are_written(journalled, store):
    server = journalled(speaker_model="scripted-speakers")
    fields = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json", "chunking_strategy": "auto"}
    answer = post(server, *fields.items())
    segments = answer.json()["segments"]
    (listed,) = store.listed()
    kept = [part for item in store.find(listed.session.id).items for part in item.segments]
    assert all(isinstance(part, SpeakerSegment) for part in kept)
    assert [(part.speaker, part.text.strip()) for part in kept] == [(s["speaker"], s["text"].strip()) for s in segments]


@pytest.mark.here
def test_what_failed_says_why(journalled, store, monkeypatch):
    def fail(self, batch):
        raise ModelError("No.", code="model_not_found")

    with journalled().session() as wire:
        monkeypatch.setattr(ScriptedEngine, "transcribe", fail)
        wire.append(speech("alpha", pause_s=1))
        failed = wire.until(FAILED)[-1]
        monkeypatch.undo()
        assert wire.hear("bravo") == "bravo"
        session_id = wire.created["session"]["id"]
    found = store.find(session_id)
    assert told(store, session_id) == [(None, failed["error"].get("code", "server_error")), ("bravo", None)]
    assert [each.previous_id for each in found.items] == [None, failed["item_id"]]


def test_what_the_client_deletes_of_the_conversation_stays_on_record(journalled, store):
    with journalled().session() as wire:
        wire.append(speech("alpha", pause_s=1))
        item_id = wire.until(COMPLETED)[-1]["item_id"]
        assert wire.ask("conversation.item.delete", item_id=item_id)["type"] == "conversation.item.deleted"
        wire.hear("bravo")
        assert told(store, wire.created["session"]["id"]) == [("alpha", None), ("bravo", None)]


@pytest.mark.here
def test_what_is_open_when_the_client_goes_is_on_record_without_a_transcript(journalled, store, monkeypatch):
    monkeypatch.setattr(ScriptedEngine, "transcribe", lambda self, batch: time.sleep(0.5) or [None])
    with journalled().session() as wire:
        session_id = wire.created["session"]["id"]
        wire.send("session.update", session=MANUAL)
        wire.append(speech("alpha"))
        wire.send("input_audio_buffer.commit")
        wire.until(COMMITTED)
    until(lambda: store.find(session_id) and store.find(session_id).session.closed_at)
    assert told(store, session_id) == [(None, None)]


def test_silence_leaves_nothing(journalled, store):
    with journalled().session() as wire:
        wire.append(speech(pause_s=2))
        wire.ask("input_audio_buffer.clear")
    with journalled().session():
        pass
    assert store.listed() == []


# ---- faults --------------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(recorder, "PATIENCE_S", 0.3)
    monkeypatch.setattr(recorder, "BRIEF_S", 0.1)


def test_what_cannot_be_written_is_not_sent_and_the_session_goes_on(journalled, store, impatient):
    with journalled().session() as wire:
        session_id = wire.created["session"]["id"]
        assert wire.hear("alpha", pause_s=1) == "alpha"
        with locked(store):
            for word in ("bravo", "charlie"):
                wire.append(speech(word, pause_s=1))
                events = wire.until(FAILED)
                assert COMPLETED not in {event["type"] for event in events}
                assert events[-1]["error"] == {
                    "type": "server_error",
                    "code": "journal_unavailable",
                    "message": "The transcript could not be written to the server's journal, without which it is not "
                    "sent. The log of the server says why.",
                }
        assert until(lambda: _heard(wire, "delta")) == "delta"
        items = [(text, why) for text, why in told(store, session_id) if text != "echo"]
    gap = (None, "journal_unavailable")
    assert items == [("alpha", None), gap, gap, *[gap] * (len(items) - 4), ("delta", None)]


def _heard(wire, word):
    """What became of it; None if the journal is not back yet."""
    wire.append(speech(word, pause_s=1))
    while (event := wire.receive())["type"] not in (COMPLETED, FAILED):
        pass
    return event.get("transcript")


def test_an_upload_that_cannot_be_written_is_refused(journalled, store, impatient):
    server = journalled()
    with locked(store):
        answer = post(server)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "journal_unavailable"
        assert SAID.split()[0] not in answer.text
    assert until(lambda: post(server).json().get("text")) == SAID


def test_sessions_do_not_wait_for_each_other(journalled, store):
    """One that is late to be written holds up neither its own voice detection nor anybody's connection."""
    server = journalled()
    with server.session() as one:
        one.append(speech("alpha"))
        with locked(store):
            one.append(speech(pause_s=1))
            one.until(COMMITTED)
            with server.session() as two:
                assert two.created["type"] == "session.created"
            assert httpx.get(f"{server.url}/health").status_code == 200
        assert one.until(COMPLETED)[-1]["transcript"] == "alpha"


def test_a_disk_that_does_not_answer_at_all(journalled, store, impatient, monkeypatch):
    """The transcript was on its way when its client was told that there is none: so the record says too, in the end."""
    reached, release = threading.Event(), threading.Event()

    def hang(database, record):
        if record.item.transcript is not None and not release.is_set():
            reached.set()
            release.wait(PATIENCE_S)
        put(database, record)

    with journalled().session() as wire:
        monkeypatch.setattr("hark.journal.writer.put", hang)
        wire.append(speech("alpha", pause_s=1))
        assert wire.until(FAILED)[-1]["error"]["code"] == "journal_unavailable"
        assert reached.is_set()
        release.set()
        monkeypatch.setattr("hark.journal.writer.put", put)
        assert until(lambda: _heard(wire, "bravo")) == "bravo"
        first, *_, last = told(store, wire.created["session"]["id"])
    assert first == (None, "journal_unavailable")
    assert last == ("bravo", None)


# ---- days ----------------------------------------------------------------------------------------------------------


def test_a_server_deletes_what_is_older_than_its_days(journalled, store):
    old = time.time() - 3 * 86_400
    with closing(store.open()) as database, transaction(database):
        for days in (0, 2):
            at = old + days * 86_400
            put(database, Entry(session(f"sess_{days}", opened_at=at), item(recorded_at=at)))
    journalled(journal_days=2)
    until(lambda: [each.session.id for each in store.listed()] == ["sess_2"])


def test_one_gateway_of_several_keeps_the_days(store):
    options = settings(journal=store.path.parent, journal_days=2)
    keep = [journal_of(options, each).keep_days for each in (None, Mock(index=0), Mock(index=1))]
    assert keep == [2, 2, None]
    assert journal_of(settings(), None) is None


def test_a_journal_that_cannot_be_opened_is_told_before_serving(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match=r"The journal .* cannot be used"):
        Server(journal=tmp_path / "file")
