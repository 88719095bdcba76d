"""Clients that behave badly on the wire, below any library: bare sockets and bare frames."""

import base64
import ctypes
import json
import os
import socket
import struct
from pathlib import Path

CLONE_NEWNET = 0x4000_0000  # of <sched.h>
ESTABLISHED = "01"  # of /proc/net/tcp
HANDSHAKE = (
    "GET /v1/realtime?intent=transcription HTTP/1.1\r\nHost: hark\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def request():
    return HANDSHAKE.format(key=base64.b64encode(os.urandom(16)).decode()).encode()


def frame(kind, **fields):
    """One event as a client's frame, masked with zeros."""
    text = json.dumps({"type": kind, **fields}).encode()
    if len(text) < 126:
        size = bytes([0x80 | len(text)])
    elif len(text) < 1 << 16:
        size = bytes([0x80 | 126]) + len(text).to_bytes(2, "big")
    else:
        size = bytes([0x80 | 127]) + len(text).to_bytes(8, "big")
    return b"\x81" + size + bytes(4) + text


def append(pcm):
    return frame("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())


def enter(pid):
    """Put this thread into the network of that process. Needs root's power over both."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{pid}/ns/net").open() as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def connections(server):
    """How many connections of clients the server's system holds to be alive."""
    lines = Path(f"/proc/{server.pid}/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(local.endswith(f":{server.port:04X}") and state == ESTABLISHED for _, local, _, state, *_ in fields)


class Socket:
    """A connection with a session behind it. `window`: how many bytes it takes before its program reads."""

    def __init__(self, server, *, window=None, address=None, timeout_s=2.0):
        self._socket = socket.socket()
        if address is not None:
            self._socket.bind((address, 0))
        if window is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self._socket.settimeout(timeout_s)
        self._socket.connect(("127.0.0.1", server.port))

    def send(self, data):
        self._socket.sendall(data)

    def flood(self, data):
        """Send it over and over until nobody takes more; how many times it was taken."""
        taken = 0
        try:
            while True:
                self._socket.sendall(data)
                taken += 1
        except TimeoutError:
            return taken

    def greeted(self):
        """Read the answer to the handshake, and as much as there is of what follows."""
        assert b" 101 " in self._socket.recv(4096)
        return self

    def reset(self):
        """Break off without a goodbye: the other side gets a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self):
        self._socket.close()
