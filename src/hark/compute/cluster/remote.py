"""Compute whose engines run on a Ray cluster; voice scores, judgements of turns and voices are worked out here.

A gateway is no part of that cluster and needs nothing of Ray's: it speaks gRPC to Serve's ingress, and holds its
sessions whatever becomes of head, nodes and workers. For each session and engine there is a Feed (feed.py) with at most
one stream that counts.

Rule: nothing here waits. What is late is noticed by a tick of the loop, and a loop that was late itself blames nobody.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from statistics import fmean, median
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry

from hark.compute.cluster import wire
from hark.compute.cluster.attempt import Attempt
from hark.compute.cluster.channels import Channels
from hark.compute.cluster.feed import GIVEN_UP_S, Feed, Stream
from hark.compute.cluster.wire import ALIVE_EVERY_S
from hark.compute.scheduler import LocalCompute
from hark.core.work import Result, Strain, Transcribe, Urge, Work, WorkFailed
from hark.errors import ModelError, OperatorError
from hark.telemetry.cluster import Cluster as Notes

log = logging.getLogger("hark.compute")

Deliver: TypeAlias = Callable[[Result], None]

TICK_S: Final = 0.1
# A tick that comes later than this was kept waiting by this process, and so were the answers of workers.
LATE_S: Final = 0.3
# A stream on which a worker fell silent is held for so long: while it is open, it counts against that worker where the
# next one is placed by least connections.
HELD_S: Final = 8.0
# For workers to be there when a gateway starts, and for one of them to greet.
START_S: Final = 30.0
START_AGAIN_S: Final = 0.25
START_EACH_S: Final = 5.0  # for one that has taken the stream: it may be frozen while others are not
# A line of the log about streams stands there so often, with the number of those that it stands for.
SELDOM_S: Final = 1.0
SELDOM_KEPT: Final = 200
# Without any worker of an engine for so long, the log says when there is one again.
OUTAGE_S: Final = 5.0
# What a worker said of its strain counts for so long.
STRAIN_S: Final = 10.0


class ClusterCompute:
    """`local` does all but transcribe; `channels` lead to the workers; `rotate_s` as in Feed. `notes`: what is noted of
    streams."""

    def __init__(
        self, local: LocalCompute, channels: Channels, *, rotate_s: float = 60.0, notes: Notes | None = None
    ) -> None:
        self._local = local
        self._channels = channels
        self._rotate_s = rotate_s
        self._notes = notes or Notes(CollectorRegistry())
        self._feeds: dict[Deliver, dict[str, Feed]] = {}  # of each session, by engine
        self._told = Seldom()
        self._strains: dict[str, tuple[float, Strain]] = {}
        self._missed: dict[str, float] = {}  # engines of which no worker could be had, and since when
        self._ticking: asyncio.Task[None] | None = None
        self._left = False
        self._loop = asyncio.get_running_loop()

    async def start(self, *engines: str) -> None:
        """Load what runs here, and wait for a worker of each of these engines. Raises OperatorError if there is none
        within START_S, or a model that runs here cannot be loaded."""
        self._ticking = asyncio.create_task(self._tick())
        await asyncio.gather(self._local.start(), *(self._find(engine) for engine in engines))

    def submit(self, work: Work, deliver: Deliver) -> None:
        if not isinstance(work, Transcribe):
            self._local.submit(work, deliver)
            return
        if self._left:  # nobody would close what is opened now
            error = ModelError("This server is being stopped, and asks its workers nothing more.")
            self._loop.call_soon(deliver, WorkFailed(work.id, error))
            return
        feeds = self._feeds.setdefault(deliver, {})
        if (feed := feeds.get(work.engine)) is None:
            feed = feeds[work.engine] = self._feed(work.engine, deliver)
        feed.submit(work, self._loop.time())

    def urge(self, urge: Urge, deliver: Deliver) -> None:
        for feed in self._feeds.get(deliver, {}).values():
            feed.urge(urge)

    def withdraw(self, deliver: Deliver) -> None:
        self._local.withdraw(deliver)
        for feed in self._feeds.pop(deliver, {}).values():
            feed.withdraw()

    def strain(self) -> Strain:
        """That of the workers, by what they said last, and the wait for voice scores here."""
        since = self._loop.time() - STRAIN_S
        known = [strain for at, strain in self._strains.values() if at >= since]
        here = self._local.strain()
        if not known:
            return here
        return Strain(
            late=fmean(strain.late for strain in known),
            final=fmean(strain.final for strain in known),
            wait_s=median(strain.wait_s for strain in known),
            scores_wait_s=here.scores_wait_s,
            callers=sum(strain.callers for strain in known),
            sessions=sum(strain.sessions for strain in known),
        )

    @property
    def waiting(self) -> int:
        """How many requests have no answer yet."""
        return self._local.waiting + self._unanswered

    def look(self) -> None:
        """Note how it all is now."""
        self._local.look()
        since = self._loop.time() - STRAIN_S
        workers = sum(at >= since for at, _ in self._strains.values())
        self._notes.show(self._channels.streams, self._unanswered, workers)

    async def keep_within_memory(self) -> None:
        await self._local.keep_within_memory()

    async def leave(self) -> None:
        """End all streams. On the loop."""
        self._left = True
        if self._ticking is not None:
            self._ticking.cancel()
        for deliver in list(self._feeds):
            self.withdraw(deliver)
        await self._channels.close()

    def stop(self) -> None:
        self._local.stop()

    # ---- what happens on streams ---------------------------------------------------------------------------------

    def strained(self, worker: str, strain: Strain) -> None:
        self._strains[worker] = self._loop.time(), strain

    def missed(self, engine: str, why: str) -> None:
        """No worker of it could be had."""
        self._missed.setdefault(engine, self._loop.time())
        self.tell(f"no worker of the model '{engine}' could be had: {why}")

    def met(self, engine: str) -> None:
        """A worker of it is there."""
        since = self._missed.pop(engine, None)
        if since is not None and self._loop.time() - since >= OUTAGE_S:
            log.warning("workers of the model '%s' answer again", engine)

    def tell(self, words: str) -> None:
        """The log, of what may happen to many sessions at once."""
        if (line := self._told.line(words, self._loop.time())) is not None:
            log.warning("%s", line)

    @property
    def _unanswered(self) -> int:
        return sum(feed.unanswered for feeds in self._feeds.values() for feed in feeds.values())

    def _feed(self, engine: str, deliver: Deliver) -> Feed:
        return Feed(
            engine,
            deliver,
            open_stream=lambda feed: Attempt(self._channels.pick(self._loop.time()), engine, _Ear(self, feed)),
            let_go=self._let_go,
            rotate_s=self._rotate_s,
            note=lambda what: self._happened(engine, what),
            waited=lambda seconds: self._notes.answered(engine, seconds),
            chance=random.random,
        )

    def _happened(self, engine: str, what: str) -> None:
        self._notes.happened(engine, what)
        if what == "given_up":
            self.tell(
                f"no worker of the model '{engine}' answered a request in {GIVEN_UP_S:.0f} s; its session is told"
            )

    def _let_go(self, stream: Stream) -> None:
        assert isinstance(stream, Attempt)
        lives = self._loop.time() - stream.heard_at < 2 * ALIVE_EVERY_S
        how = "lives and does not answer" if lives else "is silent"
        self.tell(f"worker {stream.worker or '(none has greeted)'} {how}; what it was asked is asked elsewhere")
        self._channels.silent(stream.channel, self._loop.time())
        self._loop.call_later(HELD_S, stream.cut)

    async def _tick(self) -> None:
        while True:
            due = self._loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            now = self._loop.time()
            for deliver, feeds in list(self._feeds.items()):
                for engine, feed in list(feeds.items()):
                    try:
                        feed.tick(now, blameless=now - due > LATE_S)
                    except Exception:  # one session's fault; all others wait for this loop
                        if line := self._told.line("a session's streams to workers", now):
                            log.exception("%s", line)
                    if feed.at_rest:
                        feeds.pop(engine, None)
                if not feeds and self._feeds.get(deliver) is feeds:
                    del self._feeds[deliver]
            for worker in [worker for worker, (at, _) in self._strains.items() if at < now - STRAIN_S]:
                del self._strains[worker]
            await self._channels.end_idle()

    async def _find(self, engine: str) -> None:
        """Wait until a worker of this engine greets."""
        until = self._loop.time() + START_S
        before = "nobody answered"
        while not self._left:
            found = _Finding()
            attempt = Attempt(self._channels.pick(self._loop.time()), engine, found)
            why = await found.wait(min(START_EACH_S, until - self._loop.time()), before)
            if why is None:
                attempt.cut()
                return
            if why != before:
                log.info("waiting up to %.0f s for a worker of the model '%s': %s", START_S, engine, why)
            before = why
            self._loop.call_later(HELD_S, attempt.cut)
            attempt.channel.shun(self._loop.time())
            if self._loop.time() + START_AGAIN_S >= until:
                raise OperatorError(_nobody(engine, self._channels.addresses, why))
            await asyncio.sleep(START_AGAIN_S)


class _Ear:
    """Tells a feed of its attempts."""

    def __init__(self, compute: ClusterCompute, feed: Feed) -> None:
        self._compute = compute
        self._feed = feed

    def heard(self, attempt: Attempt, answer: wire.Heard | wire.Failed) -> None:
        self._feed.heard(answer, attempt, attempt.heard_at)

    def lost(self, attempt: Attempt, why: str) -> None:
        now = asyncio.get_running_loop().time()
        if attempt.worker:
            self._compute.tell(f"worker {attempt.worker} is lost: {why}")
        else:
            self._compute.missed(self._feed.engine, why)
            attempt.channel.shun(now)
        self._feed.lost(attempt, now)

    def strained(self, worker: str, strain: Strain | None) -> None:
        self._compute.met(self._feed.engine)
        if strain is not None:
            self._compute.strained(worker, strain)


class Seldom:
    """Lets a line through once in a while, and says how often it would have been said meanwhile."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[float, int]] = {}  # when it was said, and how often not since

    def line(self, words: str, now: float) -> str | None:
        """What to say of it now, if anything."""
        at, unsaid = self._lines.get(words, (-SELDOM_S, 0))
        if now - at < SELDOM_S:
            self._lines[words] = at, unsaid + 1
            return None
        if len(self._lines) >= SELDOM_KEPT:
            self._lines.clear()
        self._lines[words] = now, 0
        return f"{words} ({unsaid} more of these)" if unsaid else words


class _Finding:
    """Hears of the first worker, or why there is none."""

    def __init__(self) -> None:
        self._found: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def wait(self, patience_s: float, otherwise: str) -> str | None:
        """None if a worker has greeted, else why none has: `otherwise`, if nothing at all was heard."""
        try:
            async with asyncio.timeout(patience_s):
                return await self._found
        except TimeoutError:
            return otherwise

    def heard(self, attempt: Attempt, answer: wire.Heard | wire.Failed) -> None:
        pass

    def lost(self, attempt: Attempt, why: str) -> None:
        self._tell(why)

    def strained(self, worker: str, strain: Strain | None) -> None:
        self._tell(None)

    def _tell(self, why: str | None) -> None:
        if not self._found.done():
            self._found.set_result(why)


def _nobody(engine: str, addresses: tuple[str, ...], why: str) -> str:
    why = why.rstrip(".")
    return (
        f"No worker of the model '{engine}' could be reached at {', '.join(addresses)} within {START_S:.0f} s: {why}. "
        f"See that Serve runs there with its gRPC ingress and the application '{wire.application(engine)}' "
        "(`hark ray config` prints its configuration, `serve status` what runs), or name another model with --model."
    )
