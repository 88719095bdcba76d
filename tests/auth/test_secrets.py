"""Client secrets as bytes: what is signed comes back, and nothing else does."""

import os
import re
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hark.auth.secrets import MAX_CONTENT_BYTES, NO_PARENT, Secret, fits, sign, verify
from hark.errors import AuthError

NOW = 1_795_000_000
KEY, OTHER = b"k" * 32, b"o" * 32
SALT = b"salt"
SECRET = Secret(NOW + 600, b"parent-1", b'{"kind":"transcription"}')
TEXT = sign(SECRET, KEY, SALT)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def refused(text, keys=(KEY,), now=NOW):
    with pytest.raises(AuthError) as caught:
        verify(text, keys, now)
    return caught.value


@given(content=st.binary(max_size=3000), by_reference=st.booleans(), expires_at=st.integers(NOW + 1, 2**63))
def test_what_is_signed_comes_back(content, by_reference, expires_at):
    secret = Secret(expires_at, b"parent-1", content, by_reference)
    text = sign(secret, KEY, SALT)
    assert verify(text, [OTHER, KEY], NOW).secret == secret
    assert verify(text, [OTHER, KEY], NOW).signing_key == KEY
    # RFC 7230's token, which a subprotocol has to be, and no longer than a header may be
    assert re.fullmatch(r"ek_[A-Za-z0-9_-]+", text)
    assert len(text) < 2_100 or not fits(content) or by_reference


@given(at=st.integers(0, len(TEXT) - 1), put=st.sampled_from(ALPHABET + ".~ =+/\n\0é"))
def test_any_other_character_is_refused(at, put):
    changed = TEXT[:at] + put + TEXT[at + 1 :]
    if changed != TEXT:
        assert refused(changed).code == "invalid_api_key"


@given(text=st.text() | st.binary().map(lambda data: "ek_" + urlsafe_b64encode(data).decode().rstrip("=")))
def test_anything_else_is_refused(text):
    assert refused(text).code == "invalid_api_key"


@given(put=st.text(ALPHABET, min_size=1))
def test_more_or_less_of_it_is_refused(put):
    for text in (TEXT + put, put + TEXT, "ek_" + put + TEXT[3:], TEXT[: -len(put)]):
        assert refused(text).code == "invalid_api_key"


def test_each_fault_is_told_apart():
    assert "is none that this server makes" in refused("ek_0123456789abcdef0123456789abcdef").message
    assert "key that this server does not have" in refused(TEXT, [OTHER]).message
    assert "key that this server does not have" in refused(TEXT, []).message
    cut = sign(Secret(NOW + 600, NO_PARENT, b"abc"), KEY, SALT)
    assert "wrong signature" in refused(cut[:40] + ("A" if cut[40] != "A" else "B") + cut[41:]).message


def test_it_expires_at_the_second_and_says_so():
    assert verify(TEXT, [KEY], NOW + 599.9).secret == SECRET
    error = refused(TEXT, now=NOW + 600)
    assert error.code == "expired_client_secret"
    assert "expired at 2026-11-18 11:16:40 UTC" in error.message
    assert "POST /v1/realtime/client_secrets" in error.message


def test_a_secret_that_was_changed_does_not_say_that_it_expired():
    assert refused(TEXT[:50] + ("A" if TEXT[50] != "A" else "B") + TEXT[51:], now=NOW + 9_999).code == "invalid_api_key"


def test_no_fault_repeats_the_secret():
    for error in (refused(TEXT, [OTHER]), refused(TEXT + "AAAA"), refused(TEXT, now=NOW + 600)):
        assert TEXT[:12] not in error.message


def test_the_salt_tells_twins_apart():
    assert sign(SECRET, KEY, b"1234") != sign(SECRET, KEY, b"5678")


def test_what_can_be_packed_fits():
    assert fits(b"x" * 100_000)
    assert not fits(os.urandom(MAX_CONTENT_BYTES + 100))
