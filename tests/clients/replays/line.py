"""One WebSocket of a replayed program: bytes as its library writes them, and what that library does unasked.

Rule: a reader of its own takes what the server sends, answers pings, and keeps the events in order, so a replay can
wait as its program waits, with the program's limit. A replay that runs into one fails, as its program would.
"""

import base64
import json
import os
import queue
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1

from rawsocket import GUID, Connection

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
PATIENCE_S = 60
DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"


@dataclass(frozen=True)
class Closed:
    """The server's close frame; 1006 and no reason where there was none."""

    code: int
    reason: str


class Line(Connection):
    """`with Line(server, head, **values) as line`. `subprotocol` is what the server chose."""

    def __init__(self, server, head, **values):
        super().__init__(server)
        key = base64.b64encode(os.urandom(16)).decode()
        status, headers, _ = self.ask(head, key=key, **values)
        assert status == 101
        assert (headers["upgrade"].lower(), headers["connection"].lower()) == ("websocket", "upgrade")
        assert headers["sec-websocket-accept"] == base64.b64encode(sha1(key.encode() + GUID).digest()).decode()
        assert "sec-websocket-extensions" not in headers
        self.subprotocol = headers.get("sec-websocket-protocol")
        self.events, self.closed = [], None
        self._inbox, self._pongs, self._writing = queue.SimpleQueue(), queue.SimpleQueue(), threading.Lock()
        self._socket.settimeout(None)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __exit__(self, *_):
        with suppress(OSError):  # it may be gone already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(PATIENCE_S)
        super().__exit__()

    def send(self, kind, **fields):
        self.send_text(json.dumps({"type": kind, **fields}, separators=(",", ":")))

    def send_text(self, text):
        self._frame(TEXT, text.encode())

    def append(self, audio, chunk, **fields):
        """All of it in appends of so many bytes, `fields` in each."""
        for at in range(0, len(audio), chunk):
            encoded = base64.b64encode(audio[at : at + chunk]).decode()
            self.send("input_audio_buffer.append", audio=encoded, **fields)

    def receive(self, within_s=PATIENCE_S):
        """The next event, an `error` as any other; Closed once the server has closed."""
        try:
            got = self._inbox.get(timeout=within_s)
        except queue.Empty:
            raise AssertionError(f"nothing came within {within_s} s, after {self.kinds}") from None
        if isinstance(got, Closed):
            self.closed = got
        else:
            self.events.append(got)
        return got

    def wait(self, *kinds, within_s=PATIENCE_S):
        """The next event of one of these types. An `error`, `failed` or close before it ends the program."""
        while True:
            event = self.receive(within_s)
            assert not isinstance(event, Closed), f"closed by the server: {event}"
            if event["type"] in kinds:
                return event
            assert event["type"] != "error", event
            assert not event["type"].endswith(".failed"), event

    def wait_for_word(self, word):
        """Until it stands in what was said: who speaks sees it on the screen."""
        while word not in " ".join(self.transcripts).lower():
            self.wait(COMPLETED)

    def ping(self, within_s):
        """Ping, and be answered before the next ping would be due."""
        self._frame(PING, b"")
        try:
            self._pongs.get(timeout=within_s)
        except queue.Empty:
            raise AssertionError(f"no pong within {within_s} s") from None

    def close(self, code=1000, reason=""):
        """Close as the program does; the server's close, after the events that came before it."""
        self._frame(CLOSE, struct.pack("!H", code) + reason.encode())
        while not self.closed:
            self.receive()
        return self.closed

    @property
    def kinds(self):
        return [event["type"] for event in self.events]

    @property
    def transcripts(self):
        return [event["transcript"] for event in self.events if event["type"] == COMPLETED]

    def _frame(self, opcode, payload):
        """Masked as a client's must be (RFC 6455, 5.3)."""
        mask, size = os.urandom(4), len(payload)
        short = min(size, 126 if size < 1 << 16 else 127)
        head = bytes([0x80 | opcode, 0x80 | short])
        head += {126: struct.pack("!H", size & 0xFFFF), 127: struct.pack("!Q", size)}.get(short, b"")
        repeated = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
        with self._writing:
            self._socket.sendall(head + mask + masked)

    def _read(self):
        try:
            while True:
                first, size = self._file.read(2)
                if size >= 126:
                    size = int.from_bytes(self._file.read(2 if size == 126 else 8), "big")
                payload = self._file.read(size)
                match first:
                    case 0x81:
                        self._inbox.put(json.loads(payload))
                    case 0x89:
                        self._frame(PONG, payload)
                    case 0x8A:
                        self._pongs.put(payload)
                    case 0x88:
                        code = int.from_bytes(payload[:2], "big") if payload else 1005
                        self._inbox.put(Closed(code, payload[2:].decode()))
                        return
                    case _:
                        raise AssertionError(f"the server sent a frame that begins with {first:#x}")
        except (OSError, ValueError):  # cut off, by either side
            self._inbox.put(Closed(1006, ""))
