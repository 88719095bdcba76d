"""How many sessions a key has open, and whether it may open one more.

Rule: secrets count for the key that minted them, and an upload is a session. The count is a server's own: of its one
process, or of all its gateways, for which their supervisor counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final, Literal, Protocol

from hark.auth.principal import Principal
from hark.errors import RateLimitError

# When somebody else's session ends cannot be known.
RETRY_AFTER_S: Final = 5


class Sessions(Protocol):
    """Every `enter` that does not raise is followed by one `leave`."""

    async def enter(self, who: Principal) -> None:
        """Raises RateLimitError where one more would be too many."""

    def leave(self, who: Principal) -> None: ...


class OpenSessions:
    """Those of this process alone."""

    def __init__(self) -> None:
        self._open = Counter[str]()

    async def enter(self, who: Principal) -> None:
        """Raises RateLimitError where one more would be too many."""
        if who.max_sessions is not None and self._open[who.key_id] >= who.max_sessions:
            raise too_many(who.max_sessions)
        self._open[who.key_id] += 1

    def leave(self, who: Principal) -> None:
        self._open[who.key_id] -= 1


class Register:
    """Those of several gateways, each known by a number. `most`: so many at once, whoever has them."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._open = defaultdict[int, Counter[str]](Counter)

    def enter(self, gateway: int, key_id: str, most: int | None) -> Literal["", "key", "server"]:
        """Whose limit stands against one more of this key, which may have `most`; "" if none does, and it counts."""
        if most is not None and sum(open_[key_id] for open_ in self._open.values()) >= most:
            return "key"
        if self._most is not None and sum(open_.total() for open_ in self._open.values()) >= self._most:
            return "server"
        self._open[gateway][key_id] += 1
        return ""

    def leave(self, gateway: int, key_id: str) -> None:
        self._open[gateway][key_id] -= 1

    def forget(self, gateway: int) -> None:
        """The gateway is gone, and its sessions with it."""
        self._open.pop(gateway, None)


def too_many(most: int) -> RateLimitError:
    message = (
        f"Rate limit reached for sessions at once: this API key may have {most}, and as many are open. Close one, or "
        "try again later."
    )
    return RateLimitError(message, retry_after_s=RETRY_AFTER_S)
