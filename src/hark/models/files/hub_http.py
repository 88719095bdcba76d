"""A model hub over HTTP: what it says of a file, and the file itself, gone on with where an earlier pull was ended.

The URLs, headers and environment variables are Hugging Face's, as its mirrors have them. Rule: the token goes to the
hub's own host and nowhere else, wherever that sends us. Refuses: a redirect from https to http; any connection where
HF_HUB_OFFLINE says that there is to be none.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, Final, TypeVar
from urllib.parse import quote, urlsplit

from msgspec import Struct

from hark.errors import OperatorError
from hark.models.files.fetching import CHUNK_BYTES, SourceError, cannot_write

ENDPOINT: Final = "https://huggingface.co"
PAUSES_S: Final = (1.0, 2.0, 4.0, 8.0)  # before each further attempt that follows a failure
MOST_PATIENCE_S: Final = 60.0  # with a hub that says when to come again
SILENT_S: Final = 30.0
AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})  # as Hugging Face's own library reads its switches

T = TypeVar("T")


class AbsentError(SourceError):
    """The repository is there, and has no such file."""


class UnreachableError(SourceError):
    """There is no connection, or there is to be none."""


class Remote(Struct, frozen=True):
    """What the hub says of a file: its size in bytes, if it says so, what it goes by, and the commit it belongs to."""

    repo: str
    file: str
    url: str
    size: int | None
    etag: str
    commit: str | None

    @property
    def sha256(self) -> str | None:
        """Of a large file. A small one goes by Git's own checksum."""
        return self.etag if re.fullmatch(r"[0-9a-f]{64}", self.etag) else None

    @property
    def sha1(self) -> str | None:
        return self.etag if re.fullmatch(r"[0-9a-f]{40}", self.etag) else None

    @property
    def key(self) -> str:
        """Tells this version of the file from others, in a file's name."""
        return hashlib.sha256(f"{self.etag} {self.size}".encode()).hexdigest()[:16]


