"""Reading the documents and the source, for the tests that hold the one to the other."""

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "hark"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


# ---- reading pages -------------------------------------------------------------------------------------------------


def page(name):
    return (ROOT / name).read_text("utf-8")


def section(name, title):
    """The text under a heading, up to the next one of its level or above."""
    level, text = re.search(rf"^(#+) {re.escape(title)}\n(.*)", page(name), re.MULTILINE | re.DOTALL).groups()
    return re.split(rf"^#{{1,{len(level)}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def table(text, *first_columns):
    """Rows, as lists of cells, of the tables whose head begins with these columns."""
    found, inside = [], False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip()[1:-1].split("|")] if line.startswith("|") else []
        if not inside or not cells:
            inside = bool(cells) and tuple(cells[: len(first_columns)]) == first_columns
        elif not set(line) <= set("|-"):
            found.append(cells)
    return found


def codes(cell):
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def blocks(text, language=""):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def slug(title):
    return re.sub(r"[^\w\- ]", "", title.replace("`", "").lower()).replace(" ", "-")


# ---- reading the source --------------------------------------------------------------------------------------------


def trees():
    return [ast.parse(path.read_text("utf-8")) for path in SOURCE.rglob("*.py")]


def written(node):
    """The text of a string in the source, with … for what is put in; None for other expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


def covers(pattern, text, match=re.search):
    """Whether the pieces of `pattern` between its … stand in `text`, in order."""
    return match(".*".join(map(re.escape, pattern.split("…"))), text, re.DOTALL) is not None
