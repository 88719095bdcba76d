"""A worker owns one loaded model and one thread, and is the only one to call the model.

Rule: requests wait in one queue; the batch is chosen when the model is free (batching.py). If a batch fails, each of
its requests is run once more alone, so that a poisonous one fails by itself. Work whose session is gone is never run.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, TypeAlias

from hark.compute.batching import next_batch
from hark.core.work import Result, Work, WorkFailed
from hark.errors import HarkError, ModelError

log = logging.getLogger("hark.compute")

Deliver: TypeAlias = Callable[[Result], None]
Run: TypeAlias = Callable[[Sequence[Work]], list[Result]]
STOP_PATIENCE_S: Final = 10.0


class Worker:
    """`load` gives the function that runs a batch; it is called in the thread, and if it fails, so does all work."""

    def __init__(self, name: str, load: Callable[[], Run], max_batch: int) -> None:
        self.name = name
        self.loaded: Future[None] = Future()
        self.loaded.set_running_or_notify_cancel()  # who waits for it may give up; the thread sets it all the same
        self._load = load
        self._max_batch = max_batch
        self._waiting: list[tuple[Work, Deliver, asyncio.AbstractEventLoop]] = []
        self._wake = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._main, name=f"hark-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many requests wait for the model."""
        with self._wake:
            return len(self._waiting)

    def submit(self, work: Work, deliver: Deliver) -> None:
        """Queue `work`; `deliver` is called with its result on the running loop."""
        with self._wake:
            self._waiting.append((work, deliver, asyncio.get_running_loop()))
            self._wake.notify()

    def withdraw(self, deliver: Deliver) -> None:
        with self._wake:
            self._waiting = [entry for entry in self._waiting if entry[1] != deliver]

    def stop(self) -> None:
        """End the thread after the batch that is running."""
        with self._wake:
            self._stopped = True
            self._waiting.clear()
            self._wake.notify()
        self._thread.join(STOP_PATIENCE_S)

    def _main(self) -> None:
        try:
            run = self._load()
        except Exception as error:
            failure = (
                error if isinstance(error, HarkError) else ModelError(f"Model '{self.name}' did not load: {error}")
            )
            self.loaded.set_exception(failure)
            run = _always_fails(failure)
        else:
            self.loaded.set_result(None)
        while batch := self._next():
            results = self._attempt(run, [work for work, _, _ in batch])
            for (_, deliver, loop), result in zip(batch, results, strict=True):
                _hand_over(loop, deliver, result)

    def _next(self) -> list[tuple[Work, Deliver, asyncio.AbstractEventLoop]]:
        with self._wake:
            while not self._waiting and not self._stopped:
                self._wake.wait()
            if self._stopped:
                return []
            chosen = next_batch([work for work, _, _ in self._waiting], self._max_batch)
            batch = [self._waiting[index] for index in chosen]
            taken = set(chosen)
            self._waiting = [entry for index, entry in enumerate(self._waiting) if index not in taken]
            return batch

    def _attempt(self, run: Run, batch: list[Work]) -> list[Result]:
        try:
            return run(batch)
        except Exception as error:
            if len(batch) > 1:
                return [result for work in batch for result in self._attempt(run, [work])]
            if isinstance(error, HarkError):
                return [WorkFailed(batch[0].id, error)]
            log.exception("model %s failed on a request", self.name)
            return [WorkFailed(batch[0].id, ModelError(f"The model '{self.name}' failed on this audio."))]


def _always_fails(failure: HarkError) -> Run:
    def run(batch: Sequence[Work]) -> list[Result]:
        return [WorkFailed(work.id, failure) for work in batch]

    return run


def _hand_over(loop: asyncio.AbstractEventLoop, deliver: Deliver, result: Result) -> None:
    try:
        loop.call_soon_threadsafe(deliver, result)
    except RuntimeError:  # the loop was closed while the model ran: nobody is left to hear it
        log.debug("a result came after its event loop had closed")
