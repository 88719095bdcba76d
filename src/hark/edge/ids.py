"""Ids as OpenAI's look: a prefix and random letters and digits that are legal in a URL and in a subprotocol."""

from __future__ import annotations

import secrets


def new_id(prefix: str) -> str:
    """ "item" -> "item_" and 20 hexadecimal digits."""
    return f"{prefix}_{secrets.token_hex(10)}"
