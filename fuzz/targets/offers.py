"""Offers to call: protocol/offers.py, and what it hands on to aiortc's parser.

Nothing but CallerError comes out of the reading. aiortc's parser may raise what it likes, for edge/peer.py takes all of
that for a bad offer; it may not hang.
"""

from aiortc.sdp import SessionDescription

from hark.core.settings import ModelCard
from hark.errors import CallerError
from hark.protocol import offers
from hark.protocol.dialects import Handshake

MAX_BYTES = 3_000
FINGERPRINT = ":".join(["AB"] * 32)
SDP = f"""v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=msid-semantic: WMS *
m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8
c=IN IP4 0.0.0.0
a=rtcp-mux
a=mid:0
a=sendrecv
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtcp-fb:111 transport-cc
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=ssrc:123 cname:x
a=candidate:1 1 udp 2130706431 127.0.0.1 50000 typ host
a=candidate:2 1 tcp 1 x.local 9 typ host tcptype active
a=end-of-candidates
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=mid:1
a=sctp-port:5000
a=max-message-size:262144
"""
OPUS = SDP.partition("m=application")[0]
CHANNEL = SDP.partition("m=audio")[0] + "m=application" + SDP.partition("m=application")[2]
SESSION = b'{"session":{"type":"transcription","audio":{"input":{"transcription":{"model":"whisper-1"}}}}}'
TOKENS = [
    *(line.encode() + b"\r\n" for line in SDP.splitlines()), b"a=sctpmap:5000 webrtc-datachannel 1024", b"m=video ",
    b"a=rtcp:9 IN IP4 ", b"a=ssrc-group:FID ", b"a=ice-options:trickle", b"a=recvonly", b"a=inactive", b"a=simulcast:",
]  # fmt: skip
CARDS = {name: ModelCard(name, "scripted") for name in ("scripted", "whisper-1")}


def _card(name):
    return CARDS.get(name or "scripted")


def seeds():
    yield "whole", SDP.replace("\n", "\r\n").encode()
    yield "audio", OPUS.encode()
    yield "channel", CHANNEL.encode()
    yield "json", b'{"sdp":"v=0\\r\\nm=audio 9 x 0\\r\\n","session":' + SESSION + b"}"
    yield "session", SESSION
    yield "flat-session", b'{"model":"gpt-realtime","input_audio_format":"g711_ulaw"}'


def check(data):
    try:
        offer = offers.read_offer(data)
        _clean(offer.sdp)
        _choose(offer.session)
    except CallerError as error:
        assert len(error.message) > 15
    try:
        _choose(data)
    except CallerError as error:
        assert len(error.message) > 15


def _clean(sdp):
    cleaned = offers.clean(sdp)
    assert cleaned.endswith("\r\n")
    assert cleaned.count("a=candidate:") <= max(offers.MAX_CANDIDATES, sdp.count(" a=candidate:") + 32)
    assert offers.clean(cleaned) == cleaned, "an offer that was cleaned is not clean"
    try:
        SessionDescription.parse(cleaned)
    except Exception:
        return


def _choose(session):
    for ga in (True, False):
        choice = offers.choose_call(Handshake("/v1/realtime/calls"), _card, None, session, ga=ga)
        assert choice.dialect == ("ga" if ga else "beta")
