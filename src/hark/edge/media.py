"""The audio of a call: RTP packets as they come -> pcm16 without a hole.

It stands where aiortc has its own receiver, which decodes in a thread for each call, to 48 kHz stereo, delays all by
four packets, and leaves out what was lost.

Rule: one stream at a time, the one that sent last. Every second the sender is told what was lost, for by that browsers
decide to send each frame twice (in-band FEC).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Final

from aiortc import RTCRtpReceiver
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import AnyRtcpPacket, RtcpReceiverInfo, RtcpRrPacket, RtpPacket

from hark.audio.opus import Opus
from hark.audio.reception import G711, Decoder, Reception
from hark.core.settings import AudioFormat

log = logging.getLogger("hark.webrtc")

# What an answer may name, best first.
CODECS: Final = ("audio/opus", "audio/pcmu", "audio/pcma")

Hear = Callable[[bytes, AudioFormat], None]


class Media:
    """`hear` gets the audio; `clock` gives seconds, and is the loop's; `miss` is told how many packets of a stream that
    is over were lost, and how many came too late."""

    def __init__(
        self, hear: Hear, clock: Callable[[], float], miss: Callable[[int, int], None] = lambda lost, late: None
    ) -> None:
        self._miss = miss
        self._hear = hear
        self._clock = clock
        self._codecs: dict[int, RTCRtpCodecParameters] = {}
        self._transport: RTCDtlsTransport | None = None
        self._own_ssrc = 0
        self._stream: tuple[int, int] | None = None  # SSRC and payload type
        self._reception: Reception | None = None
        self._format = AudioFormat()
        self._statistics: StreamStatistics | None = None

    def replace(self, receiver: RTCRtpReceiver, own_ssrc: int) -> None:
        """Take the place of aiortc's receiver, before it starts."""

        async def receive(parameters: RTCRtpReceiveParameters) -> None:
            if self._transport is None:
                self._codecs = {codec.payloadType or 0: codec for codec in parameters.codecs}
                self._transport = receiver.transport
                self._own_ssrc = own_ssrc
                self._transport._register_rtp_receiver(self, parameters)

        receiver.receive = receive  # type: ignore[method-assign]

    async def tick(self) -> None:
        """To be called about twice a second."""
        if self._reception is not None:
            self._give(self._reception.idle(self._clock()))
        if self._statistics is not None and self._stream is not None and self._transport is not None:
            await self._report(self._statistics, self._stream[0], self._transport)

    def end(self) -> None:
        """Nothing comes any more: give out what waits."""
        if self._reception is not None:
            self._give(self._reception.end())
            if self._reception.lost or self._reception.late:
                log.info("packets lost: %d, come too late: %d", self._reception.lost, self._reception.late)
                self._miss(self._reception.lost, self._reception.late)
            self._reception = None

    # ---- what aiortc's transport calls ---------------------------------------------------------------------------

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        stream = (packet.ssrc, packet.payload_type)
        if stream != self._stream and not self._begin(stream):
            return
        if self._reception is None or self._statistics is None:
            return  # it has ended, and what was on its way comes after
        self._statistics.add(packet)
        audio = self._reception.push(packet.sequence_number, packet.timestamp, packet.payload, self._clock())
        self._give(audio)

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        """Sender reports tell nothing that is needed here."""

    def _handle_disconnect(self) -> None:
        self.end()

    # ---- details -------------------------------------------------------------------------------------------------

    def _begin(self, stream: tuple[int, int]) -> bool:
        """Whether this is a stream of sound: comfort noise and dialled digits are none."""
        codec = self._codecs.get(stream[1])
        if codec is None:
            return False
        self.end()
        name = codec.mimeType.lower()
        decoder: Decoder = Opus() if name == "audio/opus" else G711(a_law=name == "audio/pcma")
        self._format = AudioFormat("pcm16", decoder.rate)
        self._reception = Reception(decoder, codec.clockRate, self._clock())
        self._statistics = StreamStatistics(codec.clockRate)
        self._stream = stream
        return True

    def _give(self, audio: bytes) -> None:
        if audio:
            self._hear(audio, self._format)

    async def _report(self, heard: StreamStatistics, ssrc: int, transport: RTCDtlsTransport) -> None:
        if heard.max_seq is None:
            return
        report = RtcpReceiverInfo(
            ssrc=ssrc,
            fraction_lost=heard.fraction_lost,
            packets_lost=heard.packets_lost,
            highest_sequence=heard.max_seq,
            jitter=heard.jitter,
            lsr=0,
            dlsr=0,
        )
        with contextlib.suppress(ConnectionError):
            await transport._send_rtp(bytes(RtcpRrPacket(ssrc=self._own_ssrc, reports=[report])))
