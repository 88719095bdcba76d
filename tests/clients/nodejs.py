"""Node, and the two environments of npm that the tests have for it."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).parent / "node"
PACKAGES = SCRIPTS / "node_modules"
LIVEKIT = Path(__file__).parent / "livekit" / "node_modules"
PATIENCE_S = 100


@dataclass(frozen=True)
class Node:
    """22 or later: the one that the lock names for this machine, else the machine's own."""

    folder: Path

    @property
    def program(self):
        locked = PACKAGES / ".bin" / "node"
        return str(locked) if locked.exists() else shutil.which("node")

    def run(self, script, *arguments, **variables):
        """What the script of this path printed."""
        given = {"PATH": os.environ["PATH"], "HOME": str(self.folder)} | variables
        command = [self.program, script, *arguments]
        ended = subprocess.run(command, env=given, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def run_text(self, text, packages, *arguments, **variables):
        """The same for a program that is no file yet and finds these packages beside it."""
        assert packages.is_dir(), "The packages are not there: run make test-clients."
        beside = self.folder / "node_modules"
        beside.unlink(missing_ok=True)
        beside.symlink_to(packages)
        script = self.folder / "program.mjs"
        script.write_text(text, "utf-8")
        return self.run(script, *arguments, **variables)

    def ask(self, name, server, key, file, packages=PACKAGES, **variables):
        """What the script beside these packages told, as JSON."""
        assert packages.is_dir(), "The packages are not there: run make test-clients."
        given = {"HARK_URL": server.url, "HARK_KEY": key, "HARK_FILE": str(file)}
        return json.loads(self.run(packages.parent / name, **given, **variables))
