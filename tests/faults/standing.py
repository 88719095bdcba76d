"""`hark serve` as a process with real models, and what tests need to know of its processes and do to them."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from hark.bench.processes import PROGRAM, tree, usage
from hark.models.files.pull import models_folder
from serving import PATIENCE_S, Server

PLUGINS = Path(__file__).parent / "plugins"
ENGINE = "hark.compute.process_main"


def environment(home, paths=(), **variables):
    """That of a user who has set nothing, whose models have been pulled already; with the plug-in of these tests."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    paths = os.pathsep.join((*map(str, paths), str(PLUGINS), *filter(None, sys.path)))
    own = {"HOME": str(home), "TMPDIR": str(home), "HARK_MODELS_DIR": str(models_folder()), "PYTHONPATH": paths}
    # As many sessions as there are, however slow the machine.
    return kept | own | {"PYTHONUNBUFFERED": "1", "HARK_MAX_SESSIONS": "100"} | variables


class Hark(Server):
    """`before`: the program and its arguments that start `hark`, such as unshare's; `paths`: folders of modules."""

    def __init__(self, folder, *flags, before=(), paths=(), **variables):
        self.folder = folder
        self.data = folder / "data"
        self._log = folder / "log"
        self.environment = environment(folder, paths, HARK_DATA_DIR=str(self.data), **variables)
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*before, *PROGRAM, "serve", "--port", "0", "--threads", "2", *flags],
                cwd=folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.pid = self._process.pid
        line = self._process.stdout.readline()
        if not (found := re.search(r"https?://\S+", line)):
            self.kill()
            raise AssertionError(f"Expected the address of a server; got {line!r}, and on stderr {self.log!r}")
        self.url = found[0]
        self.port = int(self.url.rpartition(":")[2])

    @property
    def log(self):
        return self._log.read_text()

    @property
    def engines(self):
        """The processes that run engines, by their ids."""
        return [pid for pid in tree(self.pid) if ENGINE in _command(pid)]

    @property
    def memory(self):
        """Resident bytes of the server's own process."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def hark(self, *arguments, **options):
        """A command of Hark's, as the operator of this server gives it: its code, its output, and what it complains
        of."""
        run = subprocess.run(
            [*PROGRAM, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            **options,
        )
        return run.returncode, run.stdout, run.stderr

    def stop(self):
        """End it, and see that it ends well, and leaves no process behind."""
        try:
            self._process.send_signal(signal.SIGTERM)
            self._process.communicate(timeout=PATIENCE_S)
            assert self._process.returncode == 0
            assert usage(self.pid) is None or not _alive(self.pid), "a process of the server goes on"
            assert "unhandled fault" not in self.log, self.log
            assert "Traceback" not in self.log, self.log
        finally:
            self.kill()

    def kill(self):
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()


def _command(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def _alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
