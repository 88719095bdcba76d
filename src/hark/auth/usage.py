"""How much audio a key has sent in the last hour, in buckets of a minute, and when it may send more.

Rule: the hour is the present minute and the 59 before it, so what was sent in a minute is free again an hour after that
minute began. An account knows what the store said last and what was added since; whoever owns it brings the two
together. Refuses: clocks and files; `now` is in Unix seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from hark.auth.limits import RETRY_AFTER_S
from hark.core.work import SAMPLE_RATE
from hark.errors import AuthError, CallerError, RateLimitError

MINUTES: Final = 60
MINUTE_S: Final = 60
MINUTE_SAMPLES: Final = MINUTE_S * SAMPLE_RATE


def hour(now: float) -> tuple[int, int]:
    """The first and the last minute, since 1970, that count. The clock of another process may be a little ahead; what
    lies further in the future is a clock's error, and would count for as long as that was large."""
    minute = int(now // MINUTE_S)
    return minute - MINUTES + 1, minute + 1


def total(buckets: Mapping[int, int], now: float) -> int:
    """The samples of the last hour."""
    first, last = hour(now)
    return sum(samples for minute, samples in buckets.items() if first <= minute <= last)


class Account:
    """One key's hour. `unsaved`: what was added here and is not in the store yet, minute -> samples. `revoked`: what
    the store said of the key last."""

    def __init__(self, minutes_per_hour: int | None) -> None:
        self.unsaved: dict[int, int] = {}
        self.revoked = False
        self.reserved = 0  # samples of files that are being heard: not added yet, and spoken for
        self._minutes = minutes_per_hour
        self._stored: dict[int, int] = {}
        self._minute = -1
        self._used = 0  # in the hour that ends with `_minute`

    def learn(self, stored: Mapping[int, int], saved: Mapping[int, int]) -> None:
        """What the store says now, and how much of `unsaved` is a part of it."""
        self._stored, self._minute = dict(stored), -1
        for minute, samples in saved.items():
            self.unsaved[minute] -= samples
            if not self.unsaved[minute]:
                del self.unsaved[minute]

    def add(self, samples: int, now: float) -> None:
        minute = self._turn(now)
        self.unsaved[minute] = self.unsaved.get(minute, 0) + samples
        self._used += samples

    def overdrawn(self, now: float) -> CallerError | None:
        """What to say if more has been sent than may be, by a key that still counts."""
        if self.revoked:
            message = "The API key behind this session was revoked, and so the session ends. Use another one."
            return AuthError(message, code="invalid_api_key")
        self._turn(now)
        over = self._minutes is not None and self._used > self._minutes * MINUTE_SAMPLES
        return self._refusal(now, 1) if over else None

    def check(self, now: float) -> None:
        """Raises RateLimitError if nothing is left."""
        self._turn(now)
        if self._minutes is not None and self._used >= self._minutes * MINUTE_SAMPLES:
            raise self._refusal(now, 1)

    def expect(self, samples: int, now: float) -> None:
        """Raises RateLimitError if this much is not left, and CallerError if it never can be."""
        self._turn(now)
        if self._minutes is None or self._used + self.reserved + samples <= self._minutes * MINUTE_SAMPLES:
            return
        if samples > self._minutes * MINUTE_SAMPLES:
            message = (
                f"Expected at most {self._minutes} minutes of audio, as many as this API key may send in an hour; the "
                f"file has {samples / MINUTE_SAMPLES:.1f}. Send it in parts, or with another key."
            )
            raise CallerError(message, code="audio_too_long", param="file")
        if self._used + samples <= self._minutes * MINUTE_SAMPLES:
            message = (
                f"Rate limit reached for audio: of the {self._minutes} minutes that this API key may send in an hour, "
                f"other files that it is sending take {self.reserved / MINUTE_SAMPLES:.1f}. Please try again later."
            )
            raise RateLimitError(message, retry_after_s=RETRY_AFTER_S)
        raise self._refusal(now, samples)

    def _turn(self, now: float) -> int:
        """The present minute; `_used` is that of its hour."""
        minute = int(now // MINUTE_S)
        if minute != self._minute:
            self._minute, self._used = minute, total(self._stored, now) + total(self.unsaved, now)
        return minute

    def _refusal(self, now: float, wanted: int) -> RateLimitError:
        """`wanted`: samples for which there has to be room."""
        assert self._minutes is not None
        wait_s = math.ceil(self._free_at(now, self._minutes * MINUTE_SAMPLES - wanted) - now)
        when = datetime.fromtimestamp(now + wait_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        message = (
            f"Rate limit reached for audio: this API key may send {self._minutes} minutes an hour, and has sent "
            f"{self._used / MINUTE_SAMPLES:.1f}. Please try again in {wait_s}s, at {when}."
        )
        return RateLimitError(message, retry_after_s=wait_s)

    def _free_at(self, now: float, most: int) -> float:
        """When the hour holds no more than `most` samples."""
        used, free_at = self._used, now
        first, last = hour(now)
        for minute in sorted({*self._stored, *self.unsaved}):
            if not first <= minute <= last:
                continue
            if used <= most:
                break
            used -= self._stored.get(minute, 0) + self.unsaved.get(minute, 0)
            free_at = float((minute + MINUTES) * MINUTE_S)
        return free_at
