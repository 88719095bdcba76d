"""The table of docs/reliability.md, written by the very runs that do the faults.

Rule: a test says what it does with `@pytest.mark.fault(fault, sees, lost)`, and with the fixture `survived` how many
seconds it took until all was as before. They are told as the least of a few bounds that held. So that the page does not
change with every run, a bound stays as long as what is measured is below it and not far below; in CI, on whatever
machine, as long as it is not far above. A run writes the rows of the test files that it ran whole and leaves the others
alone. In CI a page that has to change fails the run.
"""

import os
import re
from pathlib import Path

import pytest

from documents import ROOT

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- rows -->\n", "<!-- end of rows -->\n"
HEAD = "| fault | what the client sees | what is lost | back after | test |\n|---|---|---|---|---|\n"
MARK = "fault(fault, sees, lost='nothing'): what is done to the server, what its clients see of it, what is lost"
BOUNDS_S = (1, 2, 5, 10, 20, 60, 120)
FAR = 8  # times below its bound: then it is another one
SLOWER = 4  # times a machine of CI may be
AT_ONCE = "at once"


def bound(seconds, old):
    """How the page tells of so many seconds; `old`: how it does now, or None."""
    if seconds is None:
        return AT_ONCE
    known = int(found[0]) if (found := re.findall(r"\d+", old or "")) else None
    if known in BOUNDS_S:
        least, most = (0, known * SLOWER) if os.environ.get("CI") else (known / FAR, known)
        if (least <= seconds or known == BOUNDS_S[0]) and seconds <= most:
            return old
    least = next((each for each in BOUNDS_S if seconds <= each), None)
    assert least is not None, f"it took {seconds:.0f} s to recover"
    return f"under {least} s"


class Row:
    def __init__(self, fault, sees, lost="nothing"):
        self.fault, self.sees, self.lost = fault, sees, lost
        self.passed, self.seconds = True, None

    def line(self, file, old):
        seconds = bound(self.seconds, old) if self.passed else "fails"
        return f"| {self.fault} | {self.sees} | {self.lost} | {seconds} | [{Path(file).stem}](../{file}) |\n"


class Table:
    def __init__(self):
        self._rows = {}  # by test file, then by fault
        self._collected, self._partly, self._left = set(), set(), {}
        self._said = None
        self.measured = []

    def took(self, item):
        """What a test calls with its seconds; of several times the longest counts."""
        row = self._row(item)

        def tell(seconds):
            assert row is not None, "a test that measures has the mark"
            row.seconds = max(seconds, row.seconds or 0.0)
            self.measured.append(f"{row.fault}: {seconds:.2f} s")

        return tell

    def pytest_deselected(self, items):
        self._partly |= {item.path for item in items}

    def pytest_collection_finish(self, session):
        self._partly |= {ROOT / arg.partition("::")[0] for arg in session.config.args if "::" in arg}
        self._left = {item.nodeid: item.path for item in session.items}
        self._collected = set(self._left.values())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        result = yield
        self._row(item)
        self._left.pop(item.nodeid, None)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item):
        report = yield
        row = self._row(item)
        if report.skipped:
            self._partly.add(item.path)
        elif row and not report.passed:
            row.passed = False
        return report

    def pytest_sessionfinish(self, session):
        whole = self._collected - self._partly - set(self._left.values())
        if rewrite({file.relative_to(ROOT).as_posix(): self._rows.get(file, {}) for file in whole}):
            self._said = (
                "docs/reliability.md is not what this run shows. It has been rewritten: look at it and commit it."
            )
            if os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        for line in self.measured:
            terminalreporter.write_line(line)
        if self._said:
            terminalreporter.write_line(self._said, red=True)

    def _row(self, item):
        mark = item.get_closest_marker("fault")
        if mark is None:
            return None
        row = Row(*mark.args, **mark.kwargs)
        return self._rows.setdefault(item.path, {}).setdefault(row.fault, row)


def rewrite(files):
    """Put the rows of these files in the place of their old ones; whether that changed the page."""
    text = PAGE.read_text("utf-8")
    start, rest = text.split(BEGIN)
    old, end = rest.split(END)
    lines = old.splitlines(keepends=True)[2:]
    bounds = {cells[0]: cells[3] for cells in map(_cells, lines)}
    kept = [line for line in lines if (file := tested_by(line)) not in files and file]
    new = [row.line(file, bounds.get(row.fault)) for file, rows in files.items() for row in rows.values()]
    changed = start + BEGIN + HEAD + "".join(sorted([*kept, *new], key=_order)) + END + end
    PAGE.write_text(changed, "utf-8")
    return changed != text


def _cells(line):
    return [cell.strip() for cell in line.strip()[1:-1].split("|")]


def _order(line):
    return tested_by(line) or "", line.lower()


def tested_by(line):
    """The test file that a row names, if it is still there."""
    file = line.rpartition("](../")[2].partition(")")[0]
    return file if (ROOT / file).is_file() else None


def attach(config):
    config.addinivalue_line("markers", MARK)
    if not config.pluginmanager.has_plugin("reliability writer"):
        config.pluginmanager.register(Table(), "reliability writer")
