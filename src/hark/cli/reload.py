"""SIGHUP: the settings are read anew, as they were given at the start, and what may change takes effect.

Rule: all of it or nothing, and no session notices. Flags and the environment of a process stay what they are, so what
can change is what lies in files: .env or --env-file, the key's file, the certificate. Keys of the store need no signal.
The log tells names of options and never a value.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType

from pydantic import SecretStr

from hark.cli.strays import strays
from hark.config import RELOADED, Settings
from hark.errors import HarkError
from hark.telemetry import logs

log = logging.getLogger("hark.serve")


def reloaded(running: Settings, anew: Settings) -> Settings:
    """`running` with those of `anew` that a running server takes up."""
    return running.model_copy(update={name: getattr(anew, name) for name in RELOADED})


def different(one: Settings, other: Settings) -> list[str]:
    """The options in which they differ, as flags."""
    names = (name for name in Settings.model_fields if getattr(one, name) != getattr(other, name))
    return [f"--{name.replace('_', '-')}" for name in names]


class Reload:
    """`read` gives the settings as they were given, anew; it raises HarkError. `given` is what it gave at the start, of
    which the server made `running`."""

    def __init__(self, read: Callable[[], Settings], given: Settings, running: Settings) -> None:
        self._read = read
        self._given = given
        self._running = running

    async def serve(self, hangup: asyncio.Event, take: Callable[[Settings], Awaitable[None]]) -> None:
        """At each `hangup`, until cancelled. `take` serves with these settings, or raises HarkError and does not."""
        while True:
            await hangup.wait()
            hangup.clear()
            try:
                anew = self._read()
                running = reloaded(self._running, anew)
                await take(running)
            except HarkError as error:
                log.error("the settings stay as they were. %s", error.message)
                continue
            except Exception:
                log.exception("the settings stay as they were.")
                continue
            set_log(min(logging.getLogger("hark").level, level_of(running)), running)
            told = ", ".join(different(self._running, running)) or "none differs"
            log.info("settings were read anew: %s%s", told, "; and the certificate" if running.tls_cert else "")
            if later := different(reloaded(self._given, anew), anew):
                log.warning("only a restart changes %s", ", ".join(later))
            for stray in strays(anew):
                log.warning("%s", stray)
            set_log(level_of(running), running)
            self._running = running


def level_of(settings: Settings) -> int:
    return logging.getLevelNamesMapping()[settings.log_level.upper()]


def set_log(level: int, settings: Settings) -> None:
    """As it was set up, but for this level, and for the secrets that no line may hold."""
    logs.set_up(level, logs.style(), settings.secrets())


@contextlib.contextmanager
def hangups(stop: asyncio.Event) -> Iterator[asyncio.Event]:
    """An event that SIGHUP sets. Where it comes because the terminal was closed at which the server was started, `stop`
    is set instead. Windows has no such signal."""
    asked, loop, at_terminal = asyncio.Event(), asyncio.get_running_loop(), _terminal()
    if not hasattr(signal, "SIGHUP"):
        yield asked
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        closed = at_terminal and not _terminal()
        loop.call_soon_threadsafe((stop if closed else asked).set)

    before = signal.signal(signal.SIGHUP, on_signal)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGHUP, before)


def _terminal() -> bool:
    """Whether this process has one."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def plain(settings: Settings) -> dict[str, object]:
    """The options as JSON can hold them, keys and passwords included: they go through a pipe. Files that were read for
    them are left out."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    for name, value in values.items():
        if isinstance(value, SecretStr):
            values[name] = value.get_secret_value()
        elif value is not None and not isinstance(value, str | int | bool):
            values[name] = str(value)
    return values | {"env_file": None, "api_key_file": None}
