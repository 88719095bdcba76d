"""A cell in the simulation: sessions come, take a gateway and a stream to a worker, talk, move, and go.

Sessions, streams, gateways and replicas are played all day. Turns, of which a cell has some ninety million a day, are
played in windows: minutes of every hour, and around whatever happens to the cell. What turns do decides nothing about
sessions and streams, so a window shows what the whole would have shown.

Rules of the design that are played: a turn's audio stays in the gateway until its final text is there, so a worker that
is lost or silent for the stall timer costs a replay; a stream moves to another replica about once a minute, between
turns; a gateway that drains lets each session go after its turn, and its client comes back elsewhere; who finds no room
is refused, and comes again. A gateway that dies takes its sessions and their open turns with it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from fleet_cluster import Cluster, Worker
from fleet_inputs import EARLY_S, Inputs
from fleet_session import Counts, Gateway, Session
from fleet_talk import Talk, arrivals
from fleet_worker import ENDED, PAUSED, Clock, Turn
from hark.compute.cluster.feed import GREETINGS

WARM_UP_S = 20.0  # of a window, before its turns count
AGAIN_S = 10.0  # Retry-After of a refusal


class Cell:
    """`kind` of its workers; `sessions_each`: the most of a gateway; `target`: streams that a replica is to have.
    `early`: whether a pause asks for an early transcript."""

    def __init__(
        self,
        inputs: Inputs,
        *,
        kind: str,
        gateways: int,
        sessions_each: int,
        replicas: int,
        target: int,
        seed: int,
        scales: bool = True,
        early: bool = True,
    ) -> None:
        self.inputs = inputs
        self._early = early
        self.clock = Clock()
        self.talk = Talk(inputs, seed)
        self.counts = Counts()
        self.open: dict[Session, None] = {}
        self.gateways = [Gateway(sessions_each) for _ in range(gateways)]
        self.cluster = Cluster(
            self.clock, inputs, kind, replicas, target, answer=self._answered, move=self._broken, roomy=self._house,
            scales=scales,
        )  # fmt: skip
        self._homeless: deque[Session] = deque()
        self._playing = False
        self._counting_from = 0.0

    # ---- coming and going ----------------------------------------------------------------------------------------

    def expect(self, day: list[float], rate: float, until: float) -> None:
        """Arrivals to come."""
        coming = arrivals(day, rate, self.clock.now, until, self.talk.chance)

        def arrive(_: Any) -> None:
            self.counts.came += 1
            self.enter(Session(self.clock.now + self.talk.session(), self._proxy()))
            follow()

        def follow() -> None:
            if (when := next(coming, None)) is not None:
                self.clock.at(when, arrive)

        follow()

    def fill(self, sessions: int) -> None:
        """So many are there already, each somewhere in its life."""
        for _ in range(sessions):
            # Long lives are met more often than short ones are begun: the rest of one that is met is drawn from them.
            chance, inputs = self.talk.chance, self.inputs
            whole = self.talk.session() * math.exp(inputs.session_log_sd**2)
            self.counts.came += 1
            self.enter(Session(self.clock.now + chance.random() * whole, self._proxy()))

    def _proxy(self) -> int:
        return int(self.talk.chance.random() * self.inputs.proxies)

    def enter(self, session: Session, tries: int = 0) -> None:
        gateway = min((one for one in self.gateways if one.open), key=lambda one: len(one.sessions), default=None)
        if gateway is None or len(gateway.sessions) >= gateway.most or not (session.back or self.cluster.room):
            self.counts.refusals += 1
            if tries < self.inputs.retries or session.back:
                self.clock.at(self.clock.now + AGAIN_S, lambda _: self.enter(session, tries + 1))
            else:
                self.counts.refused += 1
            return
        session.gateway, session.leaves = gateway, False
        gateway.sessions[session] = self.open[session] = None
        if not session.back:
            self.clock.at(session.ends, self._over, session)
        session.back = False
        self._open_stream(session)
        if self._playing:
            self.clock.at(self.clock.now + self.talk.gap(), self._begin, (session, session.opened, self._counting_from))

    def _over(self, session: Session) -> None:
        """It has lasted its time; a turn in hand ends first."""
        session.gone = True
        if session.turn is None:
            self._leave(session)

    def _leave(self, session: Session) -> None:
        self._close_stream(session)
        self.open.pop(session, None)
        if session.gateway is not None:
            session.gateway.sessions.pop(session, None)
            session.gateway = None
        if not session.gone:
            self.counts.reconnects += 1
            session.back = True
            wait = self.inputs.back_s * self.talk.chance.uniform(0.25, 1)
            self.clock.at(self.clock.now + wait, self._back, session)

    def _back(self, session: Session) -> None:
        if not session.gone:
            self.enter(session)

    # ---- streams -------------------------------------------------------------------------------------------------

    def _open_stream(self, session: Session) -> None:
        worker = self.cluster.place(session.proxy)
        session.replica, session.rotates = worker, False
        session.opened += 1
        if worker is None:
            self._homeless.append(session)
            return
        session.greeted = not worker.frozen
        worker.streams[session.proxy] += 1
        worker.sessions[session] = None
        self.counts.streams += 1
        wait = self.inputs.rotation_s * self.talk.chance.uniform(0.9, 1.1)
        self.clock.at(self.clock.now + wait, self._rotate, (session, session.opened))

    def _close_stream(self, session: Session, held_s: float = 0.0) -> None:
        """`held_s`: for so long its proxy still counts it."""
        worker, session.replica = session.replica, None
        if worker is not None:
            worker.sessions.pop(session, None)
            if held_s:
                self.clock.at(self.clock.now + held_s, worker.uncount, session.proxy)
            else:
                worker.uncount(session.proxy)
            self.cluster.left(worker)
            if self._homeless and worker.open:
                self._house()

    def _rotate(self, what: tuple[Session, int]) -> None:
        session, opened = what
        if session.opened != opened or session.replica is None:
            return
        if session.turn is not None:
            session.rotates = True
        elif self.cluster.room:
            self._close_stream(session)
            self._open_stream(session)
        else:
            self.clock.at(self.clock.now + self.inputs.rotation_s, self._rotate, what)

    def _broken(self, session: Session, held_s: float = 0.0) -> None:
        """The stream is lost: to another replica, with all of the turn's audio."""
        self.counts.moved += 1
        self._close_stream(session, held_s)
        self._open_stream(session)
        self._replay(session)

    def _house(self) -> None:
        """There is room again for who waits."""
        for _ in range(len(self._homeless)):
            session = self._homeless.popleft()
            if session.replica is None and session in self.open:
                self._open_stream(session)
                self._replay(session)

    # ---- turns ---------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """From now on turns are played; they count once all is under way."""
        self._playing, self._counting_from = True, self.clock.now + WARM_UP_S
        for session in [*self.open]:
            wait = self.talk.chance.random() * self.talk.cycle_s
            self.clock.at(self.clock.now + wait, self._begin, (session, session.opened, self._counting_from))

    def pause(self) -> None:
        """No more of them."""
        self._playing = False
        for session in self.open:
            if session.turn is not None:
                self.counts.dropped += session.turn.begun >= self._counting_from
                session.turn.done = True
                session.turn = None
            if session.rotates:
                self._rotate((session, session.opened))
        for session in [one for one in self.open if one.gone or one.leaves]:
            self._leave(session)
        for worker in self.cluster.workers:
            worker.forget()

    def _begin(self, what: tuple[Session, int, float]) -> None:
        session, _, window = what
        if not self._playing or window != self._counting_from or session.gateway is None or session.turn is not None:
            return
        turn = session.turn = Turn(session, self.talk.turn(), self.clock.now)
        self.counts.begun += turn.begun >= self._counting_from
        if session.replica is not None:
            session.replica.grow(turn)
            self._watch(session)
        self._await_pause(turn)

    def _await_pause(self, turn: Turn) -> None:
        _, until = turn.runs[turn.said]
        follows = turn.runs[turn.said + 1][0] - until if turn.said + 1 < len(turn.runs) else self.inputs.silence_s
        if follows >= EARLY_S:
            self.clock.at(turn.begun + until + EARLY_S, self._paused, turn)
        else:  # too short to be noticed
            turn.said += 1
            self._await_pause(turn)

    def _paused(self, turn: Turn) -> None:
        if turn.done:
            return
        turn.said += 1
        turn.speaking, turn.answered = False, False
        if self._early:
            self._ask(turn, PAUSED)
        last = turn.runs[turn.said - 1][1]
        if turn.said < len(turn.runs):
            self.clock.at(turn.begun + turn.runs[turn.said][0], self._resumed, turn)
        else:
            self.clock.at(turn.begun + last + self.inputs.silence_s, self._ended, turn)

    def _resumed(self, turn: Turn) -> None:
        if turn.done:
            return
        turn.asked += 1
        turn.speaking, turn.waits = True, False
        if turn.session.replica is not None:
            turn.session.replica.grow(turn)
        self._await_pause(turn)

    def _ended(self, turn: Turn) -> None:
        if turn.done:
            return
        turn.ended = self.clock.now
        if turn.answered:
            self._complete(turn)
        elif not self._early:
            self._ask(turn, ENDED)
        elif turn.session.replica is not None:
            turn.session.replica.urge(turn)

    def _ask(self, turn: Turn, urgency: int) -> None:
        if turn.session.replica is not None:
            turn.session.replica.ask(turn, urgency)
            self._watch(turn.session)

    def _answered(self, turn: Turn) -> None:
        turn.session.stalls = 0
        if turn.ended is not None and not turn.done:
            self._complete(turn)

    def _complete(self, turn: Turn) -> None:
        session: Session = turn.session
        turn.done, session.turn = True, None
        assert turn.ended is not None
        if turn.begun >= self._counting_from:
            wait = self.clock.now - turn.ended
            if wait > self.inputs.given_up_s:
                self.counts.failed += 1
            else:
                self.counts.completed += 1
            self.counts.waits.append((turn.ended, wait + self.inputs.hop_ms / 1000 if wait else 0.0))
        if session.gone or session.leaves:
            self._leave(session)
            return
        if session.rotates:
            session.rotates = False
            self._rotate((session, session.opened))
        self.clock.at(self.clock.now + self.talk.gap(), self._begin, (session, session.opened, self._counting_from))

    def _watch(self, session: Session) -> None:
        """The stall timer, which matters only where nothing answers; the patience is that of cluster/feed.py."""
        worker = session.replica
        if worker is not None and worker.frozen:
            if session.greeted:
                patience = self.inputs.stall_s * 2.0 ** max(0, session.stalls - 1)
            else:
                patience = self.inputs.greeting_s * 2.0 ** max(0, session.stalls - GREETINGS)
            self.clock.at(self.clock.now + patience, self._stalled, (session, session.opened))

    def _stalled(self, what: tuple[Session, int]) -> None:
        session, opened = what
        if session.opened == opened and session.replica is not None and session in self.open:
            session.stalls += 1
            self._broken(session, self.inputs.held_s)

    def _replay(self, session: Session) -> None:
        turn = session.turn
        if turn is None or turn.done:
            return
        turn.replays += 1
        self.counts.replays += 1
        turn.running, turn.waits, turn.known, turn.first = 0, False, 0.0, True
        turn.asked += 1
        if turn.answered:
            return
        if turn.speaking:
            if session.replica is not None:
                session.replica.grow(turn)
                self._watch(session)
        else:
            self._ask(turn, ENDED if turn.ended is not None else PAUSED)

    # ---- faults --------------------------------------------------------------------------------------------------

    def freeze(self, worker: Worker) -> None:
        self.cluster.freeze(worker)
        for session in [*worker.sessions]:
            if session.turn is not None:
                asks = session.turn.due() - self.clock.now if session.turn.speaking else 0.0
                wait = self.inputs.stall_s + max(0.0, asks)
                self.clock.at(self.clock.now + wait, self._stalled, (session, session.opened))

    def kill_gateway(self, gateway: Gateway) -> None:
        """Its sessions are lost, and the turns that are open; clients come back to others."""
        for session in [*gateway.sessions]:
            self.counts.lost_sessions += 1
            if session.turn is not None:
                self.counts.lost_turns += session.turn.begun >= self._counting_from
                session.turn.done = True
                session.turn = None
            self._leave(session)
        self.drain(gateway)

    def drain(self, gateway: Gateway) -> None:
        """It takes nobody, and lets each session go after its turn."""
        gateway.open = False
        gateway.drains += 1
        for session in [*gateway.sessions]:
            session.leaves = True
            if session.turn is None:
                self._leave(session)
        self.clock.at(self.clock.now + self.inputs.drain_s, self._close, (gateway, gateway.drains))

    def _close(self, what: tuple[Gateway, int]) -> None:
        """Whoever is still there has his turn ended where it is."""
        gateway, drains = what
        for session in [*gateway.sessions] if not gateway.open and gateway.drains == drains else []:
            if session.turn is not None:
                self.counts.cut += session.turn.begun >= self._counting_from
                session.turn.done, session.turn = True, None
            self._leave(session)
