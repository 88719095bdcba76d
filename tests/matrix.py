"""The table of docs/clients.md, written by the very runs that try the clients.

Rule: a test says which client it is with `@pytest.mark.client(name, over, tried, where=FOLDER)`; the version is read
from the environment at `where`, never typed in, and what is said of events and of the end from the server's event logs.
A run writes the rows of the test files that it ran whole and leaves the others alone. No row holds a time or a count:
the page stays as it is until a client, a version or an outcome changes. In CI a page that has to change fails the run.
"""

import json
import os
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from documents import ROOT
from eventlog import Connection

PAGE = ROOT / "docs" / "clients.md"
BEGIN, END = "<!-- rows -->\n", "<!-- end of rows -->\n"
HEAD = "| client | version | over | what was tried | outcome | test |\n|---|---|---|---|---|---|\n"
MARK = (
    'client(name, over, tried, where=None, shows="words right", but=""): a published client, transport, what it does; '
    "`where`: the Python environment or node_modules that it is in; `shows`: what a pass shows; `but`: what to know"
)


def version(name, where):
    """That of a package in a Python environment or in node_modules."""
    if where is None:
        return ""
    manifest = where / name / "package.json"
    if manifest.exists():
        return json.loads(manifest.read_text("utf-8"))["version"]
    folders = [str(folder) for folder in where.glob("lib/python*/site-packages")]
    found = next(distributions(name=name, path=folders), None)
    return found.version if found else "not there"


class Row:
    """What one mark stands for: the tests that carry it, their logs, and how they went."""

    def __init__(self, name, over, tried, where=None, shows="words right", but=""):
        self.name, self.over, self.tried, self.where = name, over, tried, where
        self.shows, self.but = shows, but
        self.passed, self.logs = True, set()

    def outcome(self):
        if not self.passed:
            return "fails"
        met = [connection for path in sorted(self.logs) if (connection := Connection(path)).events]
        said = [self.shows]
        if met:
            said.append("clean end" if all(connection.clean for connection in met) else "no clean end")
            said.append("events invalid" if any(connection.faults for connection in met) else "every event valid")
        return ", ".join(said) + (f"; {self.but}" if self.but else "")

    def line(self, file):
        link = f"[{Path(file).stem}](../{file})"
        cells = [f"`{self.name}`", version(self.name, self.where), self.over, self.tried, self.outcome(), link]
        return f"| {' | '.join(cells)} |\n"


@pytest.fixture(scope="session")
def event_logs(request, tmp_path_factory):
    """The folder for HARK_EVENT_LOG of every server that clients are tried against."""
    plugin = request.config.pluginmanager.get_plugin("matrix writer")
    plugin.folder = tmp_path_factory.mktemp("events")
    return plugin.folder


class Matrix:
    def __init__(self):
        self._files = {}  # of each test file, its rows by client, transport and what was tried
        self._collected = set()
        self._partly = set()  # files of which some test does not run
        self._left = {}  # tests that have not run yet, and their files
        self.folder = None
        self._said = None

    def pytest_deselected(self, items):
        self._partly |= {item.path for item in items}

    def pytest_collection_finish(self, session):
        self._partly |= {ROOT / arg.partition("::")[0] for arg in session.config.args if "::" in arg}
        self._left = {item.nodeid: item.path for item in session.items}
        self._collected = set(self._left.values())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        before = self._logs()
        result = yield
        if row := self._row(item):
            row.logs |= self._logs() - before
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
        if rewrite({file.relative_to(ROOT).as_posix(): self._files.get(file, {}) for file in whole}):
            self._said = "docs/clients.md was not what this run shows. It has been rewritten: look at it and commit it."
            if os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if self._said:
            terminalreporter.write_line(self._said, red=True)

    def _logs(self):
        return set(self.folder.glob("*.jsonl")) if self.folder else set()

    def _row(self, item):
        mark = item.get_closest_marker("client")
        if mark is None:
            return None
        row = Row(*mark.args, **mark.kwargs)
        return self._files.setdefault(item.path, {}).setdefault((row.name, row.over, row.tried), row)


def rewrite(files):
    """Put the rows of these files in the place of their old ones; whether that changed the page."""
    text = PAGE.read_text("utf-8")
    start, rest = text.split(BEGIN)
    old, end = rest.split(END)
    kept = [line for line in old.splitlines(keepends=True)[2:] if (file := tested_by(line)) not in files and file]
    new = [row.line(file) for file, rows in files.items() for row in rows.values()]
    changed = start + BEGIN + HEAD + "".join(sorted([*kept, *new], key=str.lower)) + END + end
    PAGE.write_text(changed, "utf-8")
    return changed != text


def tested_by(line):
    """The test file that a row names, if it is still there."""
    file = line.rpartition("](../")[2].partition(")")[0]
    return file if (ROOT / file).is_file() else None


def attach(config):
    config.addinivalue_line("markers", MARK)
    if not config.pluginmanager.has_plugin("matrix writer"):
        config.pluginmanager.register(Matrix(), "matrix writer")
        config.pluginmanager.register(sys.modules[__name__])  # for its fixture
