"""A client of the Realtime API that may send any bytes, and reads while it sends.

Rule: whatever it is told goes through its ledger. It waits for the server's `patience_s` and no longer: what takes more
is a hang.
"""

import base64
import json
import os
import select
import socket
import struct
import time
from collections import Counter, deque
from itertools import pairwise

from fuzz.ledger import Ledger
from fuzz.wire.served import KEY
from hark.core.messages import ClearAudio, FinishSession, Refuse
from hark.edge.inflow import Quota
from hark.protocol import wire
from streams import CLOSE, PING, PONG, TEXT, frame

KEPT = 30
# What a server may close with where the client did nothing that ends a session. 1011 is a defect of it.
FATAL = {1002, 1007, 1009}


class Client:
    def __init__(self, server, target="/v1/realtime?intent=transcription", key=KEY, early=b"", **headers):
        self._server = server
        self._socket = server.connect()
        self._socket.setblocking(False)
        self._incoming = bytearray()
        self.ledger = Ledger()
        self.sent, self.refused = Counter(), Counter()
        self._quota = Quota(time.monotonic())  # as the server has it, or a little less
        self.pongs = []
        self.trace = deque(maxlen=KEPT)  # what was sent last, for who reads a fault
        self.code = None  # with which the server has closed
        self.gone = False  # whether it has hung up
        self.clears = 0
        self.closing = False  # whether the session was asked to end
        nonce = base64.b64encode(os.urandom(16)).decode()
        lines = {
            "Host": "fuzz", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": nonce, "Authorization": f"Bearer {key}",
        } | headers  # fmt: skip
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.raw(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + early)
        self._until(lambda: b"\r\n\r\n" in self._incoming, "the answer to a handshake", reading=False)
        answer, _, rest = bytes(self._incoming).partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        self._incoming = bytearray(rest)
        self._read_frames()
        self._until(lambda: self.ledger.events, "the first event")

    @property
    def open(self):
        return self.code is None and not self.gone

    # ---- sending

    def raw(self, data):
        """Bytes as they are. What comes meanwhile is read, or two that wait for each other would wait forever."""
        self.trace.append(data[:120])
        left, deadline = memoryview(data), time.monotonic() + self._server.patience_s + self._quota.wait_s
        while left and not self.gone:
            assert time.monotonic() < deadline, f"the server does not read: {len(left)} bytes are left"
            readable, writable, _ = select.select([self._socket], [self._socket], [], 0.5)
            if readable:
                self._receive()
            if writable and not self.gone:
                try:
                    left = left[self._socket.send(left) :]
                except (BlockingIOError, InterruptedError):
                    continue
                except OSError:
                    self.gone = True

    def frame(self, said, cuts=(), between=b"", opcode=TEXT):
        """A message, text or bytes, cut into frames at these places, with this between them."""
        self.note(said)
        data = said if isinstance(said, bytes) else said.encode(errors="surrogatepass")
        places = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
        parts = [data[first:last] for first, last in pairwise(places)]
        for number, part in enumerate(parts):
            self.raw(frame(0 if number else opcode, part, final=number == len(parts) - 1) + between)

    def note(self, said):
        """What the server will make of this message, by what its own parser says of it."""
        command = wire.decode(said)
        self.trace.append(f"{said[:200]!r}: {type(command).__name__}")
        self._quota.fill(time.monotonic())
        self._quota.spend(said, command)
        self.sent[command.event_id] += 1
        # What follows the end of a session may be heard no more.
        self.refused[command.event_id] += isinstance(command, Refuse) and not self.closing
        self.clears += isinstance(command, ClearAudio)
        self.closing = self.closing or isinstance(command, FinishSession)

    def say(self, kind, **fields):
        self.frame(json.dumps({"type": kind, **fields}))

    # ---- hearing

    def sync(self, event_id, *, by_clear=False):
        """Ask something that has an answer, and wait for it: by then all before it has been answered. All that was
        wrong has had its one error."""
        if by_clear:
            self.say("input_audio_buffer.clear", event_id=event_id)
            self._until(lambda: self._count("input_audio_buffer.cleared") >= self.clears, "cleared")
        else:
            self.say("conversation.item.retrieve", item_id="no such item", event_id=event_id)
            self._until(lambda: self.ledger.errors[event_id], "the answer to a question")
        if self.open:
            self.check()

    def check(self):
        """Each message that cannot be read was answered by its one error, and none by two."""
        errors = self.ledger.errors
        for event_id, times in self.refused.items():
            told = errors[event_id]
            why = f"{told} errors for {times} bad frames of {event_id!r}"
            assert times <= told <= self.sent[event_id], f"{why} after {'; '.join(map(str, self.trace))}"
        assert not +(errors - self.sent), f"errors that nobody caused: {errors - self.sent}"

    def ping(self, payload):
        self.raw(frame(PING, payload))
        self._until(lambda: payload in self.pongs, "a pong")

    def closes(self, codes):
        """Wait until the server has closed and hung up."""
        self._until(lambda: self.gone, "the end of a connection", whole=True)
        codes = codes | {1000} if self.closing else codes
        assert self.code in codes, f"closed with {self.code} and not one of {codes}"

    def finish(self, event_id):
        """Close the session, and hold what was said to the end against what must have been."""
        self.say("session.close", event_id=event_id)
        self._until(lambda: self.code is not None, "the end of a session")
        assert self.code == 1000, self.code
        self.check()
        self.ledger.finished()
        self.drop()

    def half_close(self):
        self._shut(socket.SHUT_WR)
        self._until(lambda: self.gone, "that the server hangs up")

    def drop(self, *, reset=False):
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()
        self.gone = True

    def _shut(self, how):
        try:
            self._socket.shutdown(how)
        except OSError:
            self.gone = True

    def _count(self, kind):
        return sum(event["type"] == kind for event in self.ledger.events)

    def _until(self, condition, what, *, reading=True, whole=False):
        """Raises AssertionError if it takes too long. A server that hangs up is done, unless that is not allowed."""
        # Who sends a flood is read from slowly, which is no fault.
        deadline = time.monotonic() + self._server.patience_s + self._quota.wait_s
        while not condition():
            if self.code is not None and not whole:
                assert self.code not in (1006, 1011), f"closed with {self.code} while waiting for {what}"
                return
            if self.gone:
                return
            left = deadline - time.monotonic()
            assert left > 0, f"{what} did not come within {self._server.patience_s} s"
            if select.select([self._socket], [], [], left)[0]:
                self._receive(reading=reading)

    def _receive(self, *, reading=True):
        try:
            data = self._socket.recv(1 << 20)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.gone = True
            return
        self._incoming += data
        if reading:
            self._read_frames()

    def _read_frames(self):
        while (found := self._next()) is not None:
            first, payload = found
            opcode = first & 15
            assert first & 0xF0 == 0x80, f"a frame that begins with {first:#x}"
            if opcode == TEXT:
                self.ledger.told(json.loads(payload.decode()))
            elif opcode == PING:
                self.raw(frame(PONG, payload))
            elif opcode == PONG:
                self.pongs.append(payload)
            else:
                assert opcode == CLOSE, opcode
                self.code = int.from_bytes(payload[:2], "big") if payload else 1005
                assert self.code != 1011, "closed with 1011"
                self.raw(frame(CLOSE, payload[:2]))

    def _next(self):
        data = self._incoming
        if len(data) < 2:
            return None
        size, begins = data[1], 2
        if size >= 126:
            begins = 4 if size == 126 else 10
            size = int.from_bytes(data[2:begins], "big")
        if len(data) < max(begins, begins + size):
            return None
        found = data[0], bytes(data[begins : begins + size])
        del self._incoming[: begins + size]
        return found
