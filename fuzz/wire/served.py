"""`hark serve` as a process of its own, and what its log must never hold."""

import json
import re
import signal
import socket
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from gateways import started

KEY = "sk-fuzz-0123456789"
# Enough for all that is open at once: what a shared machine has time for shall not decide what is answered.
OPTIONS = {"HARK_API_KEY": KEY, "HARK_TURN_MODEL": "scripted-turns", "HARK_MAX_SESSIONS": "2000"}
# The words of paths are in the log too, so a level counts where one stands.
FAULTS = re.compile(
    r"^Traceback|unhandled fault|never retrieved|was never awaited|^\S+ \S+ (?:ERROR|CRITICAL) |^Fatal|Segmentation",
    re.MULTILINE,
)
STOP_S = 30


class Served:
    """`folder` is empty, and takes its data and its log. `patience_s`: within which everything is answered."""

    def __init__(self, folder, patience_s, *flags, **variables):
        self.patience_s = patience_s
        self.scripted = "HARK_MODEL" not in variables
        self._process, self._path = started(folder, *flags, **OPTIONS | variables)
        line = self._process.stdout.readline()
        found = re.search(r"https?://\S+", line)
        assert found, f"Expected the address of a server; got {line!r} and {self._path.read_text()!r}"
        self.address = urlsplit(found[0]).hostname, urlsplit(found[0]).port
        self._read = 0

    def connect(self):
        return socket.create_connection(self.address, timeout=self.patience_s)

    def request(self, method, path, body=b"", **headers):
        """Status, headers and body of an answer that is no fault of the server's."""
        connection = HTTPConnection(*self.address, timeout=self.patience_s)
        try:
            fields = {"Authorization": f"Bearer {KEY}"} | {name.replace("_", "-"): v for name, v in headers.items()}
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        assert answer.status < 500, (answer.status, said)
        if answer.status >= 400 and method != "HEAD":
            error = json.loads(said)["error"]
            assert len(error["message"]) > 15
        return answer.status, answer.headers, said

    def exchange(self, data):
        """Bytes that may be no request: the status of the answer, or None if there is none."""
        with self.connect() as connection, suppress(ConnectionError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65_536):
                answer += piece
            status = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
            assert not answer or (status and int(status[1]) < 500), answer[:500]
            return int(status[1]) if status else None

    def check(self):
        """It is there, answers, and its log has no fault in it. Raises AssertionError."""
        assert self._process.poll() is None, f"the server ended with {self._process.returncode}: {self._tail()}"
        try:
            assert self.request("GET", "/health")[0] == 200
        except (OSError, HTTPException) as error:
            raise AssertionError(f"the server does not answer: {error!r}; {self._tail()}") from error
        with self._path.open(errors="replace") as log:
            log.seek(self._read)
            new = log.read()
            self._read = log.tell()
        fault = FAULTS.search(new)
        assert not fault, f"in the log: {new[max(0, fault.start() - 500) : fault.end() + 4_000]}"
        assert KEY not in new, "the key is in the log"

    def _tail(self):
        return self._path.read_text(errors="replace")[-3_000:]

    def stop(self):
        """By SIGTERM, as an operator would; it must end by itself."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=STOP_S)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.communicate()
