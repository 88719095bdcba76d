"""Principal: who is calling, and what the key behind the call allows."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

OWN_KEY: Final = "HARK_API_KEY"


class Principal(Struct, frozen=True):
    """Who is calling. `name` may stand in logs.

    `key_id` is that of the key used or behind the secret used, "" without one. `origins`: the pages that may use it,
    all if empty. `max_sessions` and `audio_minutes_per_hour`: None for any number.
    `configuration`: what the client secret carries; None if the caller showed a key itself, or nothing. `secret`: which
    one it was, "" if none; it is no credential.
    """

    name: str
    key_id: str = ""
    origins: tuple[str, ...] = ()
    max_sessions: int | None = None
    audio_minutes_per_hour: int | None = None
    configuration: bytes | None = None
    secret: str = ""

    @property
    def stored(self) -> bool:
        """Whether a key of the store is behind the call: only those have limits, and their audio is counted."""
        return self.key_id not in ("", OWN_KEY)

    @property
    def by_secret(self) -> bool:
        return self.configuration is not None

    def reaches(self, owner: Principal) -> bool:
        """Whether they may go on with what `owner` began. A key may with all that is its own; a secret, which somebody
        else's page holds, with nothing but what was begun with it."""
        return self.key_id == owner.key_id and self.secret in ("", owner.secret)


ANONYMOUS = Principal("anonymous")


def mask(secret: str) -> str:
    """First two and last two characters, and stars that do not tell the length."""
    return f"{secret[:2]}***{secret[-2:]}" if len(secret) > 8 else "***"
