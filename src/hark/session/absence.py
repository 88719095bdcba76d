"""When a turn ends because its audio stopped coming, and when it waits for audio that was cut off."""

from __future__ import annotations

from typing import Final

# Real clients stop sending when their user stops, and then no silence ever ends the turn (contract H.18).
STALL_S: Final = 2.5


class Absence:
    """Times are in seconds of the session's `now`."""

    def __init__(self) -> None:
        self._last: float | None = None  # when audio came, or could not
        self._away = False

    def heard(self, now: float) -> None:
        """Audio has come, or it is we who keep the client from sending: that is no stall of its making."""
        self._last = now

    def away(self, away: bool, now: float) -> None:
        """The client has lost its connection and may come back, or is back."""
        self._away, self._last = away, now

    @property
    def deadline(self) -> float | None:
        """When the open turn ends for want of audio."""
        return None if self._last is None or self._away else self._last + STALL_S
