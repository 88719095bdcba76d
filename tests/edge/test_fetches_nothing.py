"""Nothing that a client sends makes the server open a connection or a socket of its own, or a file of this machine."""

import base64
import socket
import threading

import httpx
import pytest
from aioice.ice import get_host_addresses

from calling import SDP
from serving import PATIENCE_S
from uploading import post, wav

MAGIC_COOKIE = b"\x21\x12\xa4\x42"  # RFC 8489, 5


@pytest.fixture
def bait():
    """A TCP and a UDP port of one number, and everything that came to them."""
    came = []
    tcp = socket.create_server(("127.0.0.1", 0))
    port = tcp.getsockname()[1]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", port))

    def accept():
        while True:
            try:
                connection, _ = tcp.accept()
            except OSError:
                return
            came.append(("tcp", connection.recv(100)))
            connection.close()

    def receive():
        while data := udp.recv(2_000):
            came.append(("udp", data))

    threads = [threading.Thread(target=accept), threading.Thread(target=receive)]
    for thread in threads:
        thread.start()
    yield port, came
    tcp.shutdown(socket.SHUT_RDWR)
    tcp.close()
    udp.sendto(b"", ("127.0.0.1", port))
    for thread in threads:
        thread.join()
    udp.close()


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A recording on this machine, which would be heard if anybody opened it."""
    path = tmp_path_factory.mktemp("there") / "a.wav"
    path.write_bytes(wav())
    return path


def lures(port, there):
    """Ways to name the bait, and the file."""
    yield from (
        f"{scheme}://127.0.0.1:{port}/a.wav" for scheme in ("http", "https", "tcp", "udp", "rtp", "ftp", "rtsp")
    )
    yield from (f"//127.0.0.1:{port}/x", there.as_uri(), str(there), f"concat:{there}|{there}", f"subfile,,:{there}")


def playlists(port, there):
    """Files that name others, as FFmpeg's demuxers read them."""
    for lure in lures(port, there):
        yield f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{lure}\n#EXT-X-ENDLIST\n".encode()
        yield f'#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-KEY:METHOD=AES-128,URI="{lure}"\n#EXTINF:9,\nx\n'.encode()
        yield f"ffconcat version 1.0\nfile '{lure}'\n".encode()
        yield (
            f'<?xml version="1.0"?><!DOCTYPE MPD [<!ENTITY x SYSTEM "{there.as_uri()}">]>'
            f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><BaseURL>{lure}</BaseURL><Period><AdaptationSet '
            f'mimeType="audio/mp4"><Representation id="1"><BaseURL>{lure}</BaseURL></Representation></AdaptationSet>'
            "</Period></MPD>"
        ).encode()
        yield f"[playlist]\nFile1={lure}\nNumberOfEntries=1\n".encode()
    yield (
        f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
        "a=rtpmap:0 PCMU/8000\r\n"
    ).encode()


def refused(answer):
    assert answer.status_code in (400, 404, 415), answer.text


def test_an_upload_that_names_others_is_not_followed(server, bait, there):
    port, came = bait
    for playlist in playlists(port, there):
        refused(httpx.post(f"{server.url}/v1/audio/transcriptions", files={"file": ("a.m3u8", playlist)}))
    assert came == []


def test_a_reference_is_its_own_data(server, bait, there):
    port, came = bait
    inside = [base64.b64encode(playlist).decode() for playlist in playlists(port, there)]
    for reference in (*lures(port, there), *(f"data:application/vnd.apple.mpegurl;base64,{each}" for each in inside)):
        fields = [("known_speaker_names", "Ann"), ("known_speaker_references", reference)]
        refused(post(server, *fields, ("response_format", "diarized_json"), file=wav()))
    assert came == []


def test_no_other_field_is_fetched(server, bait, there):
    port, came = bait
    for lure in lures(port, there):
        for fields in ([("model", lure)], [("language", lure)], [("file", lure)], [("url", lure), ("model", "x")]):
            refused(post(server, *fields, file=False if fields[0][0] == "file" else None))
        assert post(server, ("prompt", lure), ("file_url", lure), ("webhook", lure)).status_code == 200
        with server.session() as wire:
            for session in (
                {"type": "transcription", "audio": {"input": {"transcription": {"model": lure}}}},
                {"type": "realtime", "tools": [{"type": "mcp", "server_label": "x", "server_url": lure}]},
                {"type": "realtime", "prompt": {"id": lure}, "tracing": {"workflow_name": lure}},
            ):
                wire.ask("session.update", session=session)
            content = [{"type": "input_image", "image_url": lure}, {"type": "input_text", "text": lure}]
            item = {"type": "message", "role": "user", "content": content}
            wire.ask("conversation.item.create", item=item)
    assert came == []


def own_address():
    return next((each for each in get_host_addresses(use_ipv4=True, use_ipv6=False) if each != "127.0.0.1"), None)


@pytest.mark.skipif(own_address() is None, reason="this machine has no address but loopback")
def test_an_offer_has_nothing_sent_to_the_servers_own_machine(serve, bait):
    """Where others may call. A check does go to the last candidate, where a browser could be; none went to the others,
    whose turn was before."""
    port, came = bait
    server = serve(allow_anonymous=True, host="0.0.0.0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as browser:
        browser.bind((own_address(), 0))
        browser.settimeout(PATIENCE_S)
        places = [("127.0.0.1", port), ("0.0.0.0", port), ("::ffff:127.0.0.1", port), browser.getsockname()]
        lines = [
            "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=mid:0", "a=sctp-port:5000",
            "a=ice-ufrag:abcd", "a=ice-pwd:" + "p" * 24, "a=setup:actpass",
            "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
            *(f"a=candidate:{at} 1 udp {999 - at} {address} {number} typ host"
              for at, (address, number) in enumerate(places)),
        ]  # fmt: skip
        with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:
            answer = client.post("/v1/realtime/calls", content="\r\n".join([*lines, ""]), headers=SDP)
            assert answer.status_code == 201, answer.text
            assert browser.recv(2_000)[4:8] == MAGIC_COOKIE
            assert client.post(f"{answer.headers['location']}/hangup").status_code == 200
    assert came == []
