"""Make the environment of one Python client: python environment.py LOCK FOLDER

Rule: all that is in it stands in the lock, by hash. Where a client needs a newer Python than Hark does, the `.in` file
beside the lock says so ("# Python 3.12"); that Python is looked for, and HARK_CLIENTS_PYTHON names another one. Where
there is none, a file says why the environment is not there, and the tests of that client are skipped with it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = [f"python3.{minor}" for minor in range(14, 10, -1)]


def wanted(lock):
    """The oldest Python that the client runs on, as (3, 12); by default Hark's own."""
    said = re.search(r"^# Python (\d+)\.(\d+)$", lock.with_suffix(".in").read_text("utf-8"), re.MULTILINE)
    return tuple(map(int, said.groups())) if said else (3, 11)


def version(program):
    """Its version; (0, 0) where it does not run, as the stand-ins of version managers do."""
    ask = [program, "-c", "import sys; print(*sys.version_info[:2])"]
    ran = subprocess.run(ask, capture_output=True, text=True, check=False)
    return tuple(map(int, ran.stdout.split())) if ran.returncode == 0 else (0, 0)


def python(oldest):
    """One of this version or later, if there is any: ours, the one that was named, one of the path, one of pyenv's."""
    if sys.version_info >= oldest:
        return sys.executable
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    named, found = os.environ.get("HARK_CLIENTS_PYTHON"), map(shutil.which, NAMES)
    for program in [named, *found, *sorted(kept.glob("3.*/bin/python3"), reverse=True)]:
        if program and version(program) >= oldest:
            return program
    return None


def make(lock, folder):
    shutil.rmtree(folder, ignore_errors=True)
    if (program := python(oldest := wanted(lock))) is None:
        needed = ".".join(map(str, oldest))
        why = f"{lock.stem} needs Python {needed} or later: install it, or name where it is: HARK_CLIENTS_PYTHON=…"
        folder.mkdir(parents=True)
        (folder / "why-not").write_text(why, "utf-8")
        print(f"{why} Until then its tests are left out.", file=sys.stderr)
        return
    subprocess.run([program, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", folder / "bin" / "python"]
    subprocess.run([*pip, "install", "--quiet", "--require-hashes", "--no-deps", "-r", lock], check=True)
    (folder / ".made").touch()


if __name__ == "__main__":
    make(*map(Path, sys.argv[1:]))
