"""`hark serve --workers N` as a process, with deterministic models, and what a test asks of its processes."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from hark.bench.processes import PROGRAM
from serving import PATIENCE_S, Server

OPTIONS = {
    "HARK_PORT": "0",
    "HARK_THREADS": "2",
    "HARK_MODEL": "scripted",
    "HARK_VOICE_MODEL": "scripted-vad",
    "HARK_TURN_MODEL": "none",
    "PYTHONUNBUFFERED": "1",
}


def started(folder, *flags, data=None, **variables):
    """The process, and the file with its log."""
    log = folder / "log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HARK_")}
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*PROGRAM, "serve", "--data-dir", data or folder / "data", *flags],
            cwd=folder,
            env=kept | OPTIONS | variables,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    return process, log


class Gateways(Server):
    """Its supervisor, and the gateways under it."""

    def __init__(self, folder, *flags, workers=2, data=None, **variables):
        self.data = data or folder / "data"
        self._process, self._log = started(folder, "--workers", str(workers), *flags, data=self.data, **variables)
        self.pid = self._process.pid
        line = self._process.stdout.readline()
        if not (found := re.search(r"https?://\S+", line)):
            self.kill()
            raise AssertionError(f"Expected the address of a server; got {line!r}, and on stderr {self.log!r}")
        self.banner, self.url = line, found[0]
        self.port = int(self.url.rpartition(":")[2])

    @property
    def log(self):
        return self._log.read_text()

    def logged(self, pattern):
        return re.search(pattern, self.log)

    @property
    def pids(self):
        """Of the gateways."""
        return children(self.pid)

    def holder(self, wire):
        """The process that has this connection."""
        local, remote = f":{self.port:04X}", f":{wire.socket.local_address[1]:04X}"
        entries = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        (inode,) = {e[9] for e in entries if e[1].endswith(local) and e[2].endswith(remote)}
        until(lambda: len(holders(inode, self.pids)) == 1)
        return holders(inode, self.pids)[0]

    def stop(self, how=signal.SIGTERM):
        """End it, and see that nothing of it is left; what it still said on standard output."""
        try:
            self._process.send_signal(how)
            said, _ = self._process.communicate(timeout=PATIENCE_S)
            until(lambda: not group(self.pid))
        finally:
            self.kill()
        return said

    def kill(self):
        """All of it at once, if it is still there."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()

    @property
    def code(self):
        return self._process.returncode


def until(condition):
    """Wait for it; what it gave."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
    return found


def children(pid):
    """Whichever of its threads started them."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, path.read_text().split())
    return sorted(found)


def group(leader):
    """The processes of the session that the leader began, those aside that have ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(path.parent.name))
    return found


def holders(inode, pids):
    found = []
    for pid in pids:
        for path in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(OSError):
                if str(path.readlink()) == f"socket:[{inode}]":
                    found.append(pid)
    return found


LINUX = sys.platform == "linux"
