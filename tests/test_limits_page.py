"""docs/limits.md: its defaults are the code's, each row is tried by a test that there is, and no limit is missing."""

import ast
import importlib
import re

import pytest

from documents import ROOT, codes, page, section, table
from hark.config import Settings

PAGE = "docs/limits.md"
ROWS = table(page(PAGE), "limit", "default")
# Options that bound what a client may have, and constants that do.
LIMITS = re.compile(r"max_\w+|forwarded_allow_ips")
BOUNDED = ("edge", "protocol.wire", "protocol.offers", "protocol.uploads", "audio.files")
# They bound what is written or held for the sake of the server alone.
OURS = {
    "edge.eventlog.MAX_TEXT", "edge.pump.MAX_QUEUED", "edge.kept.MAX_FRAMES", "edge.kept.MAX_CHARS",
    "edge.lives.MAX_AWAY", "edge.records.MAX_ITEMS", "edge.records.MAX_ENDED",
}  # fmt: skip
KEYS = "hark keys create "


def shown(name, value):
    """A default as the page has it."""
    if name.endswith("SECONDS") or (name.endswith("_S") and name != "PER_S"):
        return f"{value:,g} s"
    if name.endswith("_BYTES"):
        for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value % size == 0:
                return f"{value // size} {unit}"
        return f"{value:,} bytes"
    return f"{value:,}"


def key_flags():
    return {code for row in table(section("docs/configuration.md", KEYS.strip()), "flag") for code in codes(row[0])}


def constant(path):
    module, _, name = path.rpartition(".")
    return name, getattr(importlib.import_module(f"hark.{module}"), name)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]} {row[2]}" for row in ROWS])
def test_a_row_has_the_default_of_the_code_and_a_test(row):
    limit, default, by, past, tried = row
    assert limit
    assert past
    for name in codes(by):
        if name.startswith("--"):
            value = Settings.model_fields[name.removeprefix("--").replace("-", "_")].default
            assert default == ("none" if value is None else f"`{value}`")
        elif name.startswith(KEYS):
            assert name.removeprefix(KEYS) in key_flags()
            assert default == "none"
        else:
            assert default == shown(*constant(name))
    (test,) = codes(tried)
    path, _, name = test.partition("::")
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_no_option_that_limits_is_missing():
    listed = {code for row in ROWS for code in codes(row[2])}
    options = {f"--{name.replace('_', '-')}" for name in Settings.model_fields if LIMITS.fullmatch(name)}
    assert options <= listed
    ends = {"--data-dir", "--redis", "--expires-days", "--origin"}
    assert {KEYS + flag for flag in key_flags() - ends} <= listed


def test_no_constant_that_limits_is_missing():
    there = set()
    for place in BOUNDED:
        path = ROOT / "src" / "hark" / place.replace(".", "/")
        for file in path.glob("*.py") if path.is_dir() else [path.with_suffix(".py")]:
            module = place if not path.is_dir() else f"{place}.{file.stem}"
            names = re.findall(r"^(MAX_\w+)(?:: Final)? = ", file.read_text("utf-8"), re.MULTILINE)
            there |= {f"{module}.{name}" for name in names}
    assert there - OURS - {code for row in ROWS for code in codes(row[2])} == set()
