"""Frames of a client <-> commands and events of its session, in the dialect that the session speaks.

Rule: an update is answered as it was written, and what follows an update that was applied is too. Decoding never fails:
a frame that cannot be read is a command that its session refuses.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from hark.core.messages import AnyCommand, Event, Refused, SessionUpdated
from hark.protocol import wire
from hark.protocol.dialects import DIALECTS
from hark.protocol.events import NewId
from hark.protocol.wire import DialectName

Frames: TypeAlias = AsyncIterator[str | bytes]


async def commands(frames: Frames) -> AsyncIterator[AnyCommand]:
    async for frame in frames:
        yield wire.decode(frame)


class Speaker:
    """Says events by `send`, beginning in `dialect`."""

    def __init__(self, dialect: DialectName, *, send: Callable[[str], Awaitable[None]], new_id: NewId) -> None:
        self._dialect = DIALECTS[dialect]
        self._send = send
        self._new_id = new_id

    async def tell(self, event: Event) -> None:
        dialect = self._dialect
        if isinstance(event, SessionUpdated | Refused) and event.shows is not None:
            dialect = DIALECTS[event.shows]
        if isinstance(event, SessionUpdated):
            self._dialect = dialect
        for frame in dialect.encode(event, self._new_id):
            await self._send(frame)
