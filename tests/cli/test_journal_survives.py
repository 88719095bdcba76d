"""The journal of real servers that are killed while people talk: whatever a client was told is on record."""

import json
import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from gateways import LINUX, Gateways, started, until
from hark.journal.store import Store
from hark.models.scripted import WORDS
from serving import COMPLETED, PATIENCE_S, Wire, speech

pytestmark = pytest.mark.skipif(not LINUX, reason="processes are looked at in /proc, and their limits set")
FAILED = "conversation.item.input_audio_transcription.failed"
MANUAL = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
TALKERS = 6


@pytest.fixture
def begin(tmp_path):
    """Starts a server of one process that writes to the folder `kept`; the process and its URL."""
    with ExitStack() as stack:

        def beginning(*flags):
            process, log = started(tmp_path, "--journal", tmp_path / "kept", *flags)
            stack.callback(process.stdout.close)
            stack.callback(process.wait)
            stack.callback(process.kill)
            line = process.stdout.readline()
            found = re.search(r"https?://\S+", line)
            assert found, log.read_text()
            return process, found[0]

        yield beginning


@contextmanager
def session(url):
    with connect(f"ws{url.removeprefix('http')}/v1/realtime?intent=transcription", compression=None) as socket:
        wire = Wire(socket)
        wire.id = wire.receive()["session"]["id"]
        wire.send("session.update", session=MANUAL)
        yield wire


def talk(url, told, heard):
    """Turn after turn, until the server is gone; `told` gets what the client was told, by session and item."""
    try:
        with session(url) as wire:
            while True:
                for word in WORDS:
                    wire.append(speech(word, pause_s=0.05))
                    wire.send("input_audio_buffer.commit")
                    event = wire.until(COMPLETED)[-1]
                    told[wire.id, event["item_id"]] = event["transcript"]
                    heard()
    except (ConnectionClosed, OSError):
        pass


def kept(store):
    return {
        (each.session.id, item.id): item.transcript
        for each in store.listed()
        for item in store.find(each.session.id).items
        if item.transcript is not None
    }


def test_a_server_that_is_killed_has_lost_nothing(begin, tmp_path):
    store, told = Store(tmp_path / "kept"), {}
    for turns in (1, 7, 40, 90):
        process, url = begin()
        enough, before = threading.Event(), len(told)

        def heard(before=before, turns=turns, enough=enough):
            if len(told) >= before + turns:
                enough.set()

        with ThreadPoolExecutor(TALKERS) as pool:
            for _ in range(TALKERS):
                pool.submit(talk, url, told, heard)
            assert enough.wait(PATIENCE_S)
            process.kill()
        process.wait()
        on_record = kept(store)
        assert {key: on_record.get(key) for key in told} == told
    assert len(told) > 100
    assert len({session_id for session_id, _ in told}) > TALKERS


def test_several_gateways_write_to_one_journal_and_one_of_them_dies(tmp_path):
    server = Gateways(tmp_path, "--journal", str(tmp_path / "kept"))
    try:
        store, told = Store(tmp_path / "kept"), {}
        both, held = threading.Event(), set()
        with ThreadPoolExecutor(TALKERS) as pool:

            def heard():
                held.add(threading.get_ident())
                if len(told) > 60 and len(held) == TALKERS:
                    both.set()

            for _ in range(TALKERS):
                pool.submit(talk, server.url, told, heard)
            assert both.wait(PATIENCE_S)
            os.kill(server.pids[0], signal.SIGKILL)
            reached = len(told)
            until(lambda: len(told) > reached + 20)  # those of the other one go on
            server.kill()
        on_record = kept(store)
        assert {key: on_record.get(key) for key in told} == told
    finally:
        server.kill()


def test_a_full_disk_fails_items_and_nothing_else_until_there_is_room(begin, tmp_path):
    """A limit on the size of files, set on the running process, is a disk with no room for what it writes."""
    import resource  # noqa: PLC0415

    process, url = begin()
    store, free = Store(tmp_path / "kept"), resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    with session(url) as wire:

        def turn():
            wire.append(speech("alpha", pause_s=0.05))
            wire.send("input_audio_buffer.commit")
            while (event := wire.receive())["type"] not in (COMPLETED, FAILED):
                pass
            return event

        assert turn()["transcript"] == "alpha"
        full = store.path.with_name("journal.db-wal").stat().st_size
        assert full > 10_000  # the log goes to a file too, and is smaller
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (full, free[1]))
        failed = turn()
        assert failed["error"]["code"] == "journal_unavailable"
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, free)
        assert until(lambda: turn().get("transcript")) == "alpha"
        items = until(lambda: (found := store.find(wire.id)) and len(found.items) >= 3 and found.items)
    gap = next(each for each in items if each.id == failed["item_id"])
    assert (gap.transcript, gap.failure) == (None, "journal_unavailable")
    log = (tmp_path / "log").read_text()
    assert "journal.db cannot be written" in log
    assert "is written again" in log
    assert "alpha" not in log + json.dumps(failed)
