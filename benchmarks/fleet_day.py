"""A day of one cell: what happens to it and when, and what came of that.

Rule: incidents are set apart, so that what is seen after one is its own; each is watched by a window that begins before
it. The last minutes of every hour are watched too, and these alone make the figures of the hours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fleet_cell import WARM_UP_S, Cell, Counts
from fleet_inputs import Inputs
from fleet_plan import Plan, plan
from fleet_talk import HOUR, level

BEFORE_S = WARM_UP_S + 10.0
WATCHED_S = 60.0
SAMPLE_S = 30.0
FIRST_H, APART_S = 9.0, 2_400.0  # from nine o'clock on, all within the busy hours
AWAY_S = 60.0  # how long the head is lost


@dataclass
class Incident:
    """`waits` are of turns that were over while it was watched; the counts are of that time too."""

    name: str
    at_s: float
    until_s: float = 0.0
    longest_s: float = 0.0
    p99_s: float = 0.0
    over_1_s: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class Hour:
    hour: float
    sessions: int
    replicas: int
    busy: float
    ending: float
    p50_s: float
    p95_s: float
    p99_s: float
    longest_s: float


@dataclass
class Day:
    """`utilised`: of the replicas' time in the windows, with partial hypotheses and without."""

    kind: str
    hours: list[Hour]
    incidents: list[Incident]
    counts: dict[str, Any]
    turns: int
    p50_s: float
    p95_s: float
    p99_s: float
    longest_s: float
    over_1_s: float
    most_sessions: int
    most_replicas: int
    least_replicas: int


