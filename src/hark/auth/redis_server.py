"""A Redis that several nodes share: how it is spoken to, and what is said and done while it cannot be used.

Rule: every question has a deadline, for threads wait for it. Once it was not answered, nobody asks for PAUSE_S, so that
those who come meanwhile are refused at once and threads are not all waiting; whoever comes then finds out whether it is
there again. Each question is whole: a command, or a script that Redis runs as one. So what was asked over a connection
that had ended is asked once more. Refuses: passwords in messages; a Redis whose entries a later Hark wrote.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

from hark.errors import OperatorError, StorageError, UnavailableError

log = logging.getLogger("hark.keys")

T = TypeVar("T")
Value: TypeAlias = str | bytes | int

PREFIX: Final = "hark:"
SCHEMES: Final = ("redis", "rediss", "unix")
DEADLINE_S: Final = 2.0  # for a connection, and for an answer
PAUSE_S: Final = 1.0
RETRY_AFTER_S: Final = 5  # for who is refused because of it
_SCHEMA: Final = 1  # of the entries
# A connection that a firewall forgot is found out after some 25 s of silence, and not by who asks next.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
# Parts of Redis's words, or of the client's -> what callers are told, and what to do.
_FAULTS: Final = (
    (
        ("wrongpass", "noauth", "invalid username-password", "authentication required", "without any password"),
        "refuses this server",
        "Put the user and the password into --redis, redis://USER:PASSWORD@HOST:PORT/0; both with %-escapes.",
    ),
    (
        ("no permission", "noperm"),
        "refuses this server",
        f"Allow its user the keys {PREFIX}*, and the commands of strings, hashes, sorted sets and scripts.",
    ),
    (
        ("read only", "readonly", "replica"),
        "can only be read",
        "It is a replica: name the Redis that takes writes.",
    ),
    (
        ("oom ", "maxmemory", "misconf", "no space"),
        "cannot be written to",
        "Make room for it, in memory or on its disk; its own log says more.",
    ),
    (
        ("wrongtype", "not an integer", "malformed"),
        "is damaged",
        f"Put back a copy of it, or delete {PREFIX}* in it and make keys anew with `hark keys create`.",
    ),
    (("certificate", "ssl", "tls"), "cannot be reached", "See that its certificate is one that this machine trusts."),
    (
        ("protocol error", "unknown command", "invalid response", "wrong number of arguments"),
        "is no Redis",
        "Name a Redis of version 5 or later, redis:// without TLS and rediss:// with it.",
    ),
)
_UNREACHED: Final = (
    "cannot be reached",
    "See that a Redis runs there, that this machine may reach it, and whether it wants TLS (rediss://).",
)


class RedisServer:
    """The one at this URL, which may hold a password. Nothing is asked before something is needed. Threads may share
    it. Raises OperatorError where the URL is none of Redis, or its client is not installed."""

    def __init__(self, url: str) -> None:
        self.where = _shown(url)
        self._client = _client(url)
        self._checked = False
        self._lost: str | None = None  # why it was not reached the last time
        self._pause_ends = 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises StorageError if it cannot be used, OperatorError if its entries are of a later Hark."""
        self._ask(self._check)

    def ask(self, *command: Value) -> Any:
        """What it answers: bytes, numbers, None, or lists of these. Raises StorageError."""
        return self._ask(lambda: self._client.execute_command(*command))

    def run(self, script: str, names: Sequence[str], *values: Value) -> Any:
        """What the script answers, which is run as one. Raises StorageError."""
        return self._ask(lambda: self._run(script, names, values))

    def ask_all(self, commands: Sequence[tuple[Value, ...]]) -> list[Any]:
        """What each is answered, in one go. Raises StorageError."""

        def together() -> list[Any]:
            with self._client.pipeline(transaction=True) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return list(pipe.execute())

        return self._ask(together) if commands else []

    def damaged(self, entry: str) -> StorageError:
        """What to say where an entry cannot be read."""
        return self._fault(f"the entry {entry} is malformed")

    def lost(self) -> StorageError:
        """What to say where there is no key any more, and there was one."""
        return self._fault(
            "it held keys, and holds none any more",
            (
                "holds no keys any more",
                "It was emptied, or another database is meant: put back a copy, or make keys anew with "
                "`hark keys create` and restart the servers.",
            ),
        )

    def _run(self, script: str, names: Sequence[str], values: Sequence[Value]) -> Any:
        from redis.exceptions import NoScriptError  # noqa: PLC0415

        rest = (len(names), *names, *values)
        try:
            return self._client.execute_command("EVALSHA", _digest(script), *rest)
        except NoScriptError:  # it was started anew, or has never seen it
            return self._client.execute_command("EVAL", script, *rest)

    def _ask(self, question: Callable[[], T]) -> T:
        from redis.exceptions import ConnectionError as Unreachable  # noqa: PLC0415
        from redis.exceptions import RedisError  # noqa: PLC0415
        from redis.exceptions import TimeoutError as TooSlow  # noqa: PLC0415

        with self._lock:
            if self._lost is not None and time.monotonic() < self._pause_ends:
                raise self._fault(self._lost)
        try:
            if not self._checked:
                self._check()
            found = question()
        except (RedisError, OSError) as error:
            told = str(error) or type(error).__name__
            if isinstance(error, Unreachable | TooSlow | OSError):
                self._note(told)
            raise self._fault(told) from error
        self._note(None)
        return found

    def _check(self) -> None:
        self._client.execute_command("SET", f"{PREFIX}schema", _SCHEMA, "NX")
        found = int(self._client.execute_command("GET", f"{PREFIX}schema"))
        if found > _SCHEMA:
            raise OperatorError(
                f"The Redis {self.where} holds keys as a later Hark keeps them (schema {found}; this one knows "
                f"{_SCHEMA}). Run that version, or name another database: redis://HOST:PORT/1."
            )
        self._checked = True

    def _note(self, lost: str | None) -> None:
        """Whether it was reached; the log learns of a change."""
        with self._lock:
            before, self._lost = self._lost, lost
            if lost is not None:
                self._pause_ends = time.monotonic() + PAUSE_S
        if before is None and lost is not None:
            log.error("%s", self._fault(lost).message)
        elif before is not None and lost is None:
            log.info("the key store %s is there again", self.where)

    def _fault(self, error: str, known: tuple[str, str] | None = None) -> StorageError:
        kinds = ((state, mend) for parts, state, mend in _FAULTS if any(part in error.lower() for part in parts))
        state, mend = known or next(kinds, _UNREACHED)
        told = (
            f"This server cannot look up API keys: its key store {state}. Its log says what to do. Please try again in "
            f"{RETRY_AFTER_S}s."
        )
        return StorageError(
            f"The key store {self.where} cannot be used: {error.rstrip('.')}. {mend}",
            UnavailableError(told, code="key_store_unavailable", retry_after_s=RETRY_AFTER_S),
        )


