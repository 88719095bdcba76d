"""What `hark serve --event-log DIR` wrote down: a Connection for each file, with what the server sent in it."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from official_events import fault

NORMAL = 1000


@dataclass(frozen=True)
class Connection:
    path: Path

    @cached_property
    def lines(self):
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]

    @cached_property
    def events(self):
        """The server's."""
        return [line["event"] for line in self.lines if line["direction"] == "received" and "event" in line]

    @property
    def over(self):
        return bool(self.lines) and "close" in self.lines[-1]

    @property
    def dialect(self):
        """By the shape of the session that it began with."""
        sessions = [event["session"] for event in self.events if "session" in event]
        return "ga" if not sessions or "audio" in sessions[0] else "beta"

    @property
    def clean(self):
        """Whether nothing was refused, and the client ended it or the server meant to."""
        errors = [event for event in self.events if event["type"] == "error"]
        ended = self.lines[-1]
        return self.over and not errors and (ended["direction"] == "sent" or ended["close"]["code"] == NORMAL)

    @cached_property
    def faults(self):
        """What OpenAI's types say against the server's events."""
        return [said for event in self.events if (said := fault(event, self.dialect))]


def connections(folder):
    return [Connection(path) for path in sorted(folder.glob("*.jsonl"))]
