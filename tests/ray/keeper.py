"""Run a command and own whatever becomes of it: `python keeper.py COMMAND…`. Orphans of its descendants become
children of this process (Linux's child subreaper), so that walking down from its pid finds each of them, whatever it
calls itself.

When its standard input ends, because who started it has gone, it kills them all. It ends when it has no child left.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def descendants(pid):
    """The pids under this one, the deepest last; zombies are none."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found[1:]


def end_all():
    while pids := descendants(os.getpid()):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def until_input_ends():
    while os.read(0, 4096):
        pass
    end_all()


def main():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for name in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # of a whole group, say; what is kept is not left behind
        signal.signal(name, lambda *_: end_all())
    first = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=until_input_ends, daemon=True).start()
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    first.returncode = 0  # it was reaped above


if __name__ == "__main__":
    main()
