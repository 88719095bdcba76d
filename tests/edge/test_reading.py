"""Frames as RFC 6455 has them: whole texts are read by us and the rest by `websockets`, and no client can tell."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.server import ServerState

from hark.edge.reading import Reader
from hark.edge.unreadable import Parting, WebSockets
from rawsocket import Connection
from serving import PATIENCE_S
from streams import BINARY, CLOSE, CONTINUED, HANDSHAKE, MAX_SIZE, PING, PONG, TEXT, Transport, frame, heard

# ---- beside the protocol class that it is made of

texts = st.text(max_size=40).map(str.encode)
payloads = st.one_of(texts, st.binary(max_size=130), st.just(b"x" * (MAX_SIZE + 1)))
plain = st.builds(lambda text: frame(TEXT, text), texts)
fragments = st.builds(
    lambda first, ping, rest: frame(TEXT, first, final=False) + ping + frame(CONTINUED, rest),
    payloads,
    st.sampled_from([b"", frame(PING, b"x"), frame(PONG)]),
    payloads,
)
anything = st.builds(
    frame,
    st.integers(0, 15),
    payloads,
    final=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 1, 4]),
    masked=st.sampled_from([True, True, True, False]),
)
reasons = st.sampled_from([b"", b"\x03", b"\x03\xe8bye", b"\x03\xed", b"\x03\xe8\xff"])
closes = reasons.map(lambda reason: frame(CLOSE, reason))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(plain, plain, fragments, anything, closes), max_size=6).map(b"".join), st.data())
def test_no_client_can_tell_who_reads_its_frames(stream, data):
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    chunks = [stream[first:last] for first, last in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    byte_by_byte = [stream[at : at + 1] for at in range(len(stream))]
    assert heard(Reader, [chunk for chunk in chunks if chunk]) == heard(WebSockets, byte_by_byte)


# ---- on the wire


class Peer(Connection):
    """Sends bytes; reads the server's frames."""

    def __init__(self, server):
        super().__init__(server)
        status, _, _ = self.ask(
            "GET /v1/realtime?intent=transcription HTTP/1.1\nHost: <host>\nUpgrade: websocket\nConnection: Upgrade\n"
            "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
        )
        assert status == 101
        assert b"session.created" in self.next()[1]

    def raw(self, data):
        self._socket.sendall(data)

    def next(self):
        first, size = self._file.read(2)
        if size >= 126:
            size = int.from_bytes(self._file.read(2 if size == 126 else 8), "big")
        return first, self._file.read(size)

    def ending(self):
        """The code with which the server closes."""
        while True:
            first, payload = self.next()
            if first == 0x80 | CLOSE:
                assert self._file.read() == b""
                return int.from_bytes(payload[:2], "big")


@pytest.fixture
def peer(server):
    with Peer(server) as connection:
        yield connection


CLEAR, CLEARED = b'{"type":"input_audio_buffer.clear"}', b"input_audio_buffer.cleared"


def test_a_message_may_come_with_the_handshake(server):
    with Connection(server) as connection:
        status, _, _ = connection.exchange(HANDSHAKE.replace(b"GET /", b"GET /v1/realtime") + frame(TEXT, CLEAR))
        assert status == 101
        told = [json.loads(connection.recv())["type"] for _ in range(2)]
        assert told == ["session.created", CLEARED.decode()]


def test_a_fault_with_the_handshake_is_the_clients(server, caplog):
    with Connection(server) as connection:
        asked = HANDSHAKE.replace(b"GET /", b"GET /v1/realtime") + frame(TEXT, CLEAR, reserved=4)
        assert connection.exchange(asked)[0] == 101
        connection.hang_up_after(b"")
    with server.session() as wire:
        assert wire.ask("input_audio_buffer.clear")["type"] == CLEARED.decode()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_text_that_is_none_is_no_fault_of_the_servers(peer, caplog):
    peer.raw(frame(TEXT, b'"\xc0\xaf"') + frame(CLOSE, b"\x03\xe8"))
    assert peer.ending() == 1007
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_frame_may_come_byte_by_byte_and_many_at_once(peer):
    for byte in frame(TEXT, CLEAR):
        peer.raw(bytes([byte]))
    peer.raw(frame(TEXT, CLEAR) * 40)
    assert [CLEARED in peer.next()[1] for _ in range(41)] == [True] * 41


