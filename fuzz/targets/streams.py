"""Frames of a WebSocket as raw bytes: edge/reading.py beside `websockets` alone.

The first byte says how the stream is cut. Both must deliver the same messages, answer the same bytes (pongs, closes)
and leave the connection in the same state.
"""

import asyncio

from hark.edge.reading import Reader
from hark.edge.unreadable import WebSockets
from streams import BINARY, CLOSE, CONTINUED, PING, PONG, TEXT, heard_of

MAX_BYTES = 800
CLEAR = b'{"type":"input_audio_buffer.clear"}'
MASK = b"\x01\x02\x03\x04"


def _frame(opcode, payload=b"", *, final=True, reserved=0, mask=MASK, size=None):
    """`size`: bytes of the length, 0 for the shortest way to say it."""
    length, extra = len(payload), b""
    if size or length > 125:
        size = size or (2 if length < 1 << 16 else 8)
        length, extra = (126 if size == 2 else 127), length.to_bytes(size, "big")
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload)) if mask else payload
    return bytes((final << 7 | reserved << 4 | opcode, bool(mask) << 7 | length)) + extra + mask + masked


FRAMES = {
    "text": _frame(TEXT, CLEAR),
    "empty": _frame(TEXT),
    "two-bytes": _frame(TEXT, CLEAR, size=2),
    "eight-bytes": _frame(TEXT, CLEAR, size=8),
    "long": _frame(TEXT, b"x" * 200),
    "too-long": _frame(TEXT, b"x" * 301),
    "binary": _frame(BINARY, b"\0\1"),
    "ping": _frame(PING, b"there?"),
    "pong": _frame(PONG),
    "close": _frame(CLOSE, b"\x03\xe8bye"),
    "close-empty": _frame(CLOSE),
    "close-bad": _frame(CLOSE, b"\x03\xed"),
    "fragments": _frame(TEXT, CLEAR[:9], final=False) + _frame(PING, b"x") + _frame(CONTINUED, CLEAR[9:]),
    "continued": _frame(CONTINUED, CLEAR),
    "no-text": _frame(TEXT, b'"\xc0\xaf"'),
    "surrogate": _frame(TEXT, b'"\xed\xa0\x80"'),
    "reserved": _frame(TEXT, CLEAR, reserved=4),
    "unmasked": _frame(TEXT, CLEAR, mask=b""),
    "huge": b"\x81\xff" + b"\xff" * 8 + MASK,
    "large": b"\x81\xff\0\0\0\0\x7f\xff\xff\xff" + MASK,
}
TOKENS = [
    *FRAMES.values(),
    b"\x81\xfe\x01\x2c" + MASK,
    b"\x81\xfe\x01\x2d" + MASK,
    b"\x01\x80",
    b"\x80\x80",
    b"\x89\x80",
]


def seeds():
    for name, data in FRAMES.items():
        yield name, b"\x07" + data + FRAMES["text"] * 2
    yield "after-close", b"\0" + FRAMES["text"] + FRAMES["close"] + FRAMES["text"] + FRAMES["ping"]
    yield "pieces", b"\x03" + FRAMES["fragments"] + FRAMES["binary"] + FRAMES["long"] + FRAMES["ping"]


def check(data):
    # With the end of a head that breaks off: ours waits for it, where `websockets` may refuse its begin.
    size, stream = (data[0] if data else 0) or len(data) or 1, data[1:] + bytes(14)
    loop = asyncio.new_event_loop()
    try:
        chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
        ours = loop.run_until_complete(heard_of(Reader, chunks))
        theirs = loop.run_until_complete(heard_of(WebSockets, [stream[at : at + 1] for at in range(len(stream))]))
    finally:
        loop.close()
    assert ours == theirs, f"{ours} != {theirs}"
