"""What is read of an offer to call, and what is changed of its SDP."""

import pytest

from hark.core.settings import ModelCard
from hark.errors import CallerError
from hark.protocol.dialects import Choice, Handshake
from hark.protocol.offers import MAX_CANDIDATES, choose_call, clean, read_offer

HEAD = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
SHARED = ["a=ice-ufrag:abcd", "a=ice-pwd:" + "p" * 24, "a=fingerprint:sha-256 AB", "a=setup:actpass"]
AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111"
DATA = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"


def lines(*given):
    return clean("\r\n".join([*HEAD, *given])).removesuffix("\r\n").split("\r\n")


def test_line_ends_are_put_right():
    for end in ("\n", "\r\n", "\r"):
        assert clean(end.join([*HEAD, AUDIO])) == "\r\n".join([*HEAD, AUDIO]) + "\r\n"


def test_what_is_said_once_holds_for_each_part():
    """In the head, or in the first part of a bundle."""
    for offer in ([*SHARED, AUDIO, DATA], [AUDIO, *SHARED, DATA], [AUDIO, DATA, *SHARED]):
        found = lines(*offer)
        audio, data = found.index(AUDIO), found.index(DATA)
        assert set(SHARED) <= set(found[audio:data])
        assert set(SHARED) <= set(found[data:])
        assert len([line for line in found[audio:] if line in SHARED]) == 2 * len(SHARED)


# Where nobody calls from: a check that was sent there would be for somebody else.
NO_BROWSER = (
    "192.0.2.1 53", "192.0.2.1 0", "192.0.2.1 -5000", "0.0.0.0 5000", ":: 5000", "::ffff:0.0.0.0 5000",
    "192.0.2.1 65536", "224.0.0.251 5353", "ff02::fb 5353",
    "255.255.255.255 5000", "169.254.169.254 5000", "::ffff:169.254.169.254 5000", "fd00:ec2::254 5000",
)  # fmt: skip


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_candidates_on_this_machine_are_for_a_server_that_serves_it_alone(address):
    line = f"a=candidate:1 1 udp 2 {address} 5000 typ host"
    offer = "\n".join([*HEAD, AUDIO, line])
    assert line in clean(offer, loopback=True)
    assert line not in clean(offer, loopback=False)


def test_candidates_that_cannot_be_reached_are_left_out():
    kept = "a=candidate:1 1 udp 2 192.0.2.1 5000 typ host"
    left_out = [
        "a=candidate:1 1 udp 2 0a1b.local 5000 typ host",
        "a=candidate:1 1 tcp 2 192.0.2.1 9 typ host tcptype active",
        "a=candidate:1 1 udp",
        *(f"a=candidate:1 1 udp 2 {place} typ host" for place in NO_BROWSER),
        "a=end-of-candidates",
    ]
    assert lines(AUDIO, *left_out, kept) == [*HEAD, AUDIO, kept]
    assert len(lines(AUDIO, *[kept] * 100)) == len(HEAD) + 1 + MAX_CANDIDATES


@pytest.mark.parametrize("sdp", ["", "\r\n", "hello", "m=audio 9", "\r\n".join(HEAD)])
def test_what_is_no_offer(sdp):
    with pytest.raises(CallerError, match="Invalid SDP offer"):
        clean(sdp)


def test_an_offer_in_json():
    offer = read_offer(b' {"type": "offer", "sdp": "v=0", "session": {"type": "transcription"}}')
    assert (offer.sdp, offer.session) == ("v=0", b'{"type": "transcription"}')
    assert read_offer(b"v=0").session is None
    with pytest.raises(CallerError, match="no readable 'sdp'"):
        read_offer(b"{")


CARDS = {None: "scripted", "whisper-1": "whisper-1", "gpt-realtime-whisper": "gpt-realtime-whisper"}


def find(name):
    return ModelCard(CARDS[name], "scripted", live=name == "gpt-realtime-whisper") if name in CARDS else None


def chosen(session, query=None, minted=None, *, ga=True):
    return choose_call(Handshake("/v1/realtime/calls", query or {}), find, minted, session, ga=ga)


def test_the_session_goes_over_the_url():
    choice = chosen(b'{"audio":{"input":{"transcription":{"language":"en"}}}}', {"model": "whisper-1"})
    assert choice.settings.transcription.model == "whisper-1"
    assert choice.settings.transcription.language == "en"
    assert choice.settings.kind == "transcription"


@pytest.mark.parametrize(("session", "kind"), [
    (b"{}", "transcription"),
    (b'{"type":"realtime"}', "realtime"),
    (b'{"model":"gpt-realtime"}', "realtime"),
    (b'{"model":"whisper-1"}', "transcription"),
    (b'{"session":{"type":"realtime"}}', "realtime"),
    (b'{"input_audio_format":"pcm16"}', "transcription"),
    (b"null", "transcription"),
    (None, "transcription"),
])  # fmt: skip
def test_kinds(session, kind):
    assert chosen(session).settings.kind == kind


def test_dialects():
    assert chosen(None).dialect == "ga"
    assert chosen(None, ga=False).dialect == "beta"
    assert chosen(b"{}", minted=Choice("beta", chosen(None).settings)).dialect == "beta"


def test_models_whose_clients_commit():
    session = b'{"audio":{"input":{"transcription":{"model":"gpt-realtime-whisper"}}}}'
    assert chosen(session).settings.turn_detection is None
