"""HTTP to one server, over connections that are kept: a request is answered by its deadline, or fails then.

A deadline is of the whole request, however much trickles in: at its end the socket is shut down, which ends whatever
waits on it. A connection that has lain idle may have been closed at the other end; the request then goes out on a new
one.

Refuses: to follow a redirect, for the key would go along.
"""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple
from urllib.parse import SplitResult

from hark import __version__

CONNECT_S: Final = 10.0
MAX_BODY_BYTES: Final = 16 << 20
# In which one request can go wrong on its way; TimeoutError is one of OSError's.
BROKEN: Final = (OSError, http.client.HTTPException)


class Answer(NamedTuple):
    """`headers` by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connections:
    """To the server of `url`. Any number of threads may ask at once; each connection serves one at a time."""

    def __init__(self, url: SplitResult, key: str | None) -> None:
        self._host = url.hostname or ""
        self._port = url.port
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._headers = {"User-Agent": f"hark/{__version__}", "Accept": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def post(self, target: str, content_type: str, body: bytes, until: float) -> Answer:
        """`until` is a time.monotonic(). Raises one of BROKEN."""
        while True:
            connection = self._take_idle()
            kept = connection is not None
            connection = connection or self._connect(until)
            try:
                return self._ask(connection, target, content_type, body, until)
            except BROKEN as error:
                connection.close()
                if time.monotonic() >= until:
                    raise TimeoutError from error
                if not (kept and isinstance(error, ConnectionError)):
                    raise

    def close(self) -> None:
        while connection := self._take_idle():
            connection.close()

    def _ask(
        self, connection: http.client.HTTPConnection, target: str, content_type: str, body: bytes, until: float
    ) -> Answer:
        with cut_off(connection.sock, until):
            connection.request("POST", target, body, self._headers | {"Content-Type": content_type})
            response = connection.getresponse()
            content = response.read(MAX_BODY_BYTES + 1)
        if time.monotonic() >= until:  # what looks like the end of the body may be the cut
            raise TimeoutError
        if response.length and len(content) <= MAX_BODY_BYTES:  # `read` does not mind a body that ends early
            raise http.client.IncompleteRead(content, response.length)
        if response.isclosed() and connection.sock is not None:
            with self._lock:
                self._idle.append(connection)
        else:
            connection.close()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, content)

    def _take_idle(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _connect(self, until: float) -> http.client.HTTPConnection:
        patience = max(0.001, min(until - time.monotonic(), CONNECT_S))
        connection = (
            http.client.HTTPConnection(self._host, self._port, timeout=patience)
            if self._tls is None
            else http.client.HTTPSConnection(self._host, self._port, timeout=patience, context=self._tls)
        )
        connection.connect()
        connection.sock.settimeout(None)  # from here on it is cut off
        return connection


@contextmanager
def cut_off(connection: socket.socket, until: float) -> Iterator[None]:
    """Whatever waits for `connection` fails when it is `until`, by time.monotonic()."""

    def cut() -> None:
        with suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)  # a TLS socket's own would take its TLS away first

    timer = threading.Timer(max(0.0, until - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def form(fields: Sequence[tuple[str, str]], file: bytes) -> tuple[str, bytes]:
    """The content type and body of multipart/form-data: these fields, and `file` as a WAV."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="speech.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    )
    return f"multipart/form-data; boundary={boundary}", "".join(
        parts
    ).encode() + file + f"\r\n--{boundary}--\r\n".encode()
