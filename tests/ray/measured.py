"""The rows that the tests of this folder write into docs/scaling.md: what was done, and how long the worst wait was.

Rule: a page shows figures of one run of all of them, on a machine of one's own. In CI nothing is written: the tests say
whether texts are equal, on whatever machine.
"""

import os
import re
import urllib.request
from contextlib import contextmanager

from documents import ROOT

PAGE = ROOT / "docs" / "scaling.md"
BEGIN, END = "<!-- ray faults -->\n", "<!-- end of ray faults -->\n"
HEAD = (
    "| what happens | transcripts equal | longest wait for one, after its turn | longest for an answer of a worker |\n"
    "|---|---|---:|---:|\n"
)
ANSWERS = re.compile(r'hark_cluster_answer_seconds_bucket\{.*le="([^"]+)".*\} (\S+)')


class Rows:
    """Of one run: what happened, the seconds that somebody waited, and the bound under which all requests were."""

    def __init__(self):
        self.rows = {}

    def __call__(self, fault, seconds, bound):
        self.rows[fault] = seconds, bound

    @contextmanager
    def asked(self, gateway):
        """Gives a function: the least bound of the gateway's histogram that no request since then was over."""

        def counts():
            lines = urllib.request.urlopen(f"{gateway.url}/metrics", timeout=20).read().decode()
            return {float(bound): float(count) for bound, count in ANSWERS.findall(lines)}

        before = counts()

        def bound():
            new = {bound: count - before.get(bound, 0.0) for bound, count in counts().items()}
            assert new[float("inf")] > 0, "no worker was asked anything"
            return min(bound for bound, count in new.items() if count == new[float("inf")])

        yield bound

    def write(self, sessions):
        text = PAGE.read_text("utf-8")
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
        rows = [
            f"| {fault} | {sessions} of {sessions} | {seconds:.2f} s | under {bound:g} s |\n"
            for fault, (seconds, bound) in self.rows.items()
        ]
        PAGE.write_text(before + BEGIN + HEAD + "".join(rows) + END + after, "utf-8")

    @property
    def counts(self):
        return not os.environ.get("CI")
