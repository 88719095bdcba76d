"""One stream to one worker: what it was told, and when it last gave a sign of life.

Rule: all that is known of what a worker has, the cursor above all, belongs to the attempt with it and to nobody else.
So a stream that is given up, however late it still sends or hears something, moves nothing of the one that follows.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Protocol

import msgspec
import numpy as np

from hark.compute.cluster import wire
from hark.compute.cluster.channels import Channel
from hark.core.work import Audio, Strain, Transcribe, Urge

log = logging.getLogger("hark.compute")

# For a worker to end a stream of which nothing is wanted any more.
CLOSING_S: Final = 5.0
BROKEN: Final = "the stream broke"
NOTHING: Final = np.zeros(0, np.float32)


class Owner(Protocol):
    """Who is told of what comes over an attempt."""

    def heard(self, attempt: Attempt, answer: wire.Heard | wire.Failed) -> None: ...

    def lost(self, attempt: Attempt, why: str) -> None:
        """The stream has ended, and not by `close`."""

    def strained(self, worker: str, strain: Strain | None) -> None:
        """The worker is there, and may have said how hard it works."""


class Attempt:
    """A stream for `engine` over `channel`, which is open from now on; nothing is waited for."""

    def __init__(self, channel: Channel, engine: str, owner: Owner) -> None:
        self.channel = channel
        self.worker = ""  # as it called itself; "" until it has said anything
        self._engine = engine
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self.began = self.heard_at = self._loop.time()
        self._utterance = 0
        self._sent: Audio = NOTHING
        self._outgoing: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._over = False
        channel.streams += 1
        self._call = channel.open(self._messages(), engine)
        self._reading = self._loop.create_task(self._read())

    def ask(self, work: Transcribe) -> None:
        """Send what the worker lacks of the audio, and the request."""
        self._send_audio(work.audio)
        hints = {name: getattr(work, name) for name in wire.HINTS}
        self._send(wire.Ask(work.id, self._utterance, len(work.audio), **hints))

    def urge(self, urge: Urge) -> None:
        self._send(wire.Urged(urge.id, urge.urgency))

    def close(self) -> None:
        """Nothing more is asked and nothing awaited: the worker ends the stream, or it is cut."""
        self._closing = True
        self._sent = NOTHING
        self._wake.set()
        if not self._over:
            self._loop.call_later(CLOSING_S, self.cut)

    def cut(self) -> None:
        """End the stream whatever the worker does."""
        if self._over:
            return
        self._end()
        self._call.cancel()
        self._reading.cancel()

    def _send_audio(self, audio: Audio) -> None:
        same = _in_common(self._sent, audio)
        if same == 0:
            self._utterance += 1
        for first in range(same, len(audio), wire.CHUNK_SAMPLES):
            chunk = audio[first : min(first + wire.CHUNK_SAMPLES, len(audio))]
            samples = np.ascontiguousarray(chunk, np.float32).tobytes()
            self._send(wire.Audio(self._utterance, first, samples))
        self._sent = audio

    def _send(self, message: wire.ToWorker) -> None:
        self._outgoing.append(wire.encoded(message))
        self._wake.set()

    async def _messages(self) -> AsyncIterator[bytes]:
        while not self._over:
            while self._outgoing:
                yield self._outgoing.popleft()
            if self._closing:
                return
            self._wake.clear()
            await self._wake.wait()

    async def _read(self) -> None:
        why = "it ended the stream"
        try:
            async for message in self._call:
                self.heard_at = self._loop.time()
                self.channel.heard()
                if told := self._take(wire.answered(message)):
                    why = told
                    break
        except asyncio.CancelledError:
            self._end()
            raise
        except msgspec.MsgspecError as error:
            why = f"it said what cannot be read ({error})"
        except Exception as error:  # grpc's, which names the cause
            why = _said(error)
        told_to = not (self._closing or self._over)
        self._end()
        self._call.cancel()
        if told_to:
            self._owner.lost(self, why)

    def _take(self, answer: wire.ToGateway) -> str:
        """Why the stream is of no use any more, if so."""
        match answer:
            case wire.Hello(worker, engine) if engine != self._engine:
                # Serve's own proxy, while HAProxy knows no replica: where there is one application, it is that.
                return f"{worker} runs the model '{engine}'"
            case wire.Hello(worker):
                self.worker = worker
                self._owner.strained(worker, answer.strain)
            case wire.Alive(strain):
                self._owner.strained(self.worker, strain)
            case wire.Gap(expected, got):
                return f"it expected {expected} and got {got}"
            case _:
                self._owner.heard(self, answer)
        return ""

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self.channel.streams -= 1
            self._sent = NOTHING
            self._outgoing.clear()
            self._wake.set()


def _in_common(sent: Audio, audio: Audio) -> int:
    """With how many samples both begin. An utterance grows, and its last samples may be settled only when it ends."""
    shorter = min(len(sent), len(audio))
    differs = sent[:shorter] != audio[:shorter]
    return int(differs.argmax()) if differs.any() else shorter


def _said(error: Exception) -> str:
    code, details = getattr(error, "code", None), getattr(error, "details", None)
    if code is None or details is None:
        return f"{type(error).__name__}: {error}"
    # What gRPC says where it was sending while the other side ended the stream, whose own reason is lost then.
    return BROKEN if details() == "Internal error from Core" else f"{code().name}: {details()}"
