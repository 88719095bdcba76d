"""How a session ends: its time is up, its client has said all, its audio is too much, or the server wants to be left.

Rule: what ends a session is decided once, and from then on nothing more is heard; the end is told when every item has
ended. Who is asked to leave may finish the turn in hand, and leaves when nobody is in the middle of one.
"""

from __future__ import annotations

from hark.core.messages import FinishSession, SessionEnded
from hark.errors import AuthError, CallerError, HarkError


class Ending:
    """`expires`: when the time is up, in seconds of the session's `now`."""

    def __init__(self, expires: float) -> None:
        self._expires = expires
        self._leaving: SessionEnded | None = None
        self.last: SessionEnded | None = None  # what is said once every item has ended

    @property
    def deadline(self) -> float | None:
        return self._expires if self.last is None else None

    def ask(self, command: FinishSession) -> bool:
        """Whether the session hears no more from now on; a patient command waits for a moment of quiet (`leave`)."""
        told = SessionEnded(command.code, command.reason, command.error)
        if command.patient:
            self._leaving = told
        elif self.last is None:
            self.last = told
            return True
        return False

    @property
    def wanted(self) -> bool:
        """Whether it should end as soon as all is quiet."""
        return self._leaving is not None and self.last is None

    def leave(self) -> None:
        """All is quiet."""
        self.last = self._leaving

    def expire(self, now: float) -> bool:
        """Whether the time is up just now."""
        if self.last is not None or now < self._expires:
            return False
        message = "Your session hit the maximum duration that this server allows."
        self.last = SessionEnded(1001, "session_expired", CallerError(message, code="session_expired"))
        return True

    def abandon(self) -> None:
        """Nobody waits any longer."""
        self.last = self.last or SessionEnded(1000, "")

    def overdraw(self, fault: HarkError) -> None:
        """The audio was more than its key may send, or the key counts no more."""
        code = 3000 if isinstance(fault, AuthError) else 1013
        self.last = SessionEnded(code, f"{fault.type}.{fault.code}", fault)
