"""gRPC channels to the workers' ingress, and which one the next stream takes.

Rule: a stream goes over the channel that has the fewest. There are several, each a connection of its own: one carries
only so many streams as its other end allows, and a balancer that sees connections sees more than one. Which worker
answers is chosen at the other end, by least connections (Serve's HAProxy). A channel over which a stream could not be
had, or fell silent, is left alone for a moment. Where half of the channels would do by now, the last ones get no more
streams, and end when they carry none.

Channels belong to the event loop in which they were made.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from math import ceil
from typing import Any, Final

import grpc
import grpc.aio

from hark.compute.cluster import wire

# Streams over one connection before another is made. HAProxy's own limit for HTTP/2 is 100 unless it is told otherwise.
STREAMS_EACH: Final = 50
# Connections that are kept however few streams there are, for each address.
LEAST: Final = 2
# A channel over which no stream could be had is the last choice for so long, for twice as long if the next one cannot
# either, and so on.
SHUNNED_S: Final = 2.0
MOST_SHUNNED_S: Final = 30.0
# After so many in a row that fell silent, a connection is taken for dead, as where the machine at its other end lost
# power, which TCP notices after a quarter of an hour.
MOST_SILENT: Final = 3
OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.use_local_subchannel_pool", 1),  # or channels to one address would share one connection
    ("grpc.lb_policy_name", "round_robin"),  # of a name with several addresses, every one
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # how long an attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


class Channel:
    """One connection, and how many streams it carries."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None, token: str | None = None) -> None:
        self.address = address
        self.streams = 0
        self.shunned_until = 0.0
        self.failures = 0  # in a row, those while it was shunned anyway left out
        self._token = wire.shown(token)
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, OPTIONS)
        self._call = self._channel.stream_stream(f"/{wire.SERVICE}/{wire.METHOD}")

    def open(self, messages: Any, engine: str) -> Any:
        """A call that sends `messages`, an asynchronous iterator of bytes, and gives those of the worker."""
        return self._call(messages, metadata=((wire.APPLICATION, wire.application(engine)), *self._token))

    def heard(self) -> None:
        """Something came over it."""
        self.failures = 0

    def shun(self, now: float) -> None:
        """A stream over it was not greeted, or fell silent."""
        if now >= self.shunned_until:
            self.shunned_until = now + min(MOST_SHUNNED_S, SHUNNED_S * 2.0 ** min(self.failures, 10))
            self.failures += 1

    async def close(self) -> None:
        await self._channel.close()


class Channels:
    """To these addresses, HOST:PORT each. `root`: certificates in PEM that they are to be trusted by; None: no TLS;
    b"": those that the system trusts. `token`: what workers ask for."""

    def __init__(self, addresses: Sequence[str], root: bytes | None = None, token: str | None = None) -> None:
        self._token = token
        self.addresses = tuple(addresses)
        self._credentials = None if root is None else grpc.ssl_channel_credentials(root or None)
        self._next = cycle(self.addresses)
        self._open: list[Channel] = []
        self._left: list[Channel] = []  # no streams are given to these any more

    def pick(self, now: float) -> Channel:
        """The channel for one more stream. Its `streams` are counted by who opens and closes them."""
        if len(self._open) < LEAST * len(self.addresses):
            return self._another()
        best = min(self._open[: self._wanted], key=lambda each: _rank(each, now))
        if best.shunned_until > now:
            best = min(self._open, key=lambda each: _rank(each, now))
        if best.streams >= STREAMS_EACH and best.shunned_until <= now:
            return self._another()
        return best

    @property
    def _wanted(self) -> int:
        """How many channels would leave each half full."""
        return max(LEAST * len(self.addresses), ceil(2 * self.streams / STREAMS_EACH))

    def silent(self, channel: Channel, now: float) -> None:
        """A stream over it fell silent. Where that goes on, a new connection takes its place."""
        channel.shun(now)
        if channel.failures >= MOST_SILENT and channel in self._open:
            new = self._made(channel.address)
            new.failures, new.shunned_until = channel.failures, channel.shunned_until
            self._open[self._open.index(channel)] = new
            self._left.append(channel)

    async def end_idle(self) -> None:
        """Close those that get no streams any more, and carry none."""
        last = [*self._open[self._wanted :], *self._left]
        ended = [channel for channel in last if not channel.streams]
        self._open = [channel for channel in self._open if channel not in ended]
        self._left = [channel for channel in self._left if channel not in ended]
        for channel in ended:
            await channel.close()

    def _another(self) -> Channel:
        self._open.append(self._made(next(self._next)))
        return self._open[-1]

    def _made(self, address: str) -> Channel:
        return Channel(address, self._credentials, self._token)

    @property
    def streams(self) -> int:
        return sum(channel.streams for channel in (*self._open, *self._left))

    async def close(self) -> None:
        channels, self._open, self._left = [*self._open, *self._left], [], []
        for channel in channels:
            await channel.close()


def _rank(channel: Channel, now: float) -> tuple[bool, int]:
    return channel.shunned_until > now, channel.streams
