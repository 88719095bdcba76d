"""The disk is full: that of event logs, keys, uploads on their way, and models.

Rule: the disk is a real file system of a few MiB, which the processes under test alone see; what a test does on it goes
by way of theirs.
"""

import errno
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from talking import Company, same_as, until

from hark.auth.store import FILE
from hark.bench.processes import PROGRAM
from hark.core.work import SAMPLE_RATE
from serving import PATIENCE_S

SIZE = "8m"  # of the disk; less than the larger upload and the model file together
MOUNT = 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"'
UNSHARE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))


def with_disk(folder):
    """What starts a program for which this folder is the disk."""
    return (*UNSHARE, "sh", "-c", MOUNT, "sh", SIZE, str(folder))


def can_mount(folder):
    try:
        return subprocess.run([*with_disk(folder), "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def served(start, tmp_path_factory):
    """A server that keeps everything on a small disk; `disk` is that, as it sees it."""
    folder = tmp_path_factory.mktemp("disk")
    if not can_mount(folder):
        pytest.skip("this user may not mount a file system, not even one of its own")
    where = {"HARK_EVENT_LOG": str(folder / "events"), "TMPDIR": str(folder)}
    server = start("--data-dir", str(folder / "data"), before=with_disk(folder), **where)
    server.disk = Path(f"/proc/{server.pid}/root{folder}")
    server.store = folder / "data" / FILE
    server.key = inside(server, *PROGRAM, "keys", "create", "talker", "--data-dir", folder / "data").strip()
    return server


@contextmanager
def filled(disk):
    """While nothing more can be written."""
    ballast = disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError as error:
                    assert error.errno == errno.ENOSPC
        yield
    finally:
        ballast.unlink()


def upload(server, path):
    headers = {"Authorization": f"Bearer {server.key}"}
    with path.open("rb") as file:
        url, fields = f"{server.url}/v1/audio/transcriptions", {"model": "whisper-1"}
        return httpx.post(url, headers=headers, data=fields, files={"file": file}, timeout=PATIENCE_S)


def inside(server, *command):
    """What a program says for which the server's disk is where the server sees it."""
    users = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
    entered = ("nsenter", "--target", str(server.pid), "--mount", *users, *command)
    run = subprocess.run(entered, capture_output=True, text=True, env=server.environment, cwd="/", check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def counted(server):
    """The samples that the store has of the key."""
    asking = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT total(samples) FROM audio'))"
    return round(float(inside(server, sys.executable, "-c", asking, server.store).strip("(,)\n")))


@pytest.mark.fault(
    "the disk of keys, event logs and uploads is full",
    "nothing; newcomers are let in, and large uploads are refused with 503, `disk_full`",
    "the rest of the event logs that were open",
)
def test_full(served, samples, clips, undisturbed, survived):
    assert upload(served, samples / "two_cities.wav").status_code == 200
    before = counted(served)
    with Company(served, clips, key=served.key) as company:
        company.wait_for_words()
        with filled(served.disk):
            with Company(served, clips[:1], key=served.key) as newcomer:
                answer = upload(served, samples / "two_cities.wav")
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "disk_full")
                assert str(served.disk) not in answer.text
                assert upload(served, samples / "beckett.wav").status_code == 200
            company.wait()
            until(lambda: "audio is not counted in the store" in served.log)
        freed = time.monotonic()
    until(lambda: counted(served) - before >= sum(len(clip) + SAMPLE_RATE for clip in (*clips, clips[0])))
    assert upload(served, samples / "two_cities.wav").status_code == 200
    survived(time.monotonic() - freed)
    same_as(undisturbed, company)
    same_as(undisturbed[:1], newcomer)
    assert "an event log cannot be written" in served.log
    assert "Make room on its disk" in served.log
    assert "Make room there, or name another folder with TMPDIR" in served.log
