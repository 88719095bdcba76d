"""Sessions at once by client address: what an address is, whose word of it counts, and what the next one is told."""

import contextlib

import httpx
import pytest

from hark.app import running
from hark.edge.addresses import counted, proxies
from hark.errors import OperatorError
from serving import settings
from uploading import post

REFUSED = ("rate_limit_error", "rate_limit_exceeded", 1013, "rate_limit_error.rate_limit_exceeded")
OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("testclient", ""),
        ("unix:", ""),
    ],
)
def test_what_counts_as_one_address(host, address):
    assert counted(host) == address


@pytest.mark.parametrize(
    ("written", "believed"),
    [
        (None, []),
        (" ", []),
        ("*", ["*"]),
        ("10.0.0.5, 10.1.0.0/16,::1", ["10.0.0.5", "10.1.0.0/16", "::1"]),
    ],
)
def test_proxies(written, believed):
    assert proxies(written) == believed


@pytest.mark.parametrize("written", ["nginx", "10.0.0.0/33", "*, 10.0.0.5", "10.0.0.1/8"])
def test_what_is_no_proxy_is_refused_before_serving(written):
    with pytest.raises(OperatorError, match=r"--forwarded-allow-ips .*expected IP addresses or networks"):
        running(settings(forwarded_allow_ips=written)).__aenter__().send(None)


def refused(server, **options):
    with server.socket(**options) as wire:
        event, code, reason = wire.receive(), None, None
        if event["type"] == "error":
            _, code, reason = wire.ending()
            assert "your network address may have 2" in event["error"]["message"]
            return event["error"]["type"], event["error"]["code"], code, reason
    return None


def through(address):
    return {"X-Forwarded-For": address}


def test_an_address_may_have_so_many_on_every_transport_and_no_more(serve):
    server = serve(max_sessions_per_address=2)
    with server.session() as one, server.session() as two:
        assert refused(server) == REFUSED
        assert refused(server, additional_headers=through("203.0.113.5")) == REFUSED, "anybody can write a header"
        call = f"{server.url}/v1/realtime/calls?intent=transcription"
        for answer in (post(server), httpx.post(call, content=OFFER, headers={"Content-Type": "application/sdp"})):
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
            assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert [one.hear("alpha"), two.hear("bravo")] == ["alpha", "bravo"]
        for wire in (one, two):
            wire.send("session.close")
            wire.ending()
    assert refused(server) is None
    assert post(server).status_code == 200


def test_behind_a_proxy_that_is_believed_its_clients_are_counted(serve):
    server = serve(max_sessions_per_address=2, forwarded_allow_ips="127.0.0.0/8")
    with contextlib.ExitStack() as stack:
        for address in ("203.0.113.5", "203.0.113.5", "198.51.100.1, 203.0.113.6"):
            wire = stack.enter_context(server.socket(additional_headers=through(address)))
            assert wire.receive()["type"] == "session.created"
        assert refused(server, additional_headers=through("203.0.113.5")) == REFUSED
        assert refused(server, additional_headers=through("10.9.9.9, 203.0.113.5")) == REFUSED, (
            "the proxy's word counts"
        )
        assert refused(server, additional_headers=through("203.0.113.6")) is None
        assert post(server, headers=through("203.0.113.5")).status_code == 429
        assert post(server, headers=through("203.0.113.7")).status_code == 200
    told = httpx.get(server.url, headers={"X-Forwarded-Proto": "https", "Accept": "application/json"}).json()
    assert told["realtime"].startswith("wss://")


def test_without_one_no_header_says_how_the_server_was_reached(server):
    told = httpx.get(server.url, headers={"X-Forwarded-Proto": "https", "Accept": "application/json"}).json()
    assert told["realtime"].startswith("ws://")
