"""The rows that the tests of this folder write into docs/scaling.md: what was done, and how long the worst wait was.

Rule: a page shows figures of one run of all of them, on a machine of one's own. In CI nothing is written: the tests say
whether texts are equal, on whatever machine.
"""

import os

from documents import ROOT

PAGE = ROOT / "docs" / "scaling.md"
BEGIN, END = "<!-- ray faults -->\n", "<!-- end of ray faults -->\n"
HEAD = "| what happens | transcripts equal | longest wait for one |\n|---|---|---|\n"


class Rows:
    """Of one run: what happened, and seconds."""

    def __init__(self):
        self.rows = {}

    def __call__(self, fault, seconds):
        self.rows[fault] = seconds

    def write(self, sessions):
        text = PAGE.read_text("utf-8")
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
        rows = [f"| {fault} | {sessions} of {sessions} | {seconds:.1f} s |\n" for fault, seconds in self.rows.items()]
        PAGE.write_text(before + BEGIN + HEAD + "".join(rows) + END + after, "utf-8")

    @property
    def counts(self):
        return not os.environ.get("CI")
