"""What a server said, in whichever protocol: five kinds of news, each with the time at which it came.

Rule: `at` is a monotonic clock in seconds; `end_s` is on the audio clock of the session, which starts with its first
sample.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct


class Started(Struct, frozen=True):
    """The server noticed speech."""

    at: float
    item: str


class Stopped(Struct, frozen=True):
    """The server ended a turn at `end_s`."""

    at: float
    item: str
    end_s: float


class Words(Struct, frozen=True):
    """Text before the end of a turn."""

    at: float
    item: str


class Transcript(Struct, frozen=True):
    """The whole text of a turn. `end_s` is None where the server says no times."""

    at: float
    item: str
    text: str
    end_s: float | None = None


class Trouble(Struct, frozen=True):
    """An item that failed or, where `item` is empty, an error or the end of the session."""

    at: float
    item: str
    message: str


Heard: TypeAlias = Started | Stopped | Words | Transcript | Trouble
