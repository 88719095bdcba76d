"""The last frames of a session, for a client that comes back and says which one it saw last.

Rule: what is kept is bounded, and who asks for more than that is told so. Nothing is kept where nobody may come back.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final

MAX_FRAMES: Final = 1_000
MAX_CHARS: Final = 128 * 1024
# It stands in front of all that a client has a say in.
_EVENT_ID: Final = re.compile(r'"event_id":"(event_[0-9a-f]+)"')


class Kept:
    """Oldest first; each with its event_id, and None for one that is not to be said twice."""

    def __init__(self) -> None:
        self._frames: deque[tuple[str, str | None]] = deque()
        self._chars = 0

    def greet(self, frame: str, after: str | None) -> None:
        """The greeting of a client that saw all up to `after`: it is told before what that client missed, so who has
        seen no more than it has still missed the rest. It is itself never said again."""
        found = _EVENT_ID.search(frame, 0, 400)
        if found is None:
            return
        places = (place for place, (known, _) in enumerate(self._frames, 1) if known == after)
        self._frames.insert(next(places, len(self._frames)), (found[1], None))

    def add(self, frame: str) -> None:
        found = _EVENT_ID.search(frame, 0, 400)
        if found is None:
            return
        self._frames.append((found[1], frame))
        self._chars += len(frame)
        while len(self._frames) > MAX_FRAMES or (self._chars > MAX_CHARS and len(self._frames) > 1):
            self._chars -= len(self._frames.popleft()[1] or "")

    def after(self, event_id: str | None) -> list[str] | None:
        """What was said after this event; None if that is not known any more, or no event is named."""
        missed: list[str] = []
        for known, frame in reversed(self._frames):
            if known == event_id:
                return missed[::-1]
            if frame is not None:
                missed.append(frame)
        return None
