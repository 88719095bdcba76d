"""The workers of a cell in the simulation: replicas behind HAProxy, as Ray Serve starts, stops and replaces them.

Rules, each that of Serve 2.60 or of the design: a stream goes to the replica with the fewest streams of the same proxy
(leastconn; proxies know nothing of each other, nor of a frozen replica until its checks fail); a replica takes no more
streams than its `max_ongoing_requests`; the number that is wanted is open streams over the target, held for a while
before it counts; what is to go takes no new streams and waits until the old ones have been rotated away, then they are
cut; an update replaces a fifth at a time, old ones first. While the head is lost nothing is started or stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fleet_inputs import Inputs
from fleet_worker import Clock, Replica, Turn


class Worker(Replica):
    """`streams` of each proxy, and the sessions that hold them."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        super().__init__(
            cluster.clock,
            cluster.batching,
            cluster.answer,
            draft_share=cluster.inputs.draft_share,
            number=number,
        )
        self.sessions: dict[Any, None] = {}  # in their order, that a seed gives one day
        self.streams = [0] * int(cluster.inputs.proxies)
        self.open = True  # for new streams
        self.gone = False
        self.version = cluster.version

    def uncount(self, proxy: int) -> None:
        """A stream of this proxy has ended."""
        self.streams[proxy] -= 1


