"""A worker owns one model and the threads that call it: one, or as many at once as the model makes good use of.

Rule: requests wait in one queue; the batch is chosen when a thread is free (batching.py). If a batch fails, each of its
requests is run once more alone, so that a poisonous one fails by itself; and one that was lost with the process of its
engine is run once more even so, for it may have been an innocent. Work whose session is gone is never run.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Final, NamedTuple, TypeAlias

from msgspec import structs

from hark.compute.batching import Entry, Limits, Queue
from hark.compute.load import Load
from hark.compute.process import EngineLostError
from hark.core.work import (
    SAMPLE_RATE,
    Ran,
    Result,
    Strain,
    Transcribe,
    Transcribed,
    Urge,
    Urgency,
    Work,
    WorkFailed,
)
from hark.errors import HarkError, ModelError
from hark.telemetry.models import NOW, Batch, unread
from hark.telemetry.models import Model as Notes

log = logging.getLogger("hark.compute")

Deliver: TypeAlias = Callable[[Result], None]
Run: TypeAlias = Callable[[Sequence[Work]], list[Result]]
# Gives the function that runs a batch, and puts onto the stack what is to be closed when nobody calls it any more.
Loading: TypeAlias = Callable[[ExitStack], Run]
STOP_PATIENCE_S: Final = 10.0
URGENCIES: Final = [urgency.name.lower() for urgency in Urgency]
AGAIN_S: Final = 10.0  # after it could not be loaded


class _Asker(NamedTuple):
    """Who is told of a result, and where."""

    deliver: Deliver
    loop: asyncio.AbstractEventLoop


class Worker:
    """`load` is called in a thread, and if it fails, so does all work until a request comes AGAIN_S later, for which it
    is called again; `loaded` tells of the first time. `apart`: each thread loads for itself, and all
    but the first are started when one would have had something to do; if one of them cannot, there is one less.
    `notes` are kept of each batch; `explains`: transcripts say how they were run."""

    def __init__(
        self,
        name: str,
        load: Loading,
        limits: Limits,
        *,
        apart: bool = False,
        notes: Notes | None = None,
        explains: bool = False,
    ) -> None:
        self.name = name
        self._notes = notes or unread(name)
        self._explains = explains
        self.loaded: Future[None] = Future()
        self.loaded.set_running_or_notify_cancel()  # who waits for it may give up; the thread sets it all the same
        self._load = load
        self._limits = limits
        self._apart = apart
        self._queue: Queue[_Asker] = Queue(limits)
        self._history = Load(limits.callers)
        self._wake = threading.Condition()
        self._idle = 0  # threads that wait for work
        self._working = 0  # batches that run
        self._used = time.monotonic()
        self._ready = False
        self._told: str | None = None  # why it could not be loaded
        self._stopped = False
        self._threads: list[threading.Thread] = []
        self._start(self._main)

    @property
    def waiting(self) -> int:
        """How many requests wait for the model."""
        with self._wake:
            return len(self._queue)

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._ready

    @property
    def callers(self) -> int:
        """How many batches it may run at once."""
        return self._limits.callers

    def submit(self, work: Work, deliver: Deliver) -> None:
        """Queue `work`; `deliver` is called with its result on the running loop, and raises nothing."""
        self.submit_all([(work, deliver)])

    def submit_all(self, asked: Sequence[tuple[Work, Deliver]]) -> None:
        """The same for several, with one thread to be woken for all of them."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        with self._wake:
            for work, deliver in asked:
                self._queue.add(work, _Asker(deliver, loop), now)
            self._wake.notify()
            short = self._apart and not self._idle and self._ready and len(self._threads) < self._limits.callers
        if short:
            self._start(self._another)

    def urge(self, urge: Urge, deliver: Deliver) -> None:
        asker = _Asker(deliver, asyncio.get_running_loop())
        with self._wake:
            self._queue.urge(urge, asker, time.monotonic())
            self._wake.notify()

    def withdraw(self, deliver: Deliver) -> None:
        asker = _Asker(deliver, asyncio.get_running_loop())
        with self._wake:
            self._queue.withdraw(asker)

    def strain(self) -> Strain:
        with self._wake:
            return self._history.strain(time.monotonic())

    def idle_s(self) -> float | None:
        """For how long it has had nothing to do; None if it has, or loads, or could not be loaded."""
        with self._wake:
            busy = self._working or len(self._queue) or not self._ready
            return None if busy else time.monotonic() - self._used

    def retire(self) -> bool:
        """End the threads if there is nothing to do; whether they do. Returns at once."""
        with self._wake:
            if not self._working and not len(self._queue):
                self._stopped = True
                self._wake.notify_all()
            return self._stopped

    def stop(self) -> None:
        """End the threads after the batches that are running."""
        with self._wake:
            self._stopped = True
            self._queue.clear()
            self._wake.notify_all()
            threads = self._threads[:]
        patient_until = time.monotonic() + STOP_PATIENCE_S
        for thread in threads:
            thread.join(max(0.0, patient_until - time.monotonic()))

    def _start(self, main: Callable[[], None]) -> None:
        with self._wake:
            if self._stopped:
                return
            thread = threading.Thread(target=main, name=f"hark-{self.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _main(self) -> None:
        while not self._stopped:
            with ExitStack() as stack:
                try:
                    run = self._open(stack)
                except Exception as error:
                    failure = self._failure(error)
                else:
                    self._go_to_work(run)
                    return
            self._refuse(failure)

    def _open(self, stack: ExitStack) -> Run:
        began = time.monotonic()
        try:
            run = self._load(stack)
        except Exception:
            self._notes.not_loaded()
            raise
        self._notes.loaded(time.monotonic() - began)
        return run

    def _failure(self, error: Exception) -> HarkError:
        failure = error if isinstance(error, HarkError) else ModelError(f"Model '{self.name}' did not load: {error}")
        if not self.loaded.done():
            self.loaded.set_exception(failure)  # who waits for it tells of it
        return failure

    def _go_to_work(self, run: Run) -> None:
        if not self.loaded.done():
            self.loaded.set_result(None)
        with self._wake:
            self._ready, self._used = True, time.monotonic()
        for _ in range(0 if self._apart else self._limits.callers - 1):
            self._start(lambda: self._serve(run))
        self._serve(run)
        if not self._apart:  # the others call what is closed now
            for thread in self._threads[1:]:
                thread.join(STOP_PATIENCE_S)

    def _refuse(self, failure: HarkError) -> None:
        """Fail what is asked, until something is asked after a while: what was missing may have come."""
        again = time.monotonic() + AGAIN_S
        while True:
            with self._wake:
                while not self._stopped and not (batch := self._queue.take() if time.monotonic() < again else []):
                    if len(self._queue):
                        return
                    self._wake.wait()
                if self._stopped:
                    return
                self._queue.done(batch)
            if self._told != failure.message:  # once, and not every time that it is tried
                log.warning("model %s cannot be loaded: %s", self.name, failure)
                self._told = failure.message
            _hand_over([entry.session for entry in batch], [WorkFailed(entry.work.id, failure) for entry in batch])

    def _another(self) -> None:
        with ExitStack() as stack:
            try:
                run = self._open(stack)
            except Exception as error:
                log.warning("model %s runs fewer batches at once than there are cores for: %s", self.name, error)
                return
            self._serve(run)

    def _serve(self, run: Run) -> None:
        while batch := self._next():
            began = time.monotonic()
            results = self._attempt(run, [entry.work for entry in batch])
            with self._wake:
                now = time.monotonic()
                self._history.ran(now, now - began, batch[0].urgency)
                self._working -= 1
                self._used = now
                self._queue.done(batch)
                self._wake.notify()
            waited_s, ran_s = began - min(entry.since for entry in batch), now - began
            if self._explains:
                ran = Ran(len(batch), waited_s, ran_s)
                results = [structs.replace(r, ran=ran) if isinstance(r, Transcribed) else r for r in results]
            _hand_over([entry.session for entry in batch], results)
            self._note(batch, results, waited_s, ran_s)

    def _note(self, batch: list[Entry[_Asker]], results: list[Result], waited_s: float, ran_s: float) -> None:
        samples = failed = 0
        for entry, result in zip(batch, results, strict=True):
            samples += len(entry.work.audio)
            failed += type(result) is WorkFailed
        first = batch[0]
        urgency = URGENCIES[first.urgency] if type(first.work) is Transcribe else NOW
        self._notes.ran(Batch(urgency, len(batch), failed, waited_s, ran_s, samples / SAMPLE_RATE))

    def _next(self) -> list[Entry[_Asker]]:
        with self._wake:
            while not self._stopped:
                if batch := self._queue.take():
                    now = time.monotonic()
                    self._working += 1
                    if batch[0].urgency is Urgency.ENDED:  # and so are all of them
                        self._history.waited(now, now - min(entry.since for entry in batch))
                    return batch
                self._idle += 1
                self._wake.wait()
                self._idle -= 1
            return []

    def _attempt(self, run: Run, batch: list[Work], lives: int = 2) -> list[Result]:
        try:
            return run(batch)
        except Exception as error:
            if len(batch) > 1:
                return [result for work in batch for result in self._attempt(run, [work])]
            if isinstance(error, EngineLostError) and lives > 1:
                return self._attempt(run, batch, lives - 1)
            if isinstance(error, HarkError):
                return [WorkFailed(batch[0].id, error)]
            log.exception("model %s failed on a request", self.name)
            return [WorkFailed(batch[0].id, ModelError(f"The model '{self.name}' failed on this audio."))]


def _hand_over(askers: list[_Asker], results: list[Result]) -> None:
    """Results go to a loop together: each time that it is woken from outside costs it as much as a result does."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Deliver, Result]]] = {}
    for asker, result in zip(askers, results, strict=True):
        by_loop.setdefault(asker.loop, []).append((asker.deliver, result))
    for loop, answers in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, answers)
        except RuntimeError:  # the loop was closed while the model ran: nobody is left to hear it
            log.debug("a result came after its event loop had closed")


def _deliver(answers: list[tuple[Deliver, Result]]) -> None:
    for deliver, result in answers:
        deliver(result)
