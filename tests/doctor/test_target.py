"""Addresses as people have them: what is asked there, and what nobody may see."""

import pytest

from hark.doctor.report import plain
from hark.doctor.target import hidden, sendable, target
from hark.errors import CallerError

INTENT = "/v1/realtime?intent=transcription"
# What is given -> the WebSocket that is asked, the list of models that belongs to it.
GIVEN = {
    "localhost:8000": (f"ws://localhost:8000{INTENT}", "http://localhost:8000/v1/models"),
    "https://host/": (f"wss://host{INTENT}", "https://host/v1/models"),
    "wss://host": (f"wss://host{INTENT}", "https://host/v1/models"),
    "http://[::1]:8000/v1": (f"ws://[::1]:8000{INTENT}", "http://[::1]:8000/v1/models"),
    "http://host/stt/v1/": (f"ws://host/stt{INTENT}", "http://host/stt/v1/models"),
    "http://host/v1/audio/transcriptions": (f"ws://host{INTENT}", "http://host/v1/models"),
    "http://host/v1?api-version=2": ("ws://host/v1/realtime?api-version=2", "http://host/v1/models"),
    "ws://host/v1/realtime/?model=a": ("ws://host/v1/realtime/?model=a", "http://host/v1/models"),
    "ws://host/stt/v1/realtim?model=a": ("ws://host/stt/v1/realtim?model=a", "http://host/stt/v1/models"),
    "ws://host/v1/transcribe": ("ws://host/v1/transcribe", "http://host/v1/models"),
    "ws://host/realtime": ("ws://host/realtime", "http://host/models"),
    "http://host/a b/é/v1": ("ws://host/a%20b/%C3%A9/v1/realtime?intent=transcription",
                             "http://host/a%20b/%C3%A9/v1/models"),
}  # fmt: skip


@pytest.mark.parametrize("url", GIVEN)
def test_what_is_asked(url):
    asked = target(url)
    assert (asked.socket(), asked.http("/models")) == GIVEN[url]


@pytest.mark.parametrize("url", ["http://[::1", "http://", "http://a..b", "ftp://host", "http://host:x", "host:99999"])
def test_what_is_no_address(url):
    with pytest.raises(CallerError, match="Expected the address of a server"):
        target(url)


def test_a_password_in_a_url_is_refused_and_not_repeated():
    with pytest.raises(CallerError, match="without user and password") as refused:
        target("https://user:swordfish@host/v1")
    assert "swordfish" not in refused.value.message


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("GET ws://h/r?model=a&api_key=0123456789abc&x=1 …", "GET ws://h/r?model=a&api_key=01***bc&x=1 …"),
        ("/r?authorization=Bearer%20abcdefghijk", "/r?authorization=Be***jk"),
        ("/r?access_token=short", "/r?access_token=***"),
        ("https://me:secret@host/v1", "https://***@host/v1"),
        ("/r?model=whisper-1&intent=transcription", "/r?model=whisper-1&intent=transcription"),
    ],
)
def test_keys_in_urls_are_masked(text, seen):
    assert hidden(text) == seen
    assert plain(text) == seen


@pytest.mark.parametrize(("key", "is_so"), [("sk-0123_-.~+/=", True), ("sk-0123\n", False), ("“sk-0123”", False)])
def test_what_can_be_sent_as_a_key(key, is_so):
    assert sendable(key) is is_so
