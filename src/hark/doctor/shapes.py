"""What came from outside, taken as what it should be: JSON that may be none, and values that may have any type.

Rule: what has another shape than expected is as good as absent; nothing here raises anything but ValueError.
"""

from __future__ import annotations

from typing import Any

import msgspec


def from_json(data: bytes | str) -> Any:
    """Raises ValueError where it is no JSON, no Unicode, or nested deeper than can be read."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def listing(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def number(value: object) -> float | None:
    """A time or a count. JSON has integers that no float holds."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return None
