"""The life of a session over WebSocket: from its opening to its end, whichever connections its client has meanwhile.

    opened -> a line -> lost: the session waits for a while -> another line: it is told what it missed, and goes on
                     -> a goodbye, or nobody came back: the open turn is finished, its items end, and that is all

Rule: a session has one line at a time, and the newest counts. Whatever ends a session, every item that was begun ends
first, unless nobody would ever learn of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import structs
from starlette.websockets import WebSocketDisconnect

from hark.core.messages import (
    AbandonSession,
    AnyCommand,
    ClientAway,
    ClientBack,
    Event,
    FinishSession,
    SessionEnded,
    SessionResumed,
)
from hark.core.work import SAMPLE_RATE, Compute
from hark.edge.beat import Beat
from hark.edge.frames import Speaker
from hark.edge.ids import new_id
from hark.edge.kept import Kept
from hark.edge.limits import Meter
from hark.edge.pump import Pump
from hark.edge.witness import Audience
from hark.errors import HarkError, InternalError
from hark.protocol.wire import DialectName
from hark.session.session import Session

log = logging.getLogger("hark.session")

# How long the models may take to transcribe what is left, once nobody is there any more; and when the server stops.
FINISH_S: Final = 30.0
STOP_S: Final = 10.0
# … and how long a client may take then to read what it is told.
READ_S: Final = 1.0
CLOSE_REQUEST: Final = 4000
CLOSE_RESTART: Final = 1012
DRAINING: Final = "server_draining"


class Line(Protocol):
    """A connection of the session's client."""

    freed: asyncio.Event  # it takes the place of no session any more

    async def say(self, frame: str) -> None:
        """Raises WebSocketDisconnect if it is gone."""

    def hold(self, held: bool) -> None:
        """Whether the client shall wait."""

    def end(self, told: SessionEnded | Exception) -> None:
        """Nothing more comes: how the session ended, or what went wrong with it."""