def _shown(url: str) -> str:
    """Without user, password and what is asked of the client. Raises OperatorError if it is no such URL."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise _unreadable() from None
    if parts.scheme not in SCHEMES:
        raise _unreadable()
    if parts.scheme == "unix":
        if not parts.path:
            raise _unreadable()
        return f"unix://{parts.path}"
    if not parts.hostname or not re.fullmatch(r"(/\d*)?", parts.path):
        raise _unreadable()
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path}"


def _unreadable() -> OperatorError:
    """It shows nothing of the URL, which may be a password in the wrong place."""
    return OperatorError(
        "--redis: expected a URL such as redis://HOST:6379/0, rediss://USER:PASSWORD@HOST:6379/0 or "
        "unix:///run/redis.sock; a password stands in it with %-escapes."
    )


def _client(url: str) -> Any:
    """redis-py's. Its own commands are typed as if each could be awaited; what is asked here are bare ones."""
    try:
        import redis  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415
    except ImportError as error:
        raise OperatorError(
            "--redis needs the client of Redis, which is not installed. Install it: pip install 'hark[cluster]'."
        ) from error
    options: dict[str, Any] = {}
    if not url.startswith("unix:"):
        known = {getattr(socket, name): value for name, value in _KEEPALIVE if hasattr(socket, name)}
        options = {"socket_keepalive": True, "socket_keepalive_options": known}
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=DEADLINE_S,
            socket_connect_timeout=DEADLINE_S,
            # A connection that was closed meanwhile is made anew; who does not answer in time is not waited for twice.
            retry=Retry(NoBackoff(), 1, (redis.exceptions.ConnectionError,)),
            protocol=2,  # which every Redis speaks, and in which answers are what they were
            **options,
        )
    except (ValueError, TypeError, redis.exceptions.RedisError):
        raise _unreadable() from None


def _digest(script: str) -> str:
    """By which Redis knows it; no secret."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()
