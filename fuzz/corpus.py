"""The inputs that are kept: `fuzz/corpus/TARGET/`, in which a file is an input and its name says what it is.

`seed-…` were written by `python -m fuzz.corpus` from the target's `seeds()`, and begin a search; any other name is a
fault that was found, and stays mended. What a search finds worth keeping lies under `.fuzz/`, which git does not see.
"""

import importlib
import pkgutil
from pathlib import Path

from fuzz import ROOT, targets

CORPUS = ROOT / "fuzz" / "corpus"
FOUND = ROOT / ".fuzz"
TARGETS = sorted(module.name for module in pkgutil.iter_modules(targets.__path__))


def load(name):
    """The module of a target: `seeds()`, pairs of a name and bytes, and `check(data)`, which raises what is wrong."""
    return importlib.import_module(f"fuzz.targets.{name}")


def inputs(name):
    """The files of a target."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())


def write_seeds(name):
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("seed-*"):
        old.unlink()
    for title, data in load(name).seeds():
        Path(folder / f"seed-{title}").write_bytes(data)


if __name__ == "__main__":
    for each in TARGETS:
        write_seeds(each)
