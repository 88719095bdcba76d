"""One of the gateway processes of `hark serve --workers N`: what the supervisor starts.

Rule: it ends when the supervisor does, however that ended: its standard input is a pipe that nobody else holds open.
Ctrl-C at a terminal reaches it too, and means nothing here; nor does SIGHUP. The supervisor says when to stop, and what
has changed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import Any, Final

from msgspec import Struct, json

from hark import discreet
from hark.app import running
from hark.cli.serve import collect_seldom, hush_sessions, loop_factory, set_up_log, until_signal
from hark.config import Settings
from hark.edge.gateway import Gateway
from hark.edge.renewal import Renewal
from hark.errors import HarkError

log = logging.getLogger("hark.serve")

# After the supervisor is gone and the drain time over: for all to be closed.
STOP_S: Final = 15.0


class Order(Struct, frozen=True):
    """The first line of standard input: which gateway this is, its end of the channel, and what it is set to."""

    index: int
    channel: int
    settings: dict[str, Any]


def main() -> None:
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    if not line:
        return  # the supervisor is gone already
    order = json.decode(line, type=Order)
    settings = Settings(**order.settings)
    patience_s = settings.drain_seconds + STOP_S
    threading.Thread(target=_live_with_supervisor, args=(patience_s,), name="hark-supervisor", daemon=True).start()
    set_up_log(settings, order.index)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(order, settings))


def _live_with_supervisor(patience_s: float) -> None:
    """The channel tells the event loop too, by which it ends in order; but the loop may be what hangs."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    time.sleep(patience_s)
    os._exit(1)


async def _serve(order: Order, settings: Settings) -> None:
    renewal = Renewal()
    with until_signal(signal.SIGTERM) as stop:
        gateway = Gateway(
            order.index,
            socket.socket(fileno=order.channel),
            lost=stop.set,
            quiet=hush_sessions,
            renew=lambda values, apply: _renew(renewal, Settings(**values), apply=apply),
        )
        try:
            async with running(settings, gateway, renewal):
                collect_seldom()
                await stop.wait()
        except HarkError as error:
            gateway.fail(error.message)
        finally:
            await gateway.stop()


def _renew(renewal: Renewal, settings: Settings, *, apply: bool) -> str:
    """What stands against these settings; if nothing does and that is wanted, they are served with."""
    try:
        change = renewal.prepare(settings)
    except HarkError as error:
        return error.message
    if apply:
        change()
        discreet.set_level(logging.getLevelNamesMapping()[settings.log_level.upper()])
    return ""
