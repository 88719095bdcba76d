"""A TCP connection that sends the bytes it is given and nothing else, and reads what the server answers.

Rule: no library stands between the test and the wire, so a request leaves as the published client would have written
it, with its order and spelling of headers. What that client would check of an answer is checked here.
"""

import base64
import os
import re
import socket
from contextlib import contextmanager
from hashlib import sha1

from serving import PATIENCE_S, Wire

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT = 1


class Connection:
    def __init__(self, server):
        self.host = server.url.removeprefix("http://")
        name, _, port = self.host.partition(":")
        self._socket = socket.create_connection((name, int(port)), timeout=PATIENCE_S)
        self._file = self._socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self._socket.close()

    def flood(self, begin, more, times):
        """Raises ConnectionError once the server has hung up."""
        self._socket.sendall(begin)
        for _ in range(times):
            self._socket.sendall(more)

    def ask(self, head, body=b"", **values):
        """Status, headers by lower-case name, body. `head` is lines, without the wire's CR and its last empty line;
        <host>, <length> and what else is named in `values` are put in."""
        for name, value in ({"host": self.host, "length": len(body)} | values).items():
            head = head.replace(f"<{name}>", str(value))
        return self.exchange(head.strip().replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)

    def exchange(self, request):
        """The same for bytes that may be no request at all."""
        self._socket.sendall(request)
        first, *lines = iter(lambda: self._file.readline().strip().decode(), "")
        headers = {name.lower(): value for name, value in (re.split(r":\s*", line, maxsplit=1) for line in lines)}
        return int(first.split()[1]), headers, self._file.read(int(headers.get("content-length", 0)))

    def hang_up_after(self, request):
        """Send no more, and wait until the server has seen that."""
        self._socket.sendall(request)
        self._socket.shutdown(socket.SHUT_WR)
        self._file.read()

    def send(self, text):
        """One text frame, masked as a client's must be (RFC 6455, 5.3)."""
        payload, mask = text.encode(), os.urandom(4)
        size = len(payload)
        if size < 126:
            length = bytes([0x80 | size])
        elif size < 1 << 16:
            length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
        else:
            length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
        repeated = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
        self._socket.sendall(bytes([0x80 | TEXT]) + length + mask + masked)

    def recv(self, _timeout=None):
        """The next frame, which must be a whole, unmasked, uncompressed text."""
        first, size = self._file.read(2)
        assert first == 0x80 | TEXT, f"the server sent a frame that begins with {first:#x}"
        if size >= 126:
            size = int.from_bytes(self._file.read(2 if size == 126 else 8), "big")
        return self._file.read(size).decode()


@contextmanager
def raw_request(server, head, body=b"", **values):
    with Connection(server) as connection:
        yield connection.ask(head, body, **values)


@contextmanager
def raw_session(server, head, **values):
    """A Wire over this handshake, after what every WebSocket client checks of the answer (RFC 6455, 4.1)."""
    key = base64.b64encode(os.urandom(16)).decode()
    with Connection(server) as connection:
        status, headers, _ = connection.ask(head, key=key, **values)
        assert status == 101
        assert (headers["upgrade"].lower(), headers["connection"].lower()) == ("websocket", "upgrade")
        assert headers["sec-websocket-accept"] == base64.b64encode(sha1(key.encode() + GUID).digest()).decode()
        assert "sec-websocket-extensions" not in headers
        wire = Wire(connection)
        wire.subprotocol = headers.get("sec-websocket-protocol")
        yield wire
