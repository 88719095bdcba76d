"""The key store is locked, damaged, emptied, deleted, or closed to the server, while sessions of its keys go on."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import httpx
import pytest
from talking import Company, same_as, until

from hark.auth.keys import create_key
from hark.auth.store import FILE
from serving import PATIENCE_S

CODE = "key_store_unavailable"
# Another program that takes the file and says so. In write-ahead mode a lock on writing keeps no reader out; one on the
# whole file does.
HOLD = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
if sys.argv[2] == "whole":
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
database.execute("BEGIN EXCLUSIVE")
if sys.argv[2] == "whole":
    database.execute("CREATE TABLE IF NOT EXISTS held (a)")
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def keyed(start):
    """A server whose callers have keys of the store; `key` is one, and `copy` a copy of the store."""
    powerless = shutil.which("setpriv") if os.geteuid() == 0 else None
    server = start(before=(powerless, "--bounding-set", "-dac_override,-dac_read_search") if powerless else ())
    server.heeds_modes = powerless or os.geteuid() != 0  # which root does not
    server.data.mkdir()
    server.key = create_key(server.data, "talker", time.time())
    server.store = server.data / FILE
    assert asked(server).status_code == 200
    with closing(sqlite3.connect(server.store)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    server.copy = server.folder / "copy.db"
    shutil.copy(server.store, server.copy)
    return server


def asked(server):
    return httpx.get(f"{server.url}/v1/models", headers={"Authorization": f"Bearer {server.key}"}, timeout=PATIENCE_S)


@contextmanager
def held(store, what):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, store, what], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        yield
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()


def restore(server):
    """As an operator does."""
    for beside in (f"{FILE}-wal", f"{FILE}-shm"):
        (server.data / beside).unlink(missing_ok=True)
    if server.store.is_dir():
        server.store.rmdir()
    server.store.unlink(missing_ok=True)
    shutil.copy(server.copy, server.store)


def refused(server):
    """That newcomers are told the truth, over HTTP and over a WebSocket."""
    with ThreadPoolExecutor() as pool:
        answering = pool.submit(asked, server)
        with server.socket(additional_headers={"Authorization": f"Bearer {server.key}"}) as wire:
            (event,), code, _ = wire.ending()
        answer = answering.result()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, CODE)
    assert int(answer.headers["retry-after"]) > 0
    assert str(server.data) not in answer.text
    assert (event["error"]["code"], code) == (CODE, 1013)


def open_again(server):
    """When the next newcomer was let in."""
    until(lambda: asked(server).status_code == 200)
    return time.monotonic()


@pytest.mark.fault(
    "another program holds the key store for longer than anybody waits",
    f"nothing; who comes anew is refused with 503 or 1013, `{CODE}`, and comes again",
)
def test_held(keyed, clips, undisturbed, survived):
    with Company(keyed, clips, key=keyed.key) as company:
        company.wait_for_words()
        with held(keyed.store, "whole"):
            began = time.monotonic()
            refused(keyed)
            assert time.monotonic() - began > 5, "the lock was waited for"
            code, _, error = keyed.hark("keys", "list")
            assert (code, "End the program that holds it" in error) == (1, True)
            company.wait()
        freed = time.monotonic()
        survived(open_again(keyed) - freed)
    same_as(undisturbed, company)
    assert longest_pause(company) < 2.5, "sessions waited for the store"


@pytest.mark.fault("another program writes to the key store for long", "nothing: audio is counted later")
def test_held_for_writing(keyed, clips, undisturbed, survived):
    """Keys can be looked up meanwhile. What they send is counted when the store is free, though nobody sends more."""
    key = create_key(keyed.data, "writer", time.time())
    with held(keyed.store, "writing"):
        with Company(keyed, clips, key=key) as company:
            company.wait_for_words()
            assert asked(keyed).status_code == 200
        until(lambda: "audio is not counted in the store" in keyed.log)
        assert counted(keyed) == 0
    freed = time.monotonic()
    sent = sum(len(clip) + 16_000 for clip in clips)
    until(lambda: counted(keyed) == sent, what="audio was not counted, or twice")
    survived(time.monotonic() - freed)
    same_as(undisturbed, company)


def overwritten(store):
    """With noise, in place."""
    with store.open("r+b") as file:
        file.write(os.urandom(store.stat().st_size))


def emptied(store):
    os.truncate(store, 0)


def deleted(store):
    store.unlink()


def a_folder(store):
    store.unlink()
    store.mkdir()


def closed(store):
    store.chmod(0)


@pytest.mark.fault(
    "the key store is overwritten, emptied, deleted, closed to the server's user, or a folder stands in its place",
    f"nothing; who comes anew is refused with 503 or 1013, `{CODE}`, until it is put back",
)
def test_broken(keyed, clips, undisturbed, survived):
    with Company(keyed, clips, key=keyed.key) as company:
        company.wait_for_words()
        for harm in (overwritten, emptied, deleted, a_folder, *([closed] if keyed.heeds_modes else [])):
            said = len(keyed.log)
            harm(keyed.store)
            refused(keyed)
            assert f"The key store {keyed.store} cannot be used" in keyed.log[said:]
            if harm is overwritten:
                code, _, error = keyed.hark("keys", "list")
                assert (code, "Put back a copy of it" in error) == (1, True)
            restore(keyed)
            mended = time.monotonic()
            survived(open_again(keyed) - mended)
    same_as(undisturbed, company)


def counted(server):
    """The samples that the store has of the key that sends while the store is held."""
    question = "SELECT coalesce(sum(samples), 0) FROM audio JOIN keys ON id = key_id WHERE name = 'writer'"
    with closing(sqlite3.connect(f"file:{server.store}?mode=ro", uri=True)) as database:
        return database.execute(question).fetchone()[0]


def longest_pause(company):
    """In which a session heard nothing, in seconds."""
    return max(b - a for talk in company.talks for (a, _), (b, _) in zip(talk.told, talk.told[1:], strict=False))
