"""Bytes of a WebSocket for one connection's protocol class, without a socket: what comes of them, and when.

Rule: two classes that are given the same bytes can be compared, however the bytes are cut.
"""

import asyncio
import os

from uvicorn.config import Config
from uvicorn.server import ServerState

from serving import PATIENCE_S

CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
MAX_SIZE = 300


def frame(opcode, payload=b"", *, final=True, reserved=0, masked=True, length=None):
    """`length` is what the head says, if that is not the truth."""
    size = len(payload) if length is None else length
    if size < 126:
        extra = b""
    elif size < 1 << 16:
        extra, size = size.to_bytes(2, "big"), 126
    else:
        extra, size = size.to_bytes(8, "big"), 127
    head = bytes((final << 7 | reserved << 4 | opcode, masked << 7 | size)) + extra
    if not masked:
        return head + payload
    if len(payload) >= 1 << 16:  # to mask that much takes Python long
        return head + bytes(4) + payload
    mask = os.urandom(4)
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return head + mask + masked.to_bytes(len(payload), "big")


class Transport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = b""
        self.closing = False
        self.paused = False

    def write(self, data):
        self.written += data

    def close(self):
        self.closing = True

    def is_closing(self):
        return self.closing

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False


async def heard_of(protocol, chunks, max_size=MAX_SIZE):
    """What the application receives of these chunks, what is answered, and whether the connection is closed."""
    messages = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            messages.append(message)
        # Of a connection that broke off uvicorn tells what it tells of a close without a code; Reader keeps them apart.
        messages.append(message | {"code": 1005} if message["code"] == 1006 else message)

    config = Config(app, ws_max_size=max_size, ws_ping_interval=None, lifespan="off", log_config=None)
    config.load()
    transport, connection = Transport(), protocol(config, ServerState(), {})
    connection.connection_made(transport)
    connection.data_received(HANDSHAKE)
    async with asyncio.timeout(PATIENCE_S):
        while b"\r\n\r\n" not in transport.written:
            await asyncio.sleep(0)
    for chunk in chunks:
        if not transport.closing:
            connection.data_received(chunk)
            for _ in range(4):
                await asyncio.sleep(0)
    answered = transport.written.partition(b"\r\n\r\n")[2]
    connection.connection_lost(None)
    for _ in range(4):
        await asyncio.sleep(0)
    return messages, answered, transport.closing


def heard(protocol, chunks):
    return asyncio.run(heard_of(protocol, chunks))
