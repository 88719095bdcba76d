"""The simulator held against one real machine: what `make bench` measured of it, and what this says it would carry.

Rule: the same talk, the same silence, as many callers, and the cores that the other half of the server leaves to them.
One figure, `crowding`, is fitted to the sessions that were carried. The sessions that were carried without batches and
early finish were not fitted to anything: how far that one is off says what the simulator is worth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fleet_cell import Cell
from fleet_inputs import Inputs

SECONDS = 80.0
LIMIT_S = 1.0
STEPS = 40  # a search goes on until it is sure to one part in so many


@dataclass(frozen=True)
class Level:
    """Of the time from the end of speech, the silence that ends a turn included, to its text."""

    sessions: int
    p50_s: float
    p95_s: float
    p99_s: float
    busy: float


def level(inputs: Inputs, sessions: int, *, plain: bool = False, seed: int = 1) -> Level:
    """`plain`: each request by itself, and none before the turn has ended."""
    machine = dict(inputs.machine)
    cores, _, _ = machine.pop("cores"), machine.pop("carried"), machine.pop("carried_plain")
    bench = inputs.replaced(**machine, session_s=1e9)
    cell = Cell(
        bench, kind="cpu", gateways=1, sessions_each=sessions, replicas=1, target=sessions, seed=seed, scales=False,
        early=not plain,
    )  # fmt: skip
    (worker,) = cell.cluster.workers
    worker.share_cores(cores)
    if plain:
        worker.batching = replace(worker.batching, size=1)
    cell.fill(sessions)
    cell.play()
    cell.clock.run(SECONDS)
    cell.pause()
    waits = sorted(wait + bench.silence_s for _, wait in cell.counts.waits)
    busy = sum(worker.busy_s) / SECONDS / worker.batching.callers
    return Level(sessions, *(waits[int(len(waits) * share)] for share in (0.5, 0.95, 0.99)), busy)


def most(inputs: Inputs, start: int, *, plain: bool = False) -> Level:
    """The most sessions with a 95th percentile under LIMIT_S, and what it was there."""
    low, high = 1, start
    best = level(inputs, 1, plain=plain)
    while (tried := level(inputs, high, plain=plain)).p95_s < LIMIT_S:
        best, low, high = tried, high, high * 2
    while high - low > max(1, low // STEPS):
        middle = (low + high) // 2
        tried = level(inputs, middle, plain=plain)
        if tried.p95_s < LIMIT_S:
            best, low = tried, middle
        else:
            high = middle
    return best
