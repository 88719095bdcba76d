"""What a cell of the simulation holds and counts: gateways, sessions, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleet_cluster import Worker
from fleet_worker import Turn


class Gateway:
    """A machine with `most` sessions at the most."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sessions: dict[Session, None] = {}  # in their order, that a seed gives one day
        self.open = True
        self.drains = 0  # how often it was told to


class Session:
    __slots__ = (
        "back", "ends", "gateway", "gone", "greeted", "leaves", "opened", "proxy", "replica", "rotates", "stalls",
        "turn",
    )  # fmt: skip

    def __init__(self, ends: float, proxy: int) -> None:
        self.ends = ends
        self.proxy = proxy
        self.gateway: Gateway | None = None
        self.replica: Worker | None = None
        self.turn: Turn | None = None
        self.opened = 0  # streams so far, so that a timer knows its own
        self.rotates = False  # its stream, once the turn is over
        self.leaves = False  # its gateway, once the turn is over
        self.back = False  # it has lost its connection, and is no newcomer
        self.gone = False
        self.greeted = True  # by the worker of its stream
        self.stalls = 0  # streams in a row that fell silent


@dataclass
class Counts:
    """Of a whole run, but for what is said of turns, which windows alone show."""

    came: int = 0
    refusals: int = 0
    refused: int = 0  # sessions that gave up
    lost_sessions: int = 0
    reconnects: int = 0
    streams: int = 0
    moved: int = 0  # streams that broke
    begun: int = 0
    completed: int = 0
    failed: int = 0  # for no worker took them in time
    cut: int = 0  # ended early, for their gateway had to go
    lost_turns: int = 0
    dropped: int = 0  # turns that were open when a window closed
    replays: int = 0
    waits: list[tuple[float, float]] = field(default_factory=list)  # (when the turn was over, s until its text)
