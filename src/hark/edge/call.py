"""A call: one session, whose audio comes over WebRTC, and all who listen and speak to it.

Rule: a call ends by finishing. Whatever ends it (the other side, the network, a hang-up, the server), the open turn is
transcribed, its items end, and whoever still listens hears of it; then everything is let go of, within FINISH_S. What
several say has one order, that of coming; an `error` goes to the one who caused it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

from msgspec import structs

from hark.auth.principal import Principal
from hark.core.messages import (
    AbandonSession,
    AnyCommand,
    AppendAudio,
    Event,
    FinishSession,
    ItemRetrieved,
    Refused,
    SessionEnded,
    TranscriptCompleted,
)
from hark.core.settings import AudioFormat
from hark.core.work import Compute
from hark.edge.eventlog import EventLog
from hark.edge.frames import Speaker
from hark.edge.ids import new_id
from hark.edge.inflow import Idle
from hark.edge.peer import Peer
from hark.edge.pump import Pump
from hark.edge.witness import Audience
from hark.errors import CallerError, HarkError, RateLimitError
from hark.protocol import events, wire
from hark.protocol.offers import MAX_MESSAGE_BYTES
from hark.protocol.wire import DialectName
from hark.session.session import Session

log = logging.getLogger("hark.session")

# How long the open turn may take to be finished.
FINISH_S: Final = 10.0
# Of audio and messages that the session has not taken yet; 16 minutes of audio.
MAX_INBOX_BYTES: Final = 32 * 1024 * 1024
MAX_INBOX: Final = 50_000
# Frames for a data channel that is not open yet.
MAX_EARLY: Final = 2_000
_MARK: Final = "\0"  # between the number of who sent a command and his own event_id


class Ear(Protocol):
    """Somebody who is told of events."""

    async def tell(self, event: Event) -> None: ...

    async def close(self, ended: SessionEnded | None) -> None: ...

    def hurry(self) -> None:
        """Wait for nobody who reads no more."""


class Call:
    """`owner`: who made it, and with whose credentials others may attach to it and hang up. `idle_s`: for so long
    nothing at all may come."""

    def __init__(
        self,
        call_id: str,
        owner: Principal,
        session: Session,
        compute: Compute,
        audience: Audience,
        *,
        idle_s: float | None = None,
    ) -> None:
        self.id = call_id
        self.owner = owner
        self.session = session
        self._audience = audience
        self._pump = Pump(session, audience.around(compute), tell=audience.before(self._tell))
        self._inbox: deque[AnyCommand] = deque()
        self._inbox_bytes = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ears: dict[int, Ear] = {}
        self._ears_ever = 0
        self._fault: HarkError | None = None
        self.ending: str | None = None  # why
        self._idle_s = idle_s
        self._idle: Idle | None = None
        self._loop = asyncio.get_running_loop()
        self._forgotten = False

    # ---- what comes in -------------------------------------------------------------------------------------------

    def hear(self, audio: bytes, form: AudioFormat) -> None:
        self._put(AppendAudio(audio=audio, format=form), len(audio))

    def say(self, ear: int, frame: str | bytes, *, own_dialect: bool = True) -> None:
        """What the client behind `ear` sent. `own_dialect`: its updates may change the dialect it hears."""
        command = wire.decode(frame)
        mark = str(ear) if command.event_id is None else f"{ear}{_MARK}{command.event_id}"
        command = structs.replace(command, event_id=mark)
        if not own_dialect and hasattr(command, "shows"):
            command = structs.replace(command, shows=None)
        self._put(command, len(frame))

    async def room(self) -> None:
        """Wait while much has been said that the session has not taken yet."""
        await self._room.wait()

    def end(self, why: str) -> None:
        """Finish, and be gone soon."""
        self._finish([FinishSession()], why)

    def _finish(self, last: Sequence[AnyCommand], why: str = "nothing came") -> None:
        if self.ending is None:
            self.ending = why
            self._inbox += last
            self._filled.set()
            self._loop.call_later(FINISH_S, self._give_up)

    def _give_up(self) -> None:
        self._pump.put([AbandonSession()])
        for ear in self._ears.values():
            ear.hurry()

    def leave(self) -> None:
        """End at the next moment of quiet."""
        self._put(FinishSession(patient=True), 0)

    def _put(self, command: AnyCommand, size: int) -> None:
        if self.ending is not None:
            return
        if self._idle is not None:
            self._idle.stir(self._loop.time())
        self._inbox.append(command)
        self._inbox_bytes += size
        self._filled.set()
        if self._inbox_bytes > MAX_INBOX_BYTES // 2:
            self._room.clear()
        if self._inbox_bytes > MAX_INBOX_BYTES or len(self._inbox) > MAX_INBOX:
            message = "More came than the models of this server can hear. Send less, or run fewer sessions."
            self._fault = RateLimitError(message, retry_after_s=5)
            self._inbox.clear()
            self.end("the server is behind")

    async def _commands(self) -> AsyncIterator[AnyCommand]:
        while True:
            if not self._inbox:
                self._inbox_bytes = 0
                self._room.set()
                self._filled.clear()
                await self._filled.wait()
                continue
            command = self._inbox.popleft()
            if isinstance(command, AppendAudio):
                self._inbox_bytes -= len(command.audio)
            yield command

    # ---- what goes out -------------------------------------------------------------------------------------------

    def attach(self, ear: Ear) -> int:
        """Its number. From now on it is told of everything."""
        self._ears_ever += 1
        self._ears[self._ears_ever] = ear
        return self._ears_ever

    def detach(self, number: int) -> None:
        self._ears.pop(number, None)

    async def _tell(self, event: Event) -> None:
        ears = list(self._ears.values())
        if isinstance(event, Refused) and event.event_id is not None:
            number, mark, own = event.event_id.partition(_MARK)
            event = structs.replace(event, event_id=own if mark else None)
            ears = [ear for key, ear in self._ears.items() if key == int(number)]
        for ear in ears:
            await ear.tell(event)

    async def run(self) -> None:
        """Until it has ended and all have been told."""
        ended: SessionEnded | None = None
        try:
            with Idle.ending(self._finish, self._idle_s) as self._idle:
                ended = await self._pump.run(self._commands())
            if self._fault is not None:
                await self._tell(Refused(self._fault, None))
        finally:
            self.forget()
            self.ending = self.ending or "the session ended"
            for ear in list(self._ears.values()):
                await ear.close(ended)

    def forget(self) -> None:
        """It is over, or never began: whoever reads along is told so, once."""
        if not self._forgotten:
            self._forgotten = True
            self._audience.gone()


class ChannelEar:
    """The data channel. What is said before it opens waits for it."""

    def __init__(self, dialect: DialectName, kept: EventLog) -> None:
        self.peer: Peer | None = None
        self._kept = kept
        self._speaker = Speaker(dialect, send=self._send, new_id=new_id)
        self._early: deque[str] | None = deque(maxlen=MAX_EARLY)

    def opened(self) -> None:
        early, self._early = self._early or deque(), None
        for frame in early:
            self._pass(frame)

    async def tell(self, event: Event) -> None:
        if isinstance(event, ItemRetrieved):
            event = structs.replace(event, audio=None)  # too much for a channel (contract F.8)
        elif isinstance(event, TranscriptCompleted) and len(event.tokens or ()) > 1_000:
            event = structs.replace(event, tokens=None)
        await self._speaker.tell(event)

    async def close(self, ended: SessionEnded | None) -> None:
        """The peer is closed with the call."""

    def hurry(self) -> None:
        if self.peer is not None:
            self.peer.hurry()

    async def _send(self, frame: str) -> None:
        if self._early is not None:
            self._early.append(frame)
        elif self.peer is not None:
            self._pass(frame)
            await self.peer.drained()

    def _pass(self, frame: str) -> None:
        assert self.peer is not None
        small = len(frame) < MAX_MESSAGE_BYTES // 4 or len(frame.encode()) < MAX_MESSAGE_BYTES
        if small and self.peer.send(frame):
            self._kept.frame("received", frame)
            return
        if self.peer.open:
            message = "An event is larger than a data channel takes (256 KiB). Attach a WebSocket by call_id for it."
            self.peer.send(events.error(CallerError(message, code="event_too_large"), None, new_id))
