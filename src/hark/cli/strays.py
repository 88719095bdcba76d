"""Variables that were meant for Hark and are none of its options: a slip of the pen would have no effect, and no word.

Rule: in the file of settings every such name is told; in the environment, which others fill too (Kubernetes writes
HARK_SERVICE_HOST for a Service of that name), those alone that are nearly an option. Names are told, never values.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from hark.config import Settings

PREFIX: Final = "HARK_"
# Of the letters, by difflib's ratio: one in twelve may be wrong.
NEARLY: Final = 0.9


def strays(settings: Settings) -> list[str]:
    """A sentence for each name that has no effect."""
    options = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    path = settings.env_file.expanduser() if settings.env_file else Path(".env")
    written = dotenv_values(path, interpolate=False) if path.is_file() else {}
    told = []
    for name in sorted({each.upper() for each in (*written, *os.environ)}):
        if not name.startswith(PREFIX) or name in options:
            continue
        near = difflib.get_close_matches(name, options, 1, NEARLY)
        if near:
            told.append(f"{name} is no option and has no effect. Did you mean {near[0]}?")
        elif name not in map(str.upper, os.environ):
            told.append(f"{name} is no option and has no effect. hark serve --help lists those that there are.")
    return told
