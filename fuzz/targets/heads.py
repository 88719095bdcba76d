"""A connection from its first byte: HTTP heads, handshakes and what follows, through edge/unreadable.py and reading.py.

The first byte says how the stream is cut. What our reader makes of it must be what `websockets` makes of it, every
answer is HTTP with a status under 500, one that is a refusal of ours is in the envelope, and nothing is raised.
"""

import asyncio
import json
import re

from uvicorn.config import Config
from uvicorn.server import ServerState

from fuzz.targets import streams
from hark.edge import unreadable
from hark.edge.reading import Reader
from hark.edge.unreadable import WebSockets
from malformed import HEADS, LINES, handshake, handshakes, heads, request
from streams import Transport

MAX_BYTES = 1_500
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
TOKENS = [
    b"GET ", b"POST ", b" HTTP/1.1\r\n", b"\r\n\r\n", b"Host: x\r\n", b"Connection: Upgrade\r\n",
    b"Upgrade: websocket\r\n",
    b"Sec-WebSocket-Version: 13\r\n", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b"Sec-WebSocket-Protocol: ",
    b"realtime", b"openai-insecure-api-key.k", b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
    b"Expect: 100-continue",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"0\r\n\r\n", b"Upgrade: h2c\r\n", b"%00", b"\xff",
    *(line.encode("latin-1") for line in LINES), streams.FRAMES["text"],
]  # fmt: skip


def seeds():
    yield "handshake", b"\0" + handshake() + streams.FRAMES["text"] + streams.FRAMES["ping"]
    yield "in-pieces", b"\x09" + handshake() + streams.FRAMES["text"] + streams.FRAMES["close"]
    yield "two", b"\0" + request("GET", "/health") * 2
    yield "upgrade-later", b"\0" + request("GET", "/health") + handshake()
    for number, data in enumerate(HEADS):
        yield f"head-{number}", b"\0" + data
    for name, data in [*handshakes(), *heads()][::3]:
        if len(data) < MAX_BYTES:
            yield re.sub(r"\W+", "-", name)[:30].strip("-"), b"\0" + data


def check(data):
    loop = asyncio.new_event_loop()
    data += bytes(14)  # as in streams.py
    faults = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    try:
        ours = loop.run_until_complete(_heard(Reader, _cut(data)))
        theirs = loop.run_until_complete(_heard(WebSockets, [data[at : at + 1] for at in range(1, len(data))]))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    if b"HTTP/1.1 101 " in theirs[1]:  # where requests came before, the order of answers depends on what came at once
        assert _compared(ours) == _compared(theirs), f"{ours} != {theirs}"
    assert not faults, faults
    _, answered, _ = ours
    for status in STATUS.findall(answered):
        assert int(status) < 500, answered
    head, _, body = answered.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 400") and b"content-length" in head.lower():
        size = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        assert json.loads(body[:size])["error"]["message"]


def _cut(data):
    size = (data[0] if data else 0) or len(data) or 1
    return [data[at : at + size] for at in range(1, len(data), size)]


def _compared(heard):
    """Less the clock, and what was answered to frames: that depends on how much came at once."""
    messages, answered, closing = heard
    return messages, re.sub(rb"Date: .*?\r\n", b"", answered.partition(b"\r\n\r\n")[0]), closing


async def _heard(protocol, chunks):
    messages = []
    config = Config(
        _app(messages), http=unreadable.Http, ws=protocol, ws_max_size=300, ws_ping_interval=None, lifespan="off",
        log_config=None, date_header=False, server_header=False,
    )  # fmt: skip
    config.load()
    transport, state = _Wire(), ServerState()
    connection = unreadable.Http(config, state, {})
    transport.protocol = connection
    connection.connection_made(transport)
    for chunk in chunks:
        if transport.closing:
            break
        transport.protocol.data_received(chunk)
        for _ in range(8):
            await asyncio.sleep(0)
    transport.protocol.connection_lost(None)
    for task in list(state.tasks):
        await asyncio.wait_for(task, 5)
    return messages, transport.written, transport.closing


def _app(messages):
    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            messages.append((scope["path"], scope["query_string"], scope["subprotocols"]))
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                messages.append(message.get("text") or message.get("bytes"))
            return
        messages.append((scope["method"], scope["path"], scope["headers"]))
        while (message := await receive())["type"] == "http.request" and message.get("more_body"):
            messages.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    return app


class _Wire(Transport):
    def set_protocol(self, protocol):
        self.protocol = protocol

    def get_protocol(self):
        return self.protocol

    def get_extra_info(self, name, default=None):
        return {"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 80)}.get(name, default)
