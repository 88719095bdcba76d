"""A stand-in for a model hub: repositories in memory, small files by itself, large ones from a store on another port.

It answers as Hugging Face does: Git's SHA-1 for small files, X-Linked-Etag and a redirect for large ones, Range at the
store, X-Error-Code with a 404. Faults are set per file: `statuses` are given first, one a request; `cut` breaks a
connection after so many bytes, once; `lies` sends other bytes than it promises; `gate` holds the store's answers,
`hold` one file's after so many bytes.
"""

from __future__ import annotations

import hashlib
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

LARGE = 10_000
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Seen(NamedTuple):
    where: str  # "hub" or "store"
    method: str
    path: str
    range: str | None
    token: str | None


class Hub:
    """`repos`: "owner/name" -> file -> content."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.commit = COMMIT
        self.token: str | None = None  # that a client must send
        self.statuses: dict[str, list[int]] = {}
        self.retry_after: str | None = None
        self.cut: dict[str, int] = {}
        self.lies: dict[str, bytes] = {}
        self.ranges = True
        self.chunked = False  # answers without a length
        self.hold: dict[str, int] = {}
        self.gate = threading.Event()
        self.go_on = threading.Event()
        self.gate.set()
        self.seen: list[Seen] = []
        self._servers = [self._server(where) for where in ("hub", "store")]
        self.url, self.store = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def stop(self) -> None:
        self.gate.set()
        self.release()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def release(self) -> None:
        """Go on with what is held, which nobody may wait for any more."""
        self.hold.clear()
        self.go_on.set()

    def gets(self, file: str, where: str = "store") -> list[Seen]:
        return [seen for seen in self.seen if (seen.where, seen.method) == (where, "GET") and seen.path.endswith(file)]

    def _server(self, where: str) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answering", (_Handler,), {"hub": self, "where": where}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server


@contextmanager
def standing():
    hub = Hub()
    try:
        yield hub
    finally:
        hub.stop()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    where: str
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.seen.append(Seen(self.where, self.command, path, self.headers["Range"], self.headers["Authorization"]))
        owner, name, _, revision, *rest = [*path.strip("/").split("/"), "", "", ""]
        repo, file = f"{owner}/{name}", "/".join(filter(None, rest))
        if self.where == "hub" and hub.token and self.headers["Authorization"] != f"Bearer {hub.token}":
            return self._answer(401, b"", X_Error_Code="RepoNotFound")
        if statuses := hub.statuses.get(file):
            return self._answer(statuses.pop(0), b"", **({"Retry_After": hub.retry_after} if hub.retry_after else {}))
        if repo not in hub.repos:
            return self._answer(404, b"", X_Error_Code="RepoNotFound")
        if revision not in ("main", hub.commit):
            return self._answer(404, b"", X_Error_Code="RevisionNotFound")
        content = hub.repos[repo].get(file)
        if content is None:
            return self._answer(404, b"", X_Error_Code="EntryNotFound")
        meta = {"X_Repo_Commit": hub.commit, "ETag": f'"{git_sha1(content)}"'}
        if self.where == "hub" and len(content) >= LARGE:
            linked = {} if hub.chunked else {"X_Linked_Size": len(content)}
            linked |= {"X_Linked_Etag": f'"{hashlib.sha256(content).hexdigest()}"'}
            return self._answer(302, b"", Location=hub.store + self.path, **linked, **meta)
        if self.where == "store":
            meta = {"ETag": '"the-store-s-own"'}
            assert hub.gate.wait(20)
        return self._give(file, hub.lies.get(file, content), meta)

    do_HEAD = do_GET

    def _give(self, file: str, content: bytes, meta: dict[str, object]) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "") if self.hub.ranges else None
        start = int(asked[1]) if asked else 0
        if start and start >= len(content):
            return self._answer(416, b"", Content_Range=f"bytes */{len(content)}")
        if start:
            meta = {**meta, "Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        cut = self.hub.cut.pop(file, None) if self.command == "GET" else None
        return self._answer(206 if start else 200, content[start:], cut, **meta)

    def _answer(self, status: int, body: bytes, cut: int | None = None, **headers: object) -> None:
        self.send_response(status)
        chunked = self.hub.chunked and self.where == "store"
        length = {"Transfer_Encoding": "chunked"} if chunked else {"Content_Length": len(body)}
        for name, value in {**length, **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command == "HEAD":
            return
        if chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        held = self.hub.hold.get(unquote(self.path).rpartition("/")[2])
        if held is not None and len(body) > held:
            self.wfile.write(body[:held])
            assert self.hub.go_on.wait(20)
            self.close_connection = True
            return
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Tests look at `seen`."""