class Hub:
    """`endpoint`: its base URL. `offline`: no connection is made. Raises OperatorError for what is no such URL."""

    def __init__(self, endpoint: str = ENDPOINT, *, token: str | None = None, offline: bool = False) -> None:
        parts = urlsplit(endpoint.rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise OperatorError(f"HF_ENDPOINT: expected a URL such as {ENDPOINT}; got {endpoint!r}.")
        if parts.username or parts.password:
            raise OperatorError("HF_ENDPOINT: expected a URL without user and password. Set HF_TOKEN for a credential.")
        self.endpoint = endpoint.rstrip("/")
        self.offline = offline
        self.label = parts.netloc
        self._page = f"{parts.scheme}://{self.label}{parts.path}"
        self._token = token

    @classmethod
    def of_environment(cls) -> Hub:
        """As HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE say."""
        return cls(
            os.environ.get("HF_ENDPOINT") or ENDPOINT,
            token=os.environ.get("HF_TOKEN", "").strip() or None,
            offline=os.environ.get("HF_HUB_OFFLINE", "").upper() in TRUE,
        )

    def describe(self, repo: str, revision: str, file: str) -> Remote:
        """Raises AbsentError if the repository has no such file, SourceError if it cannot be asked."""
        url = f"{self.endpoint}/{quote(repo)}/resolve/{quote(revision, safe='')}/{quote(file)}"

        def ask() -> Remote:
            redirects = _Redirects()
            try:
                with self._open(url, "HEAD", {}, redirects) as answer:
                    return self._described(repo, file, url, redirects.hops, answer.headers)
            except urllib.error.HTTPError as error:
                if error.code >= HTTPStatus.BAD_REQUEST:
                    raise
                error.close()
                return self._described(repo, file, url, redirects.hops, Message())

        return self._persist(repo, file, ask)

    def fetch(self, remote: Remote, part: Path, progress: Callable[[int], None]) -> str:
        """Make `part` the whole file, going on from what it holds; returns its SHA-256 in hexadecimal. Blocks.

        Raises SourceError if the hub does not give it, with what came kept in `part`, or if it is not what `remote`
        says, with `part` gone; OperatorError if it cannot be written.
        """
        with _Partial(part, remote.size or 0) as partial:
            self._persist(
                remote.repo, remote.file, lambda: self._go_on(remote, partial, progress), lambda: partial.done
            )
            digest = partial.sha256.hexdigest()
        if fault := _fault(remote, part, digest):
            part.unlink()
            raise SourceError(fault)
        return digest

    def _described(self, repo: str, file: str, url: str, hops: list[Message], last: Message) -> Remote:
        """Of the hub's own answers; the store that it may send us to has other names for what it holds."""
        own = next((hop for hop in hops if hop["X-Linked-Etag"]), None)
        etag = own["X-Linked-Etag"] if own else last["ETag"] or (hops[-1]["ETag"] if hops else None) or ""
        size = (own and own["X-Linked-Size"]) or last["Content-Length"] or ""
        commit = next((hop["X-Repo-Commit"] for hop in (*hops, last) if hop["X-Repo-Commit"]), None)
        bare = etag.removeprefix("W/").strip('"')
        return Remote(repo, file, url, int(size) if size.isdecimal() else None, bare, commit)

    def _go_on(self, remote: Remote, partial: _Partial, progress: Callable[[int], None]) -> None:
        if remote.size is None or partial.done > remote.size:
            partial.restart()
        if partial.done and partial.done == remote.size:
            return
        headers = {"Range": f"bytes={partial.done}-"} if partial.done else {}
        with self._open(remote.url, "GET", headers, _Redirects()) as answer:
            begins = re.match(r"bytes (\d+)-", answer.headers["Content-Range"] or "bytes 0-")
            if not begins or int(begins[1]) != partial.done:
                partial.restart()
                if answer.status == HTTPStatus.PARTIAL_CONTENT:
                    raise ConnectionError("it sent another part than was asked for")
            progress(partial.done)
            while chunk := answer.read1(CHUNK_BYTES):
                partial.write(chunk)
                progress(partial.done)
            if answer.length:
                raise ConnectionError(f"it broke with {answer.length:,} bytes to come")

    def _open(self, url: str, method: str, headers: dict[str, str], redirects: _Redirects) -> Any:
        own = {"User-Agent": "hark", "Accept-Encoding": "identity", **headers}
        if self._token:
            own["Authorization"] = f"Bearer {self._token}"
        asked = urllib.request.Request(url, headers=own, method=method)  # noqa: S310  (the operator's own endpoint)
        return urllib.request.build_opener(redirects).open(asked, timeout=SILENT_S)

    def _persist(self, repo: str, file: str, act: Callable[[], T], done: Callable[[], int] = lambda: 0) -> T:
        """What `act` returns, once what may pass has passed. Whenever some of the file came, patience is new."""
        if self.offline:
            raise UnreachableError("HF_HUB_OFFLINE is set, so no connection is made")
        pauses = list(PAUSES_S)
        while True:
            before = done()
            try:
                return act()
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in AGAIN or not pauses:
                    raise self._refused(error, repo, file) from None
                time.sleep(max(pauses.pop(0), _retry_after(error.headers)))
            except (OSError, http.client.HTTPException) as error:
                if done() > before:
                    pauses = list(PAUSES_S)
                if not pauses:
                    raise UnreachableError(f"no connection to it holds ({getattr(error, 'reason', error)})") from None
                time.sleep(pauses.pop(0))

    def _refused(self, error: urllib.error.HTTPError, repo: str, file: str) -> SourceError:
        said = error.headers["X-Error-Code"] or ""
        match error.code:
            case 401 if self._token:
                why = "takes the token of HF_TOKEN for a wrong one, or has no such repository. Expected a valid token"
            case 401:
                why = "asks for a token, or has no such repository. Set HF_TOKEN to a token that may read it"
            case 403:
                why = f"does not let HF_TOKEN's owner read it. Terms may have to be accepted at {self._page}/{repo}"
            case 404 if said in ("RepoNotFound", "RevisionNotFound"):
                why = "has no such repository, or not this revision of it"
            case 404:
                return AbsentError(f"{repo} has no file {file} (404)")
            case 429:
                later = f"Wait {_retry_after(error.headers):.0f} s" if _retry_after(error.headers) else "Wait a while"
                why = f"has had too many requests from here. {later}, or set HF_TOKEN, which raises the limit"
            case code if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                why = "has trouble of its own. Try again later"
            case _:
                why = f"answers {error.reason}"
        return SourceError(f"{repo}: the hub {why} ({error.code})")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, and keeps what each answer on the way said. One of these serves one request."""

    def __init__(self) -> None:
        self.hops: list[Message] = []

    def redirect_request(  # noqa: PLR0917  (urllib's)
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        self.hops.append(headers)
        if req.get_method() == "HEAD" and headers["X-Linked-Size"]:
            return None  # all is said, and the store's link may be signed for GET alone
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if before.scheme == "https" and after.scheme != "https":
            raise SourceError(f"it sends to {newurl}, which is not safe")
        there = urllib.request.Request(newurl, headers=dict(req.headers), method=req.get_method())  # noqa: S310
        if (before.scheme, before.netloc) != (after.scheme, after.netloc):
            there.remove_header("Authorization")
        return there


class _Partial:
    """A file on its way, with the checksum of what it holds. `expected`: its size in bytes, 0 if nobody knows."""

    def __init__(self, path: Path, expected: int) -> None:
        self._path, self._expected = path, expected
        self.done = 0
        self.sha256 = hashlib.sha256()

    def __enter__(self) -> _Partial:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab+")
            self._file.seek(0)
            while chunk := self._file.read(CHUNK_BYTES):
                self.sha256.update(chunk)
                self.done += len(chunk)
        except OSError as error:
            raise cannot_write(self._path, self._expected, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, chunk: bytes) -> None:
        try:
            self._file.write(chunk)
            self._file.flush()
        except OSError as error:
            raise cannot_write(self._path, self._expected, error) from error
        self.sha256.update(chunk)
        self.done += len(chunk)

    def restart(self) -> None:
        self._file.truncate(0)
        self.done, self.sha256 = 0, hashlib.sha256()


def git_sha1(path: Path) -> str:
    """What Git names this content, in hexadecimal. Raises OSError."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _fault(remote: Remote, part: Path, sha256: str) -> str | None:
    size = part.stat().st_size
    if remote.size is not None and size != remote.size:
        return f"{remote.file} has {size:,} bytes, expected {remote.size:,}"
    if remote.sha256 and sha256 != remote.sha256:
        return f"{remote.file} has SHA-256 {sha256}, expected {remote.sha256}"
    if remote.sha1:
        plain = hashlib.sha1(part.read_bytes(), usedforsecurity=False).hexdigest()  # as some mirrors have it
        if remote.sha1 not in (git_sha1(part), plain):
            return f"{remote.file} has Git's SHA-1 {git_sha1(part)}, expected {remote.sha1}"
    return None


def _retry_after(headers: Message) -> float:
    said = (headers["Retry-After"] or "").strip()
    return min(float(said), MOST_PATIENCE_S) if said.isdecimal() else 0.0
