"""Credentials -> Principal.

Rule: with a key set, a caller must send it; with none, any credential or none will do, for clients insist on sending
something. Comparison takes the same time for every wrong key. A message shows at most the ends of what was sent.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from msgspec import Struct

from hark.errors import AuthError


class Principal(Struct, frozen=True):
    """Who is calling. `name` may stand in logs."""

    name: str


ANONYMOUS = Principal("anonymous")


class Keys:
    """The one key of HARK_API_KEY, or none."""

    def __init__(self, key: str | None) -> None:
        self._key = key.encode() if key else None

    @property
    def required(self) -> bool:
        return self._key is not None

    def admit(self, credentials: Sequence[str]) -> Principal:
        """Whoever sent these. Raises AuthError."""
        if self._key is None:
            return ANONYMOUS
        if not credentials:
            raise AuthError("Missing bearer or basic authentication in header: this server asks for its API key.")
        if any(hmac.compare_digest(candidate.encode(), self._key) for candidate in credentials):
            return Principal("key")
        raise AuthError(
            f"Incorrect API key provided: {mask(credentials[0])}. Send the key that this server was started with.",
            code="invalid_api_key",
        )


def mask(secret: str) -> str:
    """First two and last two characters, and stars that do not tell the length."""
    return f"{secret[:2]}***{secret[-2:]}" if len(secret) > 8 else "***"
