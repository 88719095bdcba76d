"""The audio of a call after its end."""

import asyncio
from types import SimpleNamespace

from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtp import RtpPacket

from hark.edge.media import Media


def test_a_packet_that_was_on_its_way_disturbs_nobody():
    heard = []

    async def scenario():
        media = Media(lambda audio, _: heard.append(audio), lambda: 0.0)
        receiver = SimpleNamespace(transport=SimpleNamespace(_register_rtp_receiver=lambda *_: None))
        media.replace(receiver, own_ssrc=1)
        codec = RTCRtpCodecParameters(mimeType="audio/PCMU", clockRate=8_000, channels=1, payloadType=0)
        await receiver.receive(RTCRtpReceiveParameters(codecs=[codec]))

        async def packet(number):
            sent = RtpPacket(
                payload_type=0, sequence_number=number, timestamp=160 * number, ssrc=7, payload=b"\x10" * 160
            )
            await media._handle_rtp_packet(sent, arrival_time_ms=20 * number)

        await packet(1)
        media.end()
        before = len(b"".join(heard))
        await packet(2)
        return before

    assert asyncio.run(scenario()) == len(b"".join(heard)) > 0
