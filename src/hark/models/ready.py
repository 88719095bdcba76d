"""Whether a model can be loaded here: the packages that it wants, and its files.

Rule: nothing is imported or hashed to find out, so it may be asked at any time. Damage shows when a model is loaded.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from hark.models.base import ModelSpec
from hark.models.files.pull import missing


def installed_packages(spec: ModelSpec) -> bool:
    """Whether the modules that it wants are there."""
    return not _absent(spec)


def pulled(spec: ModelSpec, folder: Path) -> bool:
    """Whether its files are in the models folder, by their sizes."""
    return not missing(spec.files, folder, closely=False)


def pull_command(spec: ModelSpec) -> str:
    return f"hark pull {' '.join(spec.files)}"


def lacking_packages(spec: ModelSpec) -> str | None:
    """Which packages are missing, and the mend, for people; None if none is."""
    if not (absent := _absent(spec)):
        return None
    mend = f" Run `{spec.install}`." if spec.install else " Install what its documentation names."
    return f"The model '{spec.name}' needs Python modules that are not installed: {', '.join(absent)}.{mend}"


def lacking(spec: ModelSpec, folder: Path) -> str | None:
    """Why it cannot be loaded, and the mend, for people; None if nothing is known to be in the way."""
    if absent := lacking_packages(spec):
        return absent
    if not pulled(spec, folder):
        return f"The files of the model '{spec.name}' are not on this machine. Run `{pull_command(spec)}`."
    return None


def _absent(spec: ModelSpec) -> list[str]:
    return [module for module in spec.modules if not _there(module)]


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # its parent is not there, or it was put together by hand
        return False
