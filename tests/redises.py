"""A real redis-server on loopback, of a test's own: it can be stood still, killed and started again."""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from redis import Redis as Client
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
needs_redis = pytest.mark.skipif(PROGRAM is None, reason="no redis-server here: tests/ray/need-redis installs Debian's")
PATIENCE_S = 20


def empty(place):
    """What an operator may do to it."""
    if isinstance(place, Path):
        for path in place.iterdir():
            path.unlink()
    else:
        place.ask("FLUSHALL")


def everything(place):
    """All that is kept there, as bytes."""
    if isinstance(place, Path):
        return b"".join(path.read_bytes() for path in place.iterdir())
    return b"".join(name + place.ask("DUMP", name) for name in place.ask("KEYS", "*"))


def names(place):
    """Of the files, or of the entries; every Redis that was ever asked has its schema."""
    if isinstance(place, Path):
        return [path.name for path in place.iterdir()]
    return sorted(name.decode() for name in place.ask("KEYS", "*") if name != b"hark:schema")


class Redis:
    """It keeps what it holds over `kill` and `start`. `url` has the password, if there is one."""

    def __init__(self, folder, password=""):
        self.folder, self.password = Path(folder), password
        self.folder.mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.where = f"redis://127.0.0.1:{self.port}/0"
        self.url = self.where.replace("//", f"//:{password}@") if password else self.where
        self._process = None
        self.start()

    def start(self):
        options = {
            "port": self.port, "bind": "127.0.0.1", "dir": self.folder, "save": "", "logfile": "log",
            "rdbcompression": "no", "appendonly": "yes", "appendfsync": "no", "requirepass": self.password,
        }  # fmt: skip
        flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self._process = subprocess.Popen([PROGRAM, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"redis-server does not answer: {(self.folder / 'log').read_text()}")
            time.sleep(0.02)

    def _answers(self):
        try:
            return self.ask("PING")
        except RedisError:
            return False

    def ask(self, *words):
        """What redis-py answers to this command."""
        with Client.from_url(self.url, protocol=2, decode_responses=True, retry=Retry(NoBackoff(), 0)) as client:
            return client.execute_command(*words)

    def emptied(self, database=0):
        """A database of it as new, by its URL."""
        url = f"{self.url.rpartition('/')[0]}/{database}"
        with Client.from_url(url) as client:
            client.flushdb()
        return url

    def stand_still(self):
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        """It may never have stood still."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self):
        self._process.kill()
        self._process.wait()

    @property
    def gone(self):
        return self._process.poll() is not None

    def stop(self):
        """Once it is stopped, this does nothing."""
        if not self.gone:
            self.go_on()
            self.kill()
