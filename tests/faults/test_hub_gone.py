"""The hub dies in the middle of a file, stays away, and comes back, while sessions go on at the server whose models
folder it is.
"""

import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from hub_process import WEIGHTS, WORDS
from talking import Company, account, said, same_as, until

from hark.bench.processes import PROGRAM
from hark.models.files.pull import models_folder

TOYS = Path(__file__).parents[1] / "plugins"
HELD = 600_000


@contextmanager
def hub(ports, held=0):
    program = [sys.executable, Path(__file__).with_name("hub_process.py"), *map(str, ports), str(held)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.ranges = process.stdout.read().split()
        process.stdout.close()


def free_ports():
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


@pytest.fixture(scope="module")
def fed(start, tmp_path_factory):
    """A server whose models folder has the usual files, and lacks a plug-in's, which is on a hub at `ports`."""
    folder = tmp_path_factory.mktemp("models")
    for each in models_folder().iterdir():
        (folder / each.name).symlink_to(each)
    ports = free_ports()
    where = {
        "HARK_MODELS_DIR": str(folder),
        "HF_ENDPOINT": f"http://127.0.0.1:{ports[0]}",
        "HF_HOME": str(folder / "hf"),
    }
    server = start(paths=[TOYS], **where)
    server.models, server.ports = folder, ports
    return server


def pulling(server):
    return subprocess.Popen(
        [*PROGRAM, "pull", "hub-toy"],
        env=server.environment,
        cwd=server.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.fault("a hub dies in the middle of a file, and comes back", "nothing; `hark pull` goes on where it was")
def test_hub_gone(fed, clips, undisturbed, survived):
    with Company(fed, clips) as company:
        company.wait_for_words()
        with hub(fed.ports, HELD):
            pull = pulling(fed)
            until(lambda: any(part.stat().st_size >= HELD for part in fed.models.glob("hub-toy/.model.bin.*.part")))
        until(lambda: pull.poll() is not None, what="a pull without its hub does not end")
        _, complaint = pull.communicate()
        assert (pull.returncode, "Cannot get hub-toy/model.bin" in complaint) == (1, True)
        with hub(fed.ports) as back:
            began = time.monotonic()
            code, _, complaint = fed.hark("pull", "hub-toy")
            assert code == 0, complaint
            survived(time.monotonic() - began)
        assert set(back.ranges) == {f"bytes={HELD}-"}, "it began anew"
    same_as(undisturbed, company)
    assert (fed.models / "hub-toy" / "model.bin").read_bytes() == WEIGHTS
    with Company(fed, clips[:1], model="hub-toy") as served:
        pass
    (talk,) = served.talks
    assert talk.fault is None
    account(talk.events)
    assert [text for text, *_ in said(talk.events)] == [f"{WORDS.decode()}"] * len(undisturbed[0])