def test_fragments_are_one_message_and_a_ping_between_is_answered_first(peer):
    peer.raw(
        frame(TEXT, CLEAR[:9], final=False) + frame(PING, b"are you there") + frame(CONTINUED, CLEAR[9:20], final=False)
    )
    assert peer.next() == (0x80 | PONG, b"are you there")
    peer.raw(frame(CONTINUED, CLEAR[20:]) + frame(TEXT, CLEAR))
    assert CLEARED in peer.next()[1]
    assert CLEARED in peer.next()[1]


def test_a_character_may_be_split_between_fragments(peer):
    said = '{"type":"input_audio_buffer.clear","event_id":"é"}'.encode()
    at = said.index("é".encode()) + 1
    peer.raw(frame(TEXT, said[:at], final=False) + frame(CONTINUED, said[at:]))
    assert CLEARED in peer.next()[1]


def test_a_binary_message_is_refused_and_the_session_goes_on(peer):
    peer.raw(frame(BINARY, b"\0\1") + frame(TEXT, CLEAR))
    assert b"binary frames are not supported" in peer.next()[1]
    assert CLEARED in peer.next()[1]


WRONG = {
    "a reserved bit": (frame(TEXT, CLEAR, reserved=4), 1002),
    "an opcode that does not exist": (frame(3, b"x"), 1002),
    "a control opcode that does not exist": (frame(11), 1002),
    "no mask": (frame(TEXT, CLEAR, masked=False), 1002),
    "a continuation of nothing": (frame(CONTINUED, CLEAR), 1002),
    "a text in the middle of another one": (frame(TEXT, b"{", final=False) + frame(TEXT, CLEAR), 1002),
    "a ping in fragments": (frame(PING, b"x", final=False), 1002),
    "a ping that is too long": (frame(PING, b"x" * 126), 1002),
    "half a close code": (frame(CLOSE, b"\x03"), 1002),
    "a close code that must not be sent": (frame(CLOSE, b"\x03\xed"), 1002),
    "a close reason that is no text": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "a text that is none": (frame(TEXT, b'"\xc0\xaf"'), 1007),
    "a text that is none in the end": (frame(TEXT, b'"', final=False) + frame(CONTINUED, b"\xff"), 1007),
    "half a surrogate pair": (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
    "a frame that is too large": (frame(TEXT, length=33 * 1024 * 1024), 1009),
    "one with a length beyond reason": (frame(TEXT, length=(1 << 63) + 1), 1009),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_ends_the_connection_with_its_code(peer, name):
    data, code = WRONG[name]
    peer.raw(frame(TEXT, CLEAR))
    assert CLEARED in peer.next()[1]
    peer.raw(data)
    assert peer.ending() == code


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_a_close_is_answered_with_its_code(peer, code):
    peer.raw(frame(TEXT, CLEAR) + frame(CLOSE, code.to_bytes(2, "big") + b"bye") + frame(TEXT, CLEAR))
    assert peer.ending() == code


def test_a_whole_text_may_say_its_length_in_more_bytes_than_it_needs(peer):
    mask = bytes(4)
    peer.raw(b"\x81\xfe" + len(CLEAR).to_bytes(2, "big") + mask + CLEAR)
    peer.raw(b"\x81\xff" + len(CLEAR).to_bytes(8, "big") + mask + CLEAR)
    assert CLEARED in peer.next()[1]
    assert CLEARED in peer.next()[1]


@pytest.mark.parametrize("protocol", [Reader, WebSockets, Parting])
@pytest.mark.parametrize("goodbye", [None, b"\x03\xe8", b""], ids=["silent", "1000", "without a code"])
def test_a_server_that_stops_while_its_client_closes(protocol, goodbye):
    """Whoever closed first, the connection ends and nothing is raised."""

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    async def scenario():
        config = Config(app, ws_max_size=MAX_SIZE, ws_ping_interval=None, lifespan="off", log_config=None)
        config.load()
        transport, connection = Transport(), protocol(config, ServerState(), {})
        connection.connection_made(transport)
        connection.data_received(HANDSHAKE)
        async with asyncio.timeout(PATIENCE_S):
            while b"\r\n\r\n" not in transport.written:
                await asyncio.sleep(0)
        if goodbye is not None:
            connection.conn.receive_data(frame(CLOSE, goodbye))  # heard, and not acted on yet
        connection.shutdown()
        assert transport.closing
        connection.connection_lost(None)

    asyncio.run(scenario())