class Cluster:
    """`move` is told of sessions whose stream broke; `roomy` that there is room again. `scales`: whether it follows
    what is open, or keeps to `replicas`."""

    def __init__(
        self,
        clock: Clock,
        inputs: Inputs,
        kind: str,
        replicas: int,
        target: int,
        *,
        answer: Callable[[Turn], None],
        move: Callable[[Any], None],
        roomy: Callable[[], None],
        scales: bool = True,
    ) -> None:
        self.clock, self.inputs, self.kind = clock, inputs, kind
        self.batching = inputs.worker(kind)
        self.answer, self._move, self._roomy = answer, move, roomy
        self.target, self.most_streams = target, math.ceil(target / inputs.load)
        self.wanted = replicas
        self.version = 0
        self.headless = 0
        self._numbers = 0
        self._starting = 0
        self._since: dict[str, float] = {}
        self._updating = False
        self.workers: list[Worker] = []
        self.changes: list[tuple[float, int]] = []  # when the number that is wanted changed, and to what
        self.gone: list[Worker] = []
        for _ in range(replicas):
            self._add()
        if scales:
            clock.at(inputs.scale_every_s, self._look)

    # ---- streams -------------------------------------------------------------------------------------------------

    def place(self, proxy: int) -> Worker | None:
        """Where this proxy sends a new stream; None if all are full."""
        chosen, fewest, most = None, math.inf, self.most_streams
        for worker in self.workers:
            count = worker.streams[proxy]
            if worker.open and count < fewest and len(worker.sessions) < most:
                chosen, fewest = worker, count
        return chosen

    @property
    def room(self) -> bool:
        return any(worker.open and len(worker.sessions) < self.most_streams for worker in self.workers)

    @property
    def serving(self) -> int:
        return sum(worker.open and not worker.frozen for worker in self.workers)

    @property
    def streams(self) -> int:
        return sum(len(worker.sessions) for worker in self.workers)

    # ---- replicas ------------------------------------------------------------------------------------------------

    @property
    def load_s(self) -> float:
        seconds: float = self.inputs.gpu_load_s if self.kind == "gpu" else self.inputs.load_s
        return seconds

    def _add(self) -> Worker:
        worker = Worker(self, self._numbers)
        self._numbers += 1
        self.workers.append(worker)
        return worker

    def _start(self, seconds: float) -> None:
        self._starting += 1
        self.clock.at(self.clock.now + seconds, self._started)

    def _started(self, _: None) -> None:
        if self.headless:
            self.clock.at(self.clock.now + self.inputs.replace_s, self._started)
            return
        self._starting -= 1
        self._add()
        self._roomy()

    def _drain(self, worker: Worker) -> None:
        worker.open = False
        self.clock.at(self.clock.now + self.inputs.grace_s, self._cut, worker)
        self.left(worker)

    def left(self, worker: Worker) -> None:
        """A stream of it has ended."""
        if not worker.open and not worker.sessions and not worker.gone and not worker.frozen:
            self._stopped(worker)

    def _cut(self, worker: Worker) -> None:
        if not worker.gone:
            self._stopped(worker)

    def _stopped(self, worker: Worker) -> None:
        """It is gone; what still held it has to go elsewhere."""
        worker.gone, worker.open = True, False
        worker.forget()
        self.workers.remove(worker)
        self.gone.append(worker)
        for session in [*worker.sessions]:
            self._move(session)
        if self._updating:
            self._update(None)

    # ---- the number of replicas ----------------------------------------------------------------------------------

    def _look(self, _: None) -> None:
        inputs, now = self.inputs, self.clock.now
        self.clock.at(now + inputs.scale_every_s, self._look)
        if self.headless:
            return
        desired = max(2, math.ceil(self.streams / self.target))
        for way, differs, delay in (
            ("up", desired > self.wanted, inputs.up_delay_s),
            ("down", desired < self.wanted, inputs.down_delay_s),
        ):
            if not differs:
                self._since.pop(way, None)
            elif now - self._since.setdefault(way, now) >= delay:
                del self._since[way]
                self._want(desired)

    def _want(self, replicas: int) -> None:
        more = replicas - self.wanted
        self.wanted = replicas
        self.changes.append((self.clock.now, replicas))
        for _ in range(more):
            self._start(self.inputs.machine_start_s + self.load_s)
        if more < 0:
            open_ones = sorted((worker for worker in self.workers if worker.open), key=lambda one: len(one.sessions))
            for worker in open_ones[:-more]:
                self._drain(worker)

    def update(self) -> None:
        """A new version: all replicas are replaced, a part of them at a time."""
        self.version += 1
        self._updating = True
        self._update(None)

    @property
    def updating(self) -> bool:
        return self._updating

    def _update(self, _: None) -> None:
        """As Serve's deployment_state: those in between are the wanted ones less all that serve."""
        old = [worker for worker in self.workers if worker.open and worker.version != self.version]
        running = sum(worker.open for worker in self.workers)
        if not old:
            self._updating = any(worker.version != self.version for worker in self.workers)
        most = max(int(self.inputs.rollout_share * self.wanted), 1)
        missing = self.wanted - running - self._starting - sum(not worker.open for worker in self.workers)
        for _ in range(missing):
            self._start(self.inputs.replace_s + self.load_s)
        for worker in old[: max(0, most - (self.wanted - running))]:
            self._drain(worker)
        if old:
            self.clock.at(self.clock.now + 1.0, self._again, self.version)

    def _again(self, version: int) -> None:
        if self._updating and version == self.version:
            self._update(None)

    # ---- faults --------------------------------------------------------------------------------------------------

    def kill(self, workers: list[Worker], noticed_s: float) -> None:
        """At once; streams know it after `noticed_s`, and Serve replaces them after its time."""
        for worker in workers:
            worker.open = False
            worker.forget()
            worker.frozen = True  # takes nothing more
            self.clock.at(self.clock.now + noticed_s, self._found_dead, worker)

    def _found_dead(self, worker: Worker) -> None:
        if not worker.gone:
            self._stopped(worker)
            self._start(self.inputs.replace_s + self.load_s)

    def freeze(self, worker: Worker) -> None:
        """It answers nothing more, and HAProxy sends it new streams until its checks have failed."""
        worker.frozen = True
        self.clock.at(self.clock.now + self.inputs.health_s, self._shut, worker)
        self.clock.at(self.clock.now + self.inputs.frozen_s, self._found_dead, worker)

    def _shut(self, worker: Worker) -> None:
        worker.open = False

    def behead(self, seconds: float) -> None:
        """The head is gone: nothing is started or stopped until it is back."""
        self.headless += 1
        self.clock.at(self.clock.now + seconds, self._headed)

    def _headed(self, _: None) -> None:
        self.headless -= 1
