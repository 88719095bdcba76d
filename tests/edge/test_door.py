"""When descriptors run out: who comes waits, who is in notices nothing, and afterwards all goes on."""

import contextlib
import resource
import socket
import sys

import httpx
import pytest

from gateways import Gateways, until
from hark.edge import door
from serving import PATIENCE_S
from uploading import SAID, post

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="another process's limits are set by Linux's prlimit")
ALLOWED = 120


@pytest.fixture(params=[1, 2])
def crowded(request, tmp_path):
    """A server in one process or in two, each with few descriptors."""
    server = Gateways(tmp_path, workers=request.param)
    for pid in [server.pid, *(server.pids if request.param > 1 else [])]:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (ALLOWED, ALLOWED))
    yield server
    server.kill()


def idle(server, stack):
    """A connection that has said nothing, and waits in the kernel if nobody takes it."""
    return stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S))


def test_who_is_in_goes_on_and_who_comes_waits(crowded):
    with crowded.session() as one, contextlib.ExitStack() as stack:
        waiting = [idle(crowded, stack) for _ in range(4 * ALLOWED)]
        assert one.hear("alpha") == "alpha"
        until(lambda: crowded.logged("nearly all descriptors are in use") or len(crowded.pids) > 1)
        assert one.hear("bravo") == "bravo"
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"{crowded.url}/health", timeout=0.5)
        waiting[-1].sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        for each in waiting[:-1]:
            each.close()
        assert waiting[-1].recv(12) == b"HTTP/1.1 200"
        assert one.hear("charlie") == "charlie"
    assert post(crowded).json()["text"] == SAID
    assert not crowded.logged("Traceback")


def test_shells_allow_fewer_than_the_system_does(monkeypatch):
    asked = []
    monkeypatch.setattr(door, "setrlimit", lambda which, limits: asked.append(limits))
    for soft, hard in ((1_024, 4_096), (1_024, 1 << 30), (4_096, 4_096), (resource.RLIM_INFINITY,) * 2):
        monkeypatch.setattr(door, "getrlimit", lambda which, limits=(soft, hard): limits)
        door.allow_descriptors()
    assert asked == [(4_096, 4_096), (door.WANTED, 1 << 30)]
