"""Who reads along: what happens in a session is shown to its witnesses before its client is told.

Rule: a witness changes nothing and answers nothing. One that has to be sure of something first (that a transcript is
written down) holds the event back until it is. If it cannot be, it withholds the transcript: its item ends in `failed`
then, in the same place of the order. One that raises anything else ends the session as a fault of the server's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

from hark.core.messages import Event, TranscriptCompleted, TranscriptFailed
from hark.core.work import Compute
from hark.errors import HarkError

Transport: TypeAlias = Literal["websocket", "webrtc", "upload"]


class Opened(Struct, frozen=True):
    """A session that begins. `key_id` as in Principal; `model` is the name that its client asked for, None for none;
    `call_id` is that of a call; `key_name` may stand in logs; `position` tells how many samples at 16 kHz were taken in
    so far."""

    session_id: str
    transport: Transport
    key_id: str
    model: str | None
    call_id: str | None = None
    key_name: str = ""
    position: Callable[[], int] = lambda: 0


class Withheld(Exception):  # noqa: N818
    """A transcript shall not be told, for this reason."""

    def __init__(self, error: HarkError) -> None:
        super().__init__(error.message)
        self.error = error


class Witness(Protocol):
    async def saw(self, event: Event) -> None:
        """Raises Withheld, of a TranscriptCompleted only."""

    def gone(self) -> None:
        """The session is over, however it ended; no event follows."""


@runtime_checkable
class Overseer(Witness, Protocol):
    """A witness that sees what the session asks of models, too."""

    def around(self, compute: Compute) -> Compute:
        """One that does the same, before the overseer's eyes."""


Begin: TypeAlias = Callable[[Opened], Witness | None]


class Audience:
    """The witnesses of one session, asked in their order. What one withholds those after it see as failed, so who may
    withhold comes first."""

    def __init__(self, witnesses: Sequence[Witness] = ()) -> None:
        self._witnesses = witnesses

    def before(self, tell: Callable[[Event], Awaitable[None]]) -> Callable[[Event], Awaitable[None]]:
        """`tell`, once all have seen the event."""
        if not self._witnesses:
            return tell

        async def told(event: Event) -> None:
            for witness in self._witnesses:
                try:
                    await witness.saw(event)
                except Withheld as withheld:
                    assert isinstance(event, TranscriptCompleted)
                    event = TranscriptFailed(event.item_id, withheld.error)
            await tell(event)

        return told

    def around(self, compute: Compute) -> Compute:
        """`compute`, seen by all who look at it."""
        for witness in self._witnesses:
            if isinstance(witness, Overseer):
                compute = witness.around(compute)
        return compute

    def gone(self) -> None:
        for witness in self._witnesses:
            witness.gone()


class Witnesses:
    """Those of every session: each of `begin` is asked for one when a session opens."""

    def __init__(self, *begin: Begin) -> None:
        self._begin = begin

    def of(self, opened: Opened) -> Audience:
        return Audience([witness for begin in self._begin if (witness := begin(opened)) is not None])
