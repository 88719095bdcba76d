"""One WebRTC connection, by aiortc: an offer in, an answer out, then audio and messages until somebody goes.

Rule: whoever is at the other side is there as long as anything comes from him: media, checks, messages. A browser that
is there is never silent for GONE_S, and one that vanished says no goodbye. Everything of aiortc's that Hark bends is in
this file, media.py and ice.py. Refuses: to send audio, video, and messages over the size that browsers take.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final, Protocol

from aioice import Connection
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)

from hark.core.settings import AudioFormat
from hark.edge import ice
from hark.edge.ice import Network
from hark.edge.media import CODECS, Media
from hark.errors import CallerError, HarkError
from hark.protocol.offers import check, invalid

log = logging.getLogger("hark.webrtc")

# Nothing has come for so long: checks alone come every 6 s at the latest (RFC 7675).
GONE_S: Final = 10.0
# From the answer until media and messages can flow. SDKs give up after 30 s (contract G.1).
CONNECT_S: Final = 30.0
TICK_S: Final = 0.5
# With so much unsent the session waits; with so little it goes on.
HIGH_BYTES: Final = 1 << 20
LOW_BYTES: Final = 1 << 18
# For what was said last to arrive before the connection is closed.
LINGER_S: Final = 1.0


class Listener(Protocol):
    """Who hears what comes."""

    def audio(self, audio: bytes, form: AudioFormat) -> None: ...

    def missed(self, lost: int, late: int) -> None: ...

    def opened(self) -> None: ...

    def message(self, frame: str | bytes) -> None: ...

    def gone(self, why: str) -> None: ...


class Peer:
    """Every `answer` is followed by one `close`, whether it raised or not."""

    def __init__(self, network: Network, listener: Listener) -> None:
        servers = [RTCIceServer(network.stun)] if network.stun else []
        if network.turn:
            servers.append(RTCIceServer(network.turn, network.turn_username, network.turn_password))
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._network = network
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._media = Media(listener.audio, self._loop.time, listener.missed)
        self._channel: RTCDataChannel | None = None
        self._room = asyncio.Event()
        self._heard = self._began = self._loop.time()
        self._ticking: asyncio.Task[None] | None = None
        self._closed = False
        self._hurried = False
        self.has_channel = False

    async def answer(self, sdp: str) -> str:
        """The answer to an offer that has been cleaned. Raises CallerError, and OperatorError if no port is free."""
        check(sdp)
        pc = self._connection
        pc.on("connectionstatechange", self._on_state)
        pc.on("datachannel", self._on_channel)
        try:
            await pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
            self._choose_media()
            for connection in self._transports():
                ice.prepare(connection, self._network, self._note)
            await pc.setLocalDescription(await pc.createAnswer())
        except HarkError:
            raise
        except Exception as error:  # aiortc's parser meets what it did not expect in many ways
            log.info("offer refused: %s", type(error).__name__)  # whoever sent it is told more
            raise _refusal(error) from error
        self._ticking = asyncio.create_task(self._tick())
        return pc.localDescription.sdp

    @property
    def open(self) -> bool:
        """Whether there is a channel to say something on."""
        return self._channel is not None and self._channel.readyState == "open"

    def send(self, frame: str) -> bool:
        """Whether the message could be sent: there is an open channel, and it takes one of this size."""
        if self._channel is None or not self.open:
            return False
        try:
            self._channel.send(frame)
        except ValueError:
            return False
        if self._channel.bufferedAmount > HIGH_BYTES:
            self._room.clear()
        return True

    async def drained(self) -> None:
        """Wait while too much is unsent, unless there is no more time."""
        if not self._hurried:
            await self._room.wait()

    def hurry(self) -> None:
        """From now on what is unsent holds up nobody."""
        self._hurried = True
        self._room.set()

    async def close(self) -> None:
        """Let go of everything; what was sent last has a moment to arrive."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        if not self._closed:
            await self._linger()
            self._leave()
            await self._close_channel()
        try:
            await self._connection.close()
        except Exception as error:  # aiortc trips over what an offer that was refused has left half made
            log.info("connection not closed in order: %r", error)

    # ---- what comes ----------------------------------------------------------------------------------------------

    def _note(self) -> None:
        self._heard = self._loop.time()

    def _on_state(self) -> None:
        state = self._connection.connectionState
        if state == "failed":
            self._lose("the connection failed")
        elif state == "closed":
            self._lose("the other side closed the connection")

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if self._channel is not None:
            log.info("a second data channel, %r, is not listened to", channel.label[:100])
            return
        self._channel = channel
        channel.bufferedAmountLowThreshold = LOW_BYTES
        channel.on("bufferedamountlow", self._room.set)
        channel.on("message", self._listener.message)
        channel.on("close", lambda: self._lose("the other side closed the data channel"))
        self._room.set()
        self._listener.opened()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = self._loop.time()
            connected = self._connection.connectionState == "connected"
            if not connected and now - self._began > CONNECT_S:
                self._lose(f"no connection was made in {CONNECT_S:.0f} s")
            elif connected and now - self._heard > GONE_S:
                self._lose(f"nothing came for {GONE_S:.0f} s")
            await self._media.tick()

    def _lose(self, why: str) -> None:
        if not self._closed:
            self._leave()
            self._listener.gone(why)

    def _leave(self) -> None:
        if not self._closed:
            self._closed = True
            self._media.end()
            self._room.set()

    # ---- details -------------------------------------------------------------------------------------------------

    def _choose_media(self) -> None:
        """The first audio is heard, in a codec that we know; all else that was offered stays off."""
        heard = False
        for transceiver in self._connection.getTransceivers():
            known = [codec for codec in transceiver._codecs if codec.mimeType.lower() in CODECS]
            if heard or transceiver.kind != "audio" or not known:
                transceiver.direction = "inactive"
                continue
            heard = True
            known.sort(key=lambda codec: CODECS.index(codec.mimeType.lower()))
            for codec in known:
                if codec.mimeType.lower() == "audio/opus":
                    codec.parameters = {"minptime": 10, "useinbandfec": 1}
            transceiver._codecs = known
            transceiver.direction = "recvonly"
            self._media.replace(transceiver.receiver, transceiver.sender._ssrc)
        self.has_channel = self._connection.sctp is not None
        if not heard and not self.has_channel:
            raise invalid(f"It offers no audio in a codec of {', '.join(CODECS)} and no data channel.")

    def _transports(self) -> set[Connection]:
        carriers: list[RTCRtpTransceiver] = self._connection.getTransceivers()
        found = {carrier.receiver.transport.transport._connection for carrier in carriers}
        if self._connection.sctp is not None:
            found.add(self._connection.sctp.transport.transport._connection)
        return found

    async def _linger(self) -> None:
        sctp = self._connection.sctp
        deadline = self._loop.time() + LINGER_S
        while self._channel is not None and sctp is not None and self._loop.time() < deadline:
            if not (self._channel.bufferedAmount or sctp._outbound_queue or sctp._sent_queue):
                return
            await asyncio.sleep(0.02)

    async def _close_channel(self) -> None:
        """A browser takes it for a fault of the channel if the association is cut off before the channel is closed."""
        if self._channel is None or not self.open:
            return
        closed = asyncio.Event()
        self._channel.on("close", closed.set)
        self._channel.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(closed.wait(), LINGER_S)


def _refusal(error: Exception) -> CallerError:
    said = str(error) or type(error).__name__
    return invalid(f"It could not be understood: {said[:200]}.")
