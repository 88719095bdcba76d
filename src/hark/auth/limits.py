"""How many sessions a key has open, or an address, and whether it may open one more.

Rule: secrets count for the key that minted them, and an upload is a session. The count is a server's own: of its one
process, or of all its gateways, for which their supervisor counts; or it is that of several nodes (redis_sessions.py).
An address counts as edge/addresses.py writes it, and "" for one that is not known counts for nobody.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final, Literal, Protocol, TypeAlias

from hark.auth.principal import Principal
from hark.errors import RateLimitError

# When somebody else's session ends cannot be known.
RETRY_AFTER_S: Final = 5

Refusal: TypeAlias = Literal["", "key", "address", "server"]


class Sessions(Protocol):
    """Every `enter` that does not raise is followed by one `leave`, with the same words."""

    async def enter(self, who: Principal, address: str) -> None:
        """Raises RateLimitError where one more would be too many."""

    def leave(self, who: Principal, address: str) -> None: ...

    async def keep(self) -> None:
        """See that what is open counts, until cancelled."""


class _Open:
    """Sessions by key and by address."""

    def __init__(self) -> None:
        self.keys = Counter[str]()
        self.addresses = Counter[str]()

    def add(self, key_id: str, address: str) -> None:
        self.keys[key_id] += 1
        if address:
            self.addresses[address] += 1

    def take(self, key_id: str, address: str) -> None:
        for counter, name in ((self.keys, key_id), (self.addresses, address)):
            counter[name] -= 1
            if counter[name] <= 0:  # there are as many addresses as there are strangers
                del counter[name]


class OpenSessions:
    """Those of this process alone. `most_per_address`: so many at once, whoever has them; None for any number."""

    def __init__(self, most_per_address: int | None = None) -> None:
        self._most_per_address = most_per_address
        self._open = _Open()

    async def enter(self, who: Principal, address: str) -> None:
        """Raises RateLimitError where one more would be too many."""
        if who.max_sessions is not None and self._open.keys[who.key_id] >= who.max_sessions:
            raise too_many(who.max_sessions)
        if self._most_per_address is not None and self._open.addresses[address] >= self._most_per_address:
            raise too_many_from_address(self._most_per_address)
        self._open.add(who.key_id, address)

    def leave(self, who: Principal, address: str) -> None:
        self._open.take(who.key_id, address)

    async def keep(self) -> None:
        """It does by itself."""


class Register:
    """Those of several gateways, each known by a number. `most`: so many at once, whoever has them; `most_per_address`:
    of those from one address."""

    def __init__(self, most: int | None = None, most_per_address: int | None = None) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._open = defaultdict[int, _Open](_Open)

    def allow(self, most: int | None) -> None:
        """From now on. More may be open than that; none of them is touched."""
        self._most = most

    def enter(self, gateway: int, key_id: str, address: str, most: int | None) -> Refusal:
        """Whose limit stands against one more of this key, which may have `most`, and this address; "" if none does,
        and it counts."""
        every = self._open.values()
        if most is not None and sum(open_.keys[key_id] for open_ in every) >= most:
            return "key"
        each = self._most_per_address
        if each is not None and sum(open_.addresses[address] for open_ in every) >= each:
            return "address"
        if self._most is not None and sum(open_.keys.total() for open_ in every) >= self._most:
            return "server"
        self._open[gateway].add(key_id, address)
        return ""

    def leave(self, gateway: int, key_id: str, address: str) -> None:
        self._open[gateway].take(key_id, address)

    def forget(self, gateway: int) -> None:
        """The gateway is gone, and its sessions with it."""
        self._open.pop(gateway, None)


def too_many(most: int) -> RateLimitError:
    message = (
        f"Rate limit reached for sessions at once: this API key may have {most}, and as many are open. Close one, or "
        "try again later."
    )
    return RateLimitError(message, retry_after_s=RETRY_AFTER_S)


def too_many_from_address(most: int) -> RateLimitError:
    message = (
        f"Rate limit reached for sessions at once: your network address may have {most}, and as many are open. Close "
        "one, or try again later."
    )
    return RateLimitError(message, retry_after_s=RETRY_AFTER_S)