class Life:
    """`patience_s`: how long it waits for a client that was cut off. `heard`: whether somebody learns of it all the
    same, so that what was open is worth finishing. `waits` is told when it begins to wait and when no more. `begin`
    comes first."""

    def __init__(
        self,
        key_id: str,
        dialect: DialectName,
        audience: Audience,
        *,
        patience_s: float,
        heard: bool,
        waits: Callable[[Life, bool], None] = lambda life, waits: None,
    ) -> None:
        self.key_id = key_id
        self._meter: Meter | None = None  # of who is connected, or was last
        self.position = 0  # samples that were taken in
        self.over = False
        self.finishing = False
        self._audience = audience
        self._patience_s = patience_s
        self._heard = heard
        self._tell_waits = waits
        self._speaker = Speaker(dialect, send=self._send, new_id=new_id)
        self._kept = Kept() if patience_s else None
        self._line: Line | None = None
        self._coming: tuple[Line, str | None] | None = None  # who is back, and not told yet
        self._greets: tuple[str | None] | None = None  # the last event that who is greeted has seen
        self._held = False
        self._leaving = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, session: Session, compute: Compute, beat: Beat, line: Line) -> None:
        """To be followed by `run`."""
        self.session_id = session.id
        self._line = line
        tell = self._audience.before(self._tell)
        self._pump = Pump(session, self._audience.around(compute), tell=tell, hold=self._hold, beat=beat)

    def charge(self, samples: int) -> HarkError | None:
        """The session's."""
        self.position += samples
        return self._meter.charge(samples) if self._meter else None

    def charge_to(self, meter: Meter | None) -> None:
        """From now on, until the next one."""
        if meter is not None:
            meter.hold()
        former, self._meter = self._meter, meter
        if former is not None:
            former.close()

    async def run(self) -> None:
        """To its end, of which the client is told by its line."""
        told: SessionEnded | Exception = SessionEnded(1000, "")
        began = time.monotonic()
        try:
            told = await self._pump.serve() or told
        except Exception as error:
            log.error("%s: unhandled fault", self.session_id, exc_info=error)
            told = InternalError(f"The server failed on this session. Its log has the details under {self.session_id}.")
        finally:
            self.over = True
            self._wait_no_more()
            self.charge_to(None)
            self._audience.gone()
            how = f"{told.code} {told.reason}".strip() if isinstance(told, SessionEnded) else "a fault of the server"
            heard_s, open_s = self.position / SAMPLE_RATE, time.monotonic() - began
            log.info("%s closed: %s, %.1f s of audio in %.1f s", self.session_id, how, heard_s, open_s)
            for line in {self._line, self._coming[0] if self._coming else None} - {None}:
                assert line is not None
                line.end(told)
            self._line = self._coming = None

    # ---- its client ----------------------------------------------------------------------------------------------

    @property
    def away(self) -> bool:
        """Whether nobody is connected."""
        return self._line is None and self._coming is None

    def put(self, line: Line, commands: Sequence[AnyCommand]) -> None:
        """What the client says on this line."""
        if line is self._line or (self._coming is not None and line is self._coming[0]):
            self._pump.put(commands)

    async def make_way(self) -> None:
        """Its client is back: a connection that is still there is so no longer, nor does it count as a session."""
        for older in (self._line, self._coming[0] if self._coming else None):
            if older is not None:
                older.end(SessionEnded(CLOSE_REQUEST, "session_resumed"))
                self.lost(older, goodbye=False)
                await older.freed.wait()

    def resume(self, line: Line, after: str | None) -> None:
        """Its client goes on by this line, and has seen the events up to `after`."""
        for older in (self._line, self._coming[0] if self._coming else None):
            if older is not None:  # which came meanwhile
                older.end(SessionEnded(CLOSE_REQUEST, "session_resumed"))
        self._line, self._coming = None, (line, after)
        self._wait_no_more()
        line.hold(self._held)
        self._pump.put([ClientBack()])

    def lost(self, line: Line, *, goodbye: bool) -> None:
        """A line is gone; `goodbye`: the client has said so."""
        if self._coming is not None and line is self._coming[0]:
            self._coming = None
        elif line is self._line:
            self._line = None
        else:
            return
        if self.over:
            return
        if goodbye or not self._patience_s or self._leaving or self.finishing:
            self.finish()
        else:
            self._pump.put([ClientAway()])
            self._wait_no_more()
            self._timer = asyncio.get_running_loop().call_later(self._patience_s, self.finish)
            self._tell_waits(self, True)

    def leave(self) -> None:
        """End at the next moment of quiet; at once if nobody is connected."""
        self._leaving = True
        if self.away:
            self.finish()
            return
        self._pump.put([FinishSession(patient=True, code=CLOSE_RESTART, reason=DRAINING)])

    def finish(self, code: int = 1000, reason: str = "", within_s: float = FINISH_S) -> None:
        """End the open turn and then all, and be gone soon. Who asks again gets no more time by that."""
        if self.over:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + within_s
        if self.finishing and self._timer is not None:
            due = min(due, self._timer.when())
        self.finishing = True
        self._wait_no_more()
        if self.away and not self._heard:
            self._pump.gone()
            return
        self._pump.put([FinishSession(code=code, reason=reason)])
        self._timer = loop.call_at(due, self._give_up, SessionEnded(code, reason))

    def _give_up(self, told: SessionEnded) -> None:
        """On the models, and soon on a client that reads no more, for whom everything waits."""
        self._pump.put([AbandonSession()])
        self._timer = asyncio.get_running_loop().call_later(READ_S, self._hang_up, told)

    def _hang_up(self, told: SessionEnded) -> None:
        lines = self._line, self._coming[0] if self._coming else None
        self._line = self._coming = None
        for line in lines:
            if line is not None:
                line.end(told)

    def _wait_no_more(self) -> None:
        self._tell_waits(self, False)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- what goes out -------------------------------------------------------------------------------------------

    def _hold(self, held: bool) -> None:
        self._held = held
        for line in (self._line, self._coming[0] if self._coming else None):
            if line is not None:
                line.hold(held)

    async def _tell(self, event: Event) -> None:
        if isinstance(event, SessionResumed):
            await self._greet(event)
        else:
            await self._speaker.tell(event)

    async def _greet(self, event: SessionResumed) -> None:
        if self._coming is None:
            return  # gone again
        assert self._kept is not None
        (line, after), self._coming = self._coming, None
        missed = self._kept.after(after)
        self._line, self._greets = line, (after,)
        await self._speaker.tell(structs.replace(event, missed=missed is None))
        self._greets = None
        for frame in missed or []:
            if self._line is line:
                await self._say(line, frame)

    async def _send(self, frame: str) -> None:
        if self._kept is not None:
            if self._greets is not None:
                self._kept.greet(frame, *self._greets)
            else:
                self._kept.add(frame)
        if self._line is not None:
            await self._say(self._line, frame)

    async def _say(self, line: Line, frame: str) -> None:
        try:
            await line.say(frame)
        except WebSocketDisconnect:
            self.lost(line, goodbye=False)
