"""The sessions over WebSocket that there are, those included whose client was cut off a moment ago.

Rule: a session is found by its id and only by the key that it belongs to; with another one it is not there. Sessions
that wait for their client are bounded in number: past that, those that have waited longest are finished.
"""

from __future__ import annotations

import asyncio
from typing import Final

from hark.auth.principal import Principal
from hark.edge.life import CLOSE_RESTART, DRAINING, STOP_S, Life
from hark.edge.witness import Audience
from hark.errors import NotFoundError
from hark.protocol.wire import DialectName

MAX_AWAY: Final = 1_000


class Lives:
    """`patience_s`: how long a session waits for a client that was cut off; 0: not at all. `heard`: whether what is
    said to nobody is still heard by somebody (a journal)."""

    def __init__(self, patience_s: float = 0.0, *, heard: bool = False) -> None:
        self.patience_s = patience_s
        self._heard = heard or patience_s > 0
        self._lives: dict[str, Life] = {}
        self._waiting: dict[str, Life] = {}  # for their client; the one that has waited longest first
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving = False

    @property
    def how_many(self) -> int:
        return len(self._lives)

    @property
    def away(self) -> int:
        """How many of them nobody is connected to."""
        return sum(life.away for life in self._lives.values())

    def has(self, session_id: str) -> bool:
        """Whether a session has not ended."""
        return session_id in self._lives

    def is_away(self, session_id: str) -> bool:
        """Whether a session waits for its client."""
        return session_id in self._lives and self._lives[session_id].away

    def new(self, key_id: str, dialect: DialectName, audience: Audience) -> Life:
        return Life(key_id, dialect, audience, patience_s=self.patience_s, heard=self._heard, waits=self._wait)

    def keep(self, life: Life) -> None:
        """A life that has begun; it is forgotten at its end."""
        self._lives[life.session_id] = life
        task = asyncio.create_task(self._run(life))
        self._tasks.add(task)
        if self._leaving:  # it came in through the door just before that was shut
            life.leave()
        task.add_done_callback(self._tasks.discard)

    def find(self, session_id: str, who: Principal) -> Life:
        """Raises NotFoundError."""
        life = self._lives.get(session_id) if self.patience_s else None
        if life is None or life.key_id != who.key_id or life.finishing or life.over:
            message = (
                f"There is no session '{session_id[:100]}' of this key to go on with: it has ended, or its client was "
                f"away for more than {self.patience_s:.0f} s. Connect without 'resume' for a new one."
            )
            raise NotFoundError(message, code="session_not_found", param="resume")
        return life

    def leave(self) -> None:
        """Every session ends at its next moment of quiet, and those that begin all the same do too, until `stay`."""
        self._leaving = True
        for life in list(self._lives.values()):
            life.leave()

    def stay(self) -> None:
        """Those that begin from now on go on."""
        self._leaving = False

    async def stop(self) -> None:
        """Finish every one, and wait for that."""
        for life in list(self._lives.values()):
            life.finish(CLOSE_RESTART, DRAINING, STOP_S)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _wait(self, life: Life, waits: bool) -> None:
        self._waiting.pop(life.session_id, None)
        if waits:
            self._waiting[life.session_id] = life
        if len(self._waiting) > MAX_AWAY:
            next(iter(self._waiting.values())).finish()

    async def _run(self, life: Life) -> None:
        try:
            await life.run()
        finally:
            del self._lives[life.session_id]
