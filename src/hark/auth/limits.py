"""How many sessions a key has open, and whether it may open one more.

Rule: secrets count for the key that minted them, and an upload is a session. The count is this process's own.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from hark.auth.principal import Principal
from hark.errors import RateLimitError

# When somebody else's session ends cannot be known.
RETRY_AFTER_S: Final = 5


class OpenSessions:
    """Every `enter` that does not raise is followed by one `leave`."""

    def __init__(self) -> None:
        self._open = Counter[str]()

    def enter(self, who: Principal) -> None:
        """Raises RateLimitError where one more would be too many."""
        if who.max_sessions is not None and self._open[who.key_id] >= who.max_sessions:
            message = (
                f"Rate limit reached for sessions at once: this API key may have {who.max_sessions}, and as many are "
                "open. Close one, or try again later."
            )
            raise RateLimitError(message, retry_after_s=RETRY_AFTER_S)
        self._open[who.key_id] += 1

    def leave(self, who: Principal) -> None:
        self._open[who.key_id] -= 1
