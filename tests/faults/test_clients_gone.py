"""Clients that stop reading, send a byte a second, vanish without a word, or come back at once, again and again."""

import os
import shutil
import subprocess
import threading
import time
from contextlib import ExitStack

import pytest
from network import Socket, append, connections, enter, frame, request
from talking import Company, same_as, until

from hark.audio.formats import encode
from hark.auth.keys import create_key

MEBIBYTE = 1 << 20
LOST = "127.0.0.2"
# Every packet from and to an address is dropped, before the kernel finds it to be its own.
LOSE = """
ip rule add priority 100 table local
ip rule del priority 0 table local
ip rule add from "$1" blackhole priority 10
ip rule add to "$1" blackhole priority 10
"""
UPDATE = frame("session.update", session={"type": "transcription"})


@pytest.fixture(scope="module")
def crowded(start):
    """The server that these come to."""
    return start()


@pytest.fixture(scope="module")
def stalled(crowded):
    """A client that asks, and never reads an answer, until nothing gets through any more. The memory that the server
    held before it came."""
    held = crowded.memory
    client = Socket(crowded, window=4096)
    client.send(request())
    client.flood(UPDATE * 100)
    yield held
    client.close()


@pytest.fixture(scope="module")
def cut_off(start, clips):
    """A server whose network is its own (`begin` puts a thread there), and loses every packet between it and a client
    in mid-turn from now on, in silence."""
    own = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    if os.geteuid() != 0 or not shutil.which("ip") or subprocess.run([*own, "true"], check=False).returncode:
        yield None
        return
    server = start(before=own)
    server.begin = lambda: enter(server.pid)
    made = []

    def make():
        server.begin()
        made.append(Socket(server, address=LOST))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    (client,) = made
    client.send(request())
    client.greeted().send(append(encode(clips[0][: 2 * 16_000], "pcm16")))
    until(lambda: " opened" in server.log)
    subprocess.run(["nsenter", "--target", str(server.pid), "--net", "sh", "-ec", LOSE, "sh", LOST], check=True)
    yield server
    client.close()


@pytest.mark.fault("a client stops reading", "others: nothing; it waits, and is dropped after 60 s", "its connection")
def test_stops_reading(crowded, stalled, cut_off, clips, undisturbed):
    with Company(crowded, clips) as company:
        pass
    same_as(undisturbed, company)
    assert crowded.memory - stalled < 64 * MEBIBYTE, "what it does not read piles up here"


@pytest.mark.fault("forty clients send a byte a second, in the handshake or in a frame", "others: nothing")
def test_a_byte_a_second(crowded, clips, undisturbed):
    with ExitStack() as stack:
        slow = []
        for number in range(40):
            client = Socket(crowded)
            stack.callback(client.close)
            whole = request()
            if number % 2:
                client.send(whole)
                client.greeted()
                whole = UPDATE
            slow.append((client, iter(whole)))
        with Company(crowded, clips) as company:
            for _ in range(6):
                for client, rest in slow:
                    client.send(bytes([next(rest)]))
                time.sleep(1)
        same_as(undisturbed, company)


@pytest.mark.fault("clients break off in mid-turn and come back at once, again and again", "others: nothing")
def test_reconnects(crowded, clips, undisturbed, survived):
    speech = encode(clips[0][: 2 * 16_000], "pcm16")
    before = connections(crowded)
    with Company(crowded, clips) as company:
        company.wait_for_words()
        for _ in range(60):
            client = Socket(crowded)
            client.send(request())
            client.greeted().send(append(speech))
            client.reset()
    same_as(undisturbed, company)
    ended = time.monotonic()
    until(lambda: connections(crowded) <= before, what="connections of clients that are gone are still open")
    survived(time.monotonic() - ended)


@pytest.mark.fault("a client that may have one session breaks off and comes back at once", "it is let in at once")
def test_comes_back(start, tmp_path):
    server = start()
    server.data.mkdir()
    key = create_key(server.data, "one", time.time(), max_sessions=1)
    for _ in range(5):
        with server.socket(additional_headers={"Authorization": f"Bearer {key}"}) as wire:
            assert wire.receive()["type"] == "session.created"
            wire.socket.socket.shutdown(2)

        def is_in():
            with server.socket(additional_headers={"Authorization": f"Bearer {key}"}) as wire:
                return wire.receive()["type"] == "session.created"

        until(is_in)


@pytest.mark.fault("the network of a client is gone, without a word", "others: nothing", "its connection, after 80 s")
def test_cut_off(cut_off, clips, undisturbed):
    if cut_off is None:
        pytest.skip("this user may not make a network of its own")
    with Company(cut_off, clips, begin=cut_off.begin) as company:
        pass
    same_as(undisturbed, company)
    until(lambda: not connections(cut_off), what="the connection of who is gone is still open")


def test_who_does_not_read_is_dropped_in_the_end(crowded, stalled):
    until(lambda: not connections(crowded), what="it is still there")
