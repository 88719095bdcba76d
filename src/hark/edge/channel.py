"""The channel between the supervisor of several gateway processes and one of them: messages, and sockets that go along.

The supervisor accepts connections and gives each to a gateway, as a descriptor over this channel; what holds for all
gateways together (sessions at once, whose call is whose) is asked for and passed on here too.

Rule: a socket that was sent is kept until the other side says that it has it. So none is lost with a process that ends
before it took it, and systems that drop a descriptor whose sender has closed it (macOS) are served too. Each message is
4 bytes of length and msgpack, and what is sent comes in order.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from hark.auth.limits import Refusal

log = logging.getLogger("hark.serve")

_LENGTH_BYTES: Final = 4
_READ_BYTES: Final = 65_536
_READ_SOCKETS: Final = 64
_CLOSED_ON_EXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_NONE_FREE: Final = -1


class Taken(Struct, tag=True, frozen=True):
    """Either way: the oldest socket that was sent has arrived."""


class Ready(Struct, tag=True, frozen=True):
    """From a gateway: its models are loaded."""


class Failed(Struct, tag=True, frozen=True):
    """From a gateway: it cannot start, and why."""

    message: str


class Leaving(Struct, tag=True, frozen=True):
    """From a gateway: it was told to stop, and takes no more connections."""


class Load(Struct, tag=True, frozen=True):
    """From a gateway: the connections that it was ever given, and what it has open, calls included."""

    given: int
    open: int


class Enter(Struct, tag=True, frozen=True):
    """From a gateway: may this key, which may have `most` sessions at once, have one more, at this address?"""

    number: int
    key_id: str
    address: str
    most: int | None


class Left(Struct, tag=True, frozen=True):
    """From a gateway: a session of this key, from this address, has ended."""

    key_id: str
    address: str


class Pass(Struct, tag=True, frozen=True):
    """From a gateway, with a socket: for the gateway of this index, as a Request."""

    to: int


class Connection(Struct, tag=True, frozen=True):
    """From the supervisor, with a socket: a client."""


class Request(Struct, tag=True, frozen=True):
    """From the supervisor, with a socket: another gateway, which passes a request on (relay.py)."""


class Return(Struct, tag=True, frozen=True):
    """From a gateway that is leaving, with a socket: a client, for another one."""


class Answer(Struct, tag=True, frozen=True):
    """From the supervisor, to an Enter of this number: what stands against it, and how many it allows."""

    number: int
    refusal: Refusal
    most: int


class Draining(Struct, tag=True, frozen=True):
    """Either way: whether the server drains. A gateway says it to all by way of the supervisor."""

    on: bool


class Quiet(Struct, tag=True, frozen=True):
    """From the supervisor: whether the log shall leave out what becomes of sessions."""

    on: bool


class Renew(Struct, tag=True, frozen=True):
    """From the supervisor: settings that were read anew, to be looked at, or, with `apply`, to be served with."""

    number: int
    settings: dict[str, Any]
    apply: bool


class Renewed(Struct, tag=True, frozen=True):
    """From a gateway, to a Renew of this number: what stands against it, if anything does."""

    number: int
    failure: str


Message: TypeAlias = (
    Taken
    | Ready
    | Failed
    | Leaving
    | Load
    | Enter
    | Left
    | Pass
    | Return
    | Connection
    | Request
    | Answer
    | Quiet
    | Draining
    | Renew
    | Renewed
)
_WITH_SOCKET: Final = (Pass, Return, Connection, Request)


class Channel:
    """One end. `heard` is told of each message, with its socket if one came along; `lost`, once, that the other side is
    gone. Both are called on the loop that the channel was made on."""

    def __init__(
        self,
        end: socket.socket,
        heard: Callable[[Message, socket.socket | None], None],
        lost: Callable[[], None],
    ) -> None:
        end.setblocking(False)
        self._end = end
        self._heard = heard
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._encoder = Encoder()
        self._decoder: Decoder[Message] = Decoder(Message)
        self._incoming = bytearray()
        self._sockets: deque[int] = deque()
        self._outgoing: deque[tuple[bytes, socket.socket | None]] = deque()
        self.carried: deque[tuple[Message, socket.socket]] = deque()  # sent, and not taken yet
        self.open = True
        self._loop.add_reader(end, self._read)

    def send(self, message: Message, carried: socket.socket | None = None) -> None:
        """`carried` is the channel's from now on."""
        if not self.open:
            if carried is not None:
                carried.close()
            return
        if carried is not None:
            self.carried.append((message, carried))
        body = self._encoder.encode(message)
        self._outgoing.append((len(body).to_bytes(_LENGTH_BYTES, "big") + body, carried))
        if len(self._outgoing) == 1:
            self._write()

    def close(self) -> None:
        """What was sent and not taken stays in `carried`."""
        if not self.open:
            return
        self.open = False
        self._loop.remove_reader(self._end)
        self._loop.remove_writer(self._end)
        self._end.close()
        self._outgoing.clear()
        for each in self._sockets:
            if each != _NONE_FREE:
                os.close(each)
        self._sockets.clear()

    def _write(self) -> None:
        while self._outgoing:
            data, carried = self._outgoing[0]
            try:
                if carried is None:
                    sent = self._end.send(data)
                else:
                    sent = socket.send_fds(self._end, [data], [carried.fileno()])
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._end, self._write)
                return
            except OSError:
                self._lose()
                return
            self._outgoing.popleft()
            if sent < len(data):
                self._outgoing.appendleft((data[sent:], None))
        self._loop.remove_writer(self._end)

    def _read(self) -> None:
        try:
            data, sockets, flags, _ = socket.recv_fds(self._end, _READ_BYTES, _READ_SOCKETS, _CLOSED_ON_EXEC)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, sockets, flags = b"", [], 0
        for each in sockets:
            os.set_inheritable(each, False)
            self._sockets.append(each)
        if flags & socket.MSG_CTRUNC and not sockets:
            log.error("no descriptor is free for a connection, which is dropped: allow more of them (ulimit -n)")
            self._sockets.append(_NONE_FREE)
        if not data:
            self._lose()
            return
        self._incoming += data
        while self.open and (message := self._next()) is not None:
            self._take(message)

    def _next(self) -> Message | None:
        whole = _LENGTH_BYTES + int.from_bytes(self._incoming[:_LENGTH_BYTES], "big")
        if len(self._incoming) < max(whole, _LENGTH_BYTES + 1):
            return None
        message = self._decoder.decode(self._incoming[_LENGTH_BYTES:whole])
        del self._incoming[:whole]
        return message

    def _take(self, message: Message) -> None:
        if isinstance(message, Taken):
            self.carried.popleft()[1].close()
        came = None
        if isinstance(message, _WITH_SOCKET):
            descriptor = self._sockets.popleft()
            came = None if descriptor == _NONE_FREE else socket.socket(fileno=descriptor)
            self.send(Taken())
        self._heard(message, came)

    def _lose(self) -> None:
        if self.open:
            self.close()
            self._lost()
