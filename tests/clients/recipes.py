"""The programs of docs/recipes, taken from their pages and run as their readers would run them.

Rule: two things are replaced, the server's address and the key, and both have to stand in the program. What a program
prints is looked at by the tests; it must end by itself, without a word of trouble.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from documents import ROOT, blocks, section
from listening import BECKETT, error_rate, turns_of

TROUBLE = re.compile(r"Traceback|\bERROR\b|exception", re.IGNORECASE)
PATIENCE_S = 100


def environment(name):
    """Where a Python client lives; `openai` lives in Hark's own environment."""
    folder = Path(sys.prefix) if name == "openai" else ROOT / ".clients" / "python" / name
    if (why := folder / "why-not").exists():
        pytest.skip(why.read_text("utf-8"), allow_module_level=True)
    assert (folder / "bin" / "python").exists(), f"{folder} is not there: run make test-clients."
    return folder


def program(page, title=None, language="python"):
    """The first program under this heading of a recipe; by default the first of the page."""
    name = f"docs/recipes/{page}.md"
    text = section(name, title) if title else (ROOT / name).read_text("utf-8")
    return blocks(text, language)[0]


def here(source, server, key):
    """The program for this server. The key stands in a string of Python, or as a word of a command."""
    host = server.url.partition("://")[2]
    assert "127.0.0.1:8000" in source
    replaced = re.sub(r'(?<=")none(?=")|(?<= )none(?= )', key, source)
    assert replaced != source
    return replaced.replace("127.0.0.1:8000", host)


def run(folder, source, file, home, **variables):
    """What the program printed, a line each; `home` is its environment, `folder` where it runs."""
    script = folder / "recipe.py"
    script.write_text(source, "utf-8")
    python = environment(home) / "bin" / "python"
    given = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **variables}
    ran = subprocess.run(
        [python, script, file], env=given, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert not TROUBLE.search(ran.stderr), ran.stderr
    return ran.stdout.splitlines()


def check_words(text):
    assert error_rate(BECKETT, turns_of([{"item_id": "item", "transcript": text}])) <= 0.25, text