class Player:
    """`sessions` at the peak of one cell, from `first_h` o'clock for `hours`."""

    def __init__(self, inputs: Inputs, *, kind: str, sessions: int, first_h: float, hours: float, seed: int) -> None:
        self.inputs, self.kind = inputs, kind
        self.plan: Plan = plan(inputs)
        self._begins, self._until = first_h * HOUR, (first_h + hours) * HOUR
        gateways = max(2, math.ceil(sessions / self.plan.gateways_each))
        each = math.ceil(sessions / gateways / inputs.load)
        there = round(sessions * level(inputs.day, self._begins))
        target = self.plan.target[kind]
        self.cell = Cell(
            inputs, kind=kind, gateways=gateways, sessions_each=each, replicas=max(2, math.ceil(there / target)),
            target=target, seed=seed,
        )  # fmt: skip
        self.cell.clock.begin(self._begins)
        self.cell.fill(there)
        self.cell.expect(inputs.day, sessions / inputs.session_s, self._until)
        self._sessions = sessions
        self._chance = self.cell.talk.chance
        whole = hours >= 24
        self._apart = APART_S if whole else hours * HOUR / (len(self._kinds()) + 1)
        self._first = FIRST_H * HOUR if whole else self._begins + BEFORE_S
        self.incidents: list[Incident] = []
        self.hours: list[Hour] = []

    # ---- what happens --------------------------------------------------------------------------------------------

    def _kinds(self) -> dict[str, Callable[[], Callable[[], bool]]]:
        """By name: what is done; it gives what says whether it still goes on."""
        return {
            "a worker is killed": self._kill_one,
            "a machine with workers is lost": self._kill_machine,
            "a worker is frozen": self._freeze,
            "the head is lost for a minute, and a worker is killed meanwhile": self._behead,
            "a gateway is lost": self._kill_gateway,
            "a new version of the workers": self._update,
            "a new version of the gateways": self._renew,
            "another cell is lost, and a ninth of it comes here": self._surge,
        }

    def _open_workers(self) -> list[Any]:
        return [worker for worker in self.cell.cluster.workers if worker.open and not worker.frozen]

    def _kill_one(self) -> Callable[[], bool]:
        self.cell.cluster.kill([self._chance.choice(self._open_workers())], self.inputs.replica_lost_s)
        return lambda: False

    def _kill_machine(self) -> Callable[[], bool]:
        """Of CPU workers as many as fit on one; of GPUs eight, as usual."""
        fit = 8 if self.kind == "gpu" else int(self.inputs.machine_cores // self.inputs.caller_cores)
        workers = self._open_workers()
        self.cell.cluster.kill(workers[: min(fit, len(workers) - 1)], self.inputs.node_lost_s)
        return lambda: False

    def _freeze(self) -> Callable[[], bool]:
        self.cell.freeze(self._chance.choice(self._open_workers()))
        return lambda: False

    def _behead(self) -> Callable[[], bool]:
        self.cell.cluster.behead(AWAY_S)
        self.cell.clock.at(self.cell.clock.now + 10.0, lambda _: self._kill_one())
        return lambda: False

    def _kill_gateway(self) -> Callable[[], bool]:
        gateway = self._chance.choice(self.cell.gateways)
        self.cell.kill_gateway(gateway)
        self.cell.clock.at(self.cell.clock.now + self.inputs.machine_start_s, lambda _: setattr(gateway, "open", True))
        return lambda: False

    def _update(self) -> Callable[[], bool]:
        self.cell.cluster.update()
        return lambda: self.cell.cluster.updating

    def _renew(self) -> Callable[[], bool]:
        """Gateways in waves: drained, started anew when they are empty."""
        waiting = [*self.cell.gateways]
        wave = max(1, int(self.inputs.gateway_wave * len(waiting)))
        draining: list[Any] = []

        def look(_: Any) -> None:
            now = self.cell.clock.now
            for gateway in [one for one in draining if not one.sessions]:
                draining.remove(gateway)
                self.cell.clock.at(now + self.inputs.gateway_start_s, again, gateway)
            if draining or waiting:
                self.cell.clock.at(now + 0.25, look)

        def again(gateway: Any) -> None:
            gateway.open = True
            if waiting:
                begin()

        def begin() -> None:
            draining.append(waiting.pop())
            self.cell.drain(draining[-1])

        for _ in range(wave):
            begin()
        look(None)
        return lambda: any(not gateway.open for gateway in self.cell.gateways)

    def _surge(self) -> Callable[[], bool]:
        """Its sessions come within half a minute."""
        others = self.inputs.cells - 1
        for _ in range(round(self._sessions * level(self.inputs.day, self.cell.clock.now) / others)):
            self.cell.clock.at(self.cell.clock.now + self._chance.uniform(0, 30), lambda _: self.cell.fill(1))
        return lambda: False

    # ---- the day -------------------------------------------------------------------------------------------------

    def play(self, tell: Callable[[str], None] = lambda line: None) -> Day:
        marks: list[tuple[float, str]] = []
        at = self._first
        for name in self._kinds():
            marks.append((at, name))
            at += self._apart
        first, last = math.floor(self._begins / HOUR), math.ceil(self._until / HOUR)
        marks += [((hour + 1) * HOUR - SAMPLE_S - WARM_UP_S - 1.0, "") for hour in range(first, last)]
        for when, name in sorted(marks):
            if when + SAMPLE_S <= self._until:
                self._watch(when, name)
                tell(self._last(name))
        self.cell.clock.run(self._until)
        return self._day()

    def _last(self, name: str) -> str:
        if name:
            return f"{name}: longest wait {self.incidents[-1].longest_s:.2f} s"
        return f"{self.hours[-1].hour:.0f} o'clock: {self.hours[-1].sessions} sessions"

    def _watch(self, when: float, name: str) -> None:
        cell, clock = self.cell, self.cell.clock
        clock.run(max(clock.now, when if not name else when - BEFORE_S))
        busy, seconds = self._busy(), self._room()
        cell.play()
        if not name:
            seen = len(cell.counts.waits)
            clock.run(clock.now + WARM_UP_S + SAMPLE_S)
            cell.pause()
            waits = sorted(wait for _, wait in cell.counts.waits[seen:])
            spent = [b - a for a, b in zip(busy, self._busy(), strict=True)]
            room = (self._room() + seconds) / 2 * (WARM_UP_S + SAMPLE_S)
            cuts = [quantile(waits, share) for share in (0.5, 0.95, 0.99, 1.0)]
            sessions, replicas = len(cell.open), cell.cluster.serving
            self.hours.append(
                Hour(when // HOUR + 1, sessions, replicas, sum(spent) / room, (spent[0] + spent[1]) / room, *cuts)
            )
            return
        clock.run(when)
        before, seen = _numbers(cell.counts), len(cell.counts.waits)
        goes_on = self._kinds()[name]()
        clock.run(when + WATCHED_S)
        while goes_on() and clock.now < when + self._apart - 2 * SAMPLE_S - BEFORE_S:
            clock.run(clock.now + 1.0)
        clock.run(clock.now + 10.0)
        waits = sorted(wait for _, wait in cell.counts.waits[seen:])
        counts = {key: value - before[key] for key, value in _numbers(cell.counts).items()}
        late = sum(wait > 1 for wait in waits) / max(1, len(waits))
        figures = (quantile(waits, 1.0), quantile(waits, 0.99), late)
        self.incidents.append(Incident(name, when, clock.now, *figures, counts))
        cell.pause()

    def _busy(self) -> list[float]:
        workers = [*self.cell.cluster.workers, *self.cell.cluster.gone]
        return [sum(worker.busy_s[urgency] for worker in workers) for urgency in range(3)]

    def _room(self) -> float:
        return float(self.cell.cluster.serving * self.cell.cluster.batching.callers)

    def _day(self) -> Day:
        waits = sorted(wait for _, wait in self.cell.counts.waits)
        replicas = [hour.replicas for hour in self.hours] + [count for _, count in self.cell.cluster.changes]
        return Day(
            kind=self.kind,
            hours=self.hours,
            incidents=self.incidents,
            counts=_numbers(self.cell.counts),
            turns=len(waits),
            p50_s=quantile(waits, 0.5),
            p95_s=quantile(waits, 0.95),
            p99_s=quantile(waits, 0.99),
            longest_s=quantile(waits, 1.0),
            over_1_s=sum(wait > 1 for wait in waits) / max(1, len(waits)),
            most_sessions=max((hour.sessions for hour in self.hours), default=0),
            most_replicas=max(replicas, default=0),
            least_replicas=min(replicas, default=0),
        )


def _numbers(counts: Counts) -> dict[str, int]:
    return {key: value for key, value in vars(counts).items() if isinstance(value, int)}


def quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
