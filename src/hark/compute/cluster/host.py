"""The worker's side of a stream: audio is put together, requests go to the model, and answers come back.

Rule: nothing of a session outlives its stream. What it asked and nobody waits for any more is withdrawn, and what it
sent is forgotten; whoever goes on with it elsewhere has kept all of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

import msgspec
import numpy as np
from msgspec import structs

import hark
from hark.compute.cluster import wire
from hark.core.work import Audio, Compute, Result, Strain, Transcribe, Transcribed, Urge, WorkFailed
from hark.errors import HarkError, ModelError, OperatorError

log = logging.getLogger("hark.compute")

# How often a stream says how hard the worker works, at most.
STRAIN_EVERY_S: Final = 1.0
# Beyond what any engine takes at once; a gateway cuts long before.
MOST_SAMPLES: Final = 300 * 16_000


class Model(Compute, Protocol):
    """A Compute that knows how hard it works."""

    def strain(self) -> Strain: ...


class Host:
    """Lets sessions of gateways use `engine`, which `compute` runs. `worker`: the name of this one."""

    def __init__(self, compute: Model, engine: str, worker: str) -> None:
        self._compute = compute
        self._engine = engine
        self._worker = worker
        self._streams = 0

    async def session(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Answers for one stream, until its messages end."""
        self._streams += 1
        talk = _Talk(self._compute, self._engine, self._strain)
        reading = asyncio.create_task(talk.read(messages))
        try:
            yield wire.encoded(wire.Hello(self._worker, self._engine, hark.__version__, self._strain()))
            while (answer := await talk.next()) is not None:
                yield wire.encoded(answer)
        finally:
            self._streams -= 1
            reading.cancel()
            talk.end()
            await asyncio.gather(reading, return_exceptions=True)

    def _strain(self) -> Strain:
        return structs.replace(self._compute.strain(), sessions=self._streams)


class _Talk:
    """One stream."""

    def __init__(self, compute: Model, engine: str, strain: Callable[[], Strain]) -> None:
        self._compute = compute
        self._engine = engine
        self._strain = strain
        self._utterance = _Utterance()
        self._owed: dict[int, int | None] = {}  # requests by what they replace
        self._answers: deque[wire.ToGateway] = deque()
        self._wake = asyncio.Event()
        self._over = False
        self._told_at = asyncio.get_running_loop().time()
        self._deliver = self._take  # one bound method, so that work can be withdrawn by it

    async def read(self, messages: AsyncIterator[bytes]) -> None:
        """Act on all that the gateway sends."""
        try:
            async for message in messages:
                if not self._hear(message):
                    break
        except Exception as error:  # the connection's end has many names
            log.debug("a gateway's stream broke: %s", type(error).__name__)
        finally:
            self._over = True
            self._wake.set()

    async def next(self) -> wire.ToGateway | None:
        """The next to be said; None when all is."""
        while not self._answers:
            if self._over:
                return None
            self._wake.clear()
            try:
                async with asyncio.timeout(wire.ALIVE_EVERY_S if self._owed else None):
                    await self._wake.wait()
            except TimeoutError:
                return wire.Alive(self._strain_if_due())
        if strain := self._strain_if_due():
            return wire.Alive(strain)
        return self._answers.popleft()

    def end(self) -> None:
        self._compute.withdraw(self._deliver)
        self._owed.clear()

    def _hear(self, message: bytes) -> bool:
        """Whether the next may follow."""
        try:
            asked = wire.asked(message)
        except msgspec.MsgspecError as error:
            return self._refuse("a message of this version", f"one that cannot be read ({error})")
        match asked:
            case wire.Audio():
                missing = self._utterance.add(asked)
                return self._refuse(*missing) if missing else True
            case wire.Urged(number, urgency):
                self._compute.urge(Urge(number, urgency), self._deliver)
            case wire.Ask():
                audio = self._utterance.audio(asked)
                if audio is None:
                    return self._refuse(f"{asked.samples} samples of utterance {asked.utterance}", str(self._utterance))
                if not self._owed:
                    self._wake.set()  # from now on there are signs of life
                self._owed[asked.id] = asked.replaces
                hints = {name: getattr(asked, name) for name in wire.HINTS}
                self._compute.submit(Transcribe(asked.id, self._engine, audio, **hints), self._deliver)
        return True

    def _refuse(self, expected: str, got: str) -> bool:
        log.warning("a gateway's stream is ended: expected %s, got %s", expected, got)
        self._answers.append(wire.Gap(expected, got))
        return False

    def _take(self, result: Result) -> None:
        """What was replaced is owed no more, answered or not."""
        replaced = self._owed.pop(result.id, None)
        while replaced is not None:
            replaced = self._owed.pop(replaced, None)
        match result:
            case Transcribed(number, hypothesis, ran):
                self._answers.append(wire.Heard(number, hypothesis, ran))
            case WorkFailed(number, error):
                self._answers.append(_failed(number, error))
            case _:
                return
        self._wake.set()

    def _strain_if_due(self) -> Strain | None:
        now = asyncio.get_running_loop().time()
        if now - self._told_at < STRAIN_EVERY_S:
            return None
        self._told_at = now
        return self._strain()


class _Utterance:
    """The one that is being sent."""

    def __init__(self) -> None:
        self._number = -1
        self._held = np.zeros(0, np.float32)
        self._length = 0

    def __str__(self) -> str:
        return f"{self._length} samples of utterance {self._number}"

    def add(self, audio: wire.Audio) -> tuple[str, str] | None:
        """What was expected and what came, if it does not go on from what is here."""
        if audio.utterance != self._number:
            self._number, self._length, self._held = audio.utterance, 0, np.zeros(0, np.float32)
        if audio.first > self._length or len(audio.samples) % 4:
            return f"whole samples from {self._length} on", f"{len(audio.samples)} bytes from {audio.first} on"
        samples = np.frombuffer(audio.samples, np.float32)
        length = audio.first + len(samples)
        if length > MOST_SAMPLES:
            return f"{MOST_SAMPLES} samples at most", str(length)
        if length > len(self._held) or audio.first < self._length:
            # The model may be reading what is here, so nothing of that is ever written over.
            grown = np.empty(max(length, 2 * len(self._held)), np.float32)
            grown[: audio.first] = self._held[: audio.first]
            self._held = grown
        self._held[audio.first : length] = samples
        self._length = length
        return None

    def audio(self, ask: wire.Ask) -> Audio | None:
        """What is asked about; None if that is not all here."""
        if ask.utterance != self._number or ask.samples > self._length:
            return None
        return self._held[: ask.samples]


def _failed(number: int, error: HarkError) -> wire.Failed:
    if isinstance(error, ModelError):
        return wire.Failed(number, error.message, deadly=error.deadly, lasting=error.lasting)
    return wire.Failed(number, error.message, operator=isinstance(error, OperatorError))
