"""OpenAI's API over WebRTC, as a browser uses it: an offer over HTTP, Opus over RTP, events over a data channel.

A call is aiortc's: ICE, DTLS, SRTP, SCTP. Only its sender of audio stays off, which runs a task and an encoder for each
call: clips are encoded once, and a packet that is due gets a header and goes to DTLS and ICE at once.

Rule: a packet leaves when the player says so, and none waits, overtakes another or is sent again; what the network
loses is lost. Sender reports are not sent. This file loads aiortc, so it is imported where calls are made.
"""

from __future__ import annotations

import asyncio
import http.client
import ssl
import struct
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import ClassVar, Final
from urllib.parse import urlsplit

import av
import msgspec
import numpy as np
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcrtpparameters import RTCRtpSendParameters
from aiortc.rtp import HeaderExtensionsMap, RtpPacket
from numpy.typing import NDArray

from hark.audio.intake import wire_bytes
from hark.bench.heard import Heard
from hark.bench.protocols import Hear, Line, Message, OpenAI, Sending, session_of
from hark.client import realtime_url
from hark.client.events import SessionCreated, decode
from hark.core.work import SAMPLE_RATE, Audio
from hark.edge import ice

RATE: Final = 48_000
TICKS: Final = RATE // SAMPLE_RATE  # of the RTP clock, a sample
BIT_RATE: Final = 32_000
# By so many samples at 16 kHz what comes out of libopus is behind what went in: its pre-skip (RFC 7845, 4.2) is 312 at
# 48 kHz.
DELAY: Final = 104
# A pause is the last packet of so many, when the encoder has settled.
SETTLED: Final = 10
OPEN_S: Final = 30.0
CLOSE_S: Final = 3.0
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def packets(audio: NDArray[np.int16], frame_ms: int = 20) -> list[bytes]:
    """Whole frames of 48 kHz mono as Opus packets, as browsers encode speech: 32 kb/s, with in-band FEC."""
    coder = av.CodecContext.create("libopus", "w")
    coder.bit_rate, coder.format, coder.layout, coder.sample_rate = BIT_RATE, "s16", "mono", RATE
    coder.options = {"application": "voip", "fec": "1", "packet_loss": "5", "frame_duration": str(frame_ms)}
    size = RATE * frame_ms // 1000
    made: list[bytes] = []
    for at in range(0, len(audio), size):
        frame = av.AudioFrame.from_ndarray(audio[None, at : at + size], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, at
        made += [bytes(packet) for packet in coder.encode(frame)]
    return made


def silence(frame_ms: int = 20) -> bytes:
    """A packet of it."""
    return packets(np.zeros(SETTLED * RATE * frame_ms // 1000, np.int16), frame_ms)[-1]


class Calls(OpenAI):
    """A transcription session by a call; its session object goes with the offer (contract A.4)."""

    codec_delay: ClassVar[int | None] = DELAY
    packets_ms: ClassVar[tuple[int, ...] | None] = (10, 20, 40, 60)

    @classmethod
    def url(cls, base: str) -> str:
        return calls_url(base)

    @classmethod
    def encode(cls, audio: Audio, stretch: tuple[int, int] | None, sending: Sending) -> Sequence[Message | None]:
        frame_ms = sending.frame_samples * 1000 // SAMPLE_RATE
        if stretch is None:
            audio = np.tile(audio, SETTLED)
        made = packets(np.frombuffer(wire_bytes(audio, "pcm16", RATE), "<i2").astype(np.int16), frame_ms)
        return made[-1:] if stretch is None else made

    @staticmethod
    def on_wire(message: Message) -> bytes:
        return message.encode() if isinstance(message, str) else message

    def line(self, url: str, api_key: str | None, tls: ssl.SSLContext | None, hear: Hear) -> Line:
        return Call(url, api_key, tls, hear, frame_samples=self._sending.frame_samples)

    def greeting(self) -> Iterable[Message]:
        yield msgspec.json.encode(session_of(self._sending, {}))

    def hear(self, message: Message, at: float) -> Iterable[Heard]:
        self.ready = self.ready or isinstance(decode(message), SessionCreated)
        return super().hear(message, at)


def calls_url(base: str) -> str:
    """Where offers go. Raises CallerError."""
    scheme, _, rest = realtime_url(base).partition("://")
    return f"{scheme.replace('ws', 'http')}://{rest.partition('?')[0]}/calls"


class Call:
    """One call. `hear` gets each message of the data channel and the time at which it came."""

    def __init__(
        self, url: str, api_key: str | None, tls: ssl.SSLContext | None, hear: Hear, *, frame_samples: int = 320
    ) -> None:
        self.closed: str | None = None
        self.backlog = 0  # datagrams do not wait
        self._url, self._key, self._tls = url, api_key, tls
        self._step = frame_samples * TICKS
        self._number = self._stamp = 0
        self._head = b""
        config = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        self._connection = RTCPeerConnection(config)
        self._sender = self._connection.addTransceiver("audio").sender
        self._sender.send = self._prepare  # type: ignore[method-assign]
        self._channel = self._connection.createDataChannel("oai-events")
        self._opened = asyncio.Event()
        self._channel.on("open", self._opened.set)
        self._channel.on("message", lambda text: hear(text, time.monotonic()))
        self._channel.on("close", lambda: self._lose("the server closed the data channel"))
        self._connection.on("connectionstatechange", self._on_state)

    async def offer(self) -> str:
        """The SDP; gathers the addresses of this machine, or loopback where the server is there."""
        if urlsplit(self._url).hostname in LOOPBACK:
            network = ice.Network(advertised=("127.0.0.1",))
            ice.prepare(self._sender.transport.transport._connection, network, lambda: None)
        await self._connection.setLocalDescription(await self._connection.createOffer())
        sdp: str = self._connection.localDescription.sdp
        return sdp

    async def ask(self, offer: str, session: Message) -> str:
        """Send the offer and a session object; the answer's SDP. Raises OSError."""
        return await asyncio.to_thread(self._post, offer, session)

    async def answer(self, sdp: str) -> None:
        """Take the answer, and wait until audio can flow. Raises OSError, TimeoutError."""
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        except ValueError as error:
            raise ConnectionError(f"the answer cannot be used: {error}") from error
        async with asyncio.timeout(OPEN_S):
            await self._opened.wait()
        if self.closed is not None:
            raise ConnectionError(self.closed)

    async def open(self, greeting: Iterable[Message]) -> None:
        """The one message of `greeting` is the session object. Raises OSError, TimeoutError."""
        [session] = greeting
        await self.answer(await self.ask(await self.offer(), session))

    def write(self, data: bytes) -> None:
        """Send one packet of Opus now."""
        if self.closed is not None:
            return
        self._number = (self._number + 1) & 0xFFFF
        self._stamp = (self._stamp + self._step) & 0xFFFFFFFF
        packet = b"%b%b%b%b" % (self._head[:2], struct.pack(">HI", self._number, self._stamp), self._head[8:], data)
        # There is nothing in it to wait for: a datagram goes to the kernel or is lost.
        with suppress(StopIteration, ConnectionError):
            self._sender.transport._send_rtp(packet).send(None)

    def say(self, message: str) -> None:
        """Send an event."""
        self._channel.send(message)

    async def close(self) -> None:
        self.closed = self.closed or "closed here"
        with suppress(TimeoutError):
            await asyncio.wait_for(self._connection.close(), CLOSE_S)

    # ---- details -------------------------------------------------------------------------------------------------

    async def _prepare(self, parameters: RTCRtpSendParameters) -> None:
        """In place of aiortc's sender, when the connection is there: the header that all packets share."""
        extensions = HeaderExtensionsMap()
        extensions.configure(parameters)
        first = RtpPacket(payload_type=parameters.codecs[0].payloadType or 0)
        first.ssrc = self._sender._ssrc
        first.extensions.mid = parameters.muxId
        self._head = first.serialize(extensions)

    def _post(self, sdp: str, session: Message) -> str:
        where, mark = urlsplit(self._url), uuid.uuid4().hex
        text = session if isinstance(session, str) else session.decode()
        parts = {"sdp": ("application/sdp", sdp), "session": ("application/json", text)}
        body = "".join(
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\nContent-Type: {kind}\r\n\r\n{value}\r\n'
            for name, (kind, value) in parts.items()
        )
        headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        host = where.hostname or ""
        web = (
            http.client.HTTPSConnection(host, where.port, timeout=OPEN_S, context=self._tls)
            if where.scheme == "https"
            else http.client.HTTPConnection(host, where.port, timeout=OPEN_S)
        )
        try:
            web.request("POST", where.path, f"{body}--{mark}--\r\n".encode(), headers)
            response = web.getresponse()
            answer = response.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise ConnectionError(f"no answer to the offer: {error!r}") from error
        finally:
            web.close()
        if response.status not in (200, 201):
            raise ConnectionError(f"HTTP {response.status} {answer.strip()}".strip())
        return answer

    def _on_state(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            self._lose(f"the connection {self._connection.connectionState}")

    def _lose(self, why: str) -> None:
        self.closed = self.closed or why
        self._opened.set()
