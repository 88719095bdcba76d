"""Ids that say where a call or a session is: whoever has the key reads them, and nobody else makes or reads one."""

import pytest

from hark.edge import homes
from hark.edge.homes import Address, Home
from hark.errors import OperatorError

KEY, FORMER, OTHER = (bytes([n]) * 32 for n in range(3))
ADDRESSES = {
    "10.0.0.5:8000": Address("10.0.0.5", 8000),
    "http://10.0.0.5:8000": Address("10.0.0.5", 8000),
    "https://10.0.0.5:8443": Address("10.0.0.5", 8443, tls=True),
    "wss://hark-1.Internal:1": Address("hark-1.internal", 1, tls=True),
    "[fd00:0::5]:65535": Address("fd00::5", 65535),
    "localhost:8000": Address("localhost", 8000),
}
ASKED = Address("10.0.0.5", 8000)


@pytest.mark.parametrize("option", ADDRESSES)
def test_what_was_sealed_is_read_with_any_key_that_counts(option):
    address = homes.address(option, tls=False)
    assert address == ADDRESSES[option]
    assert homes.address(str(address), tls=not address.tls) == address, "it has one spelling that holds all"
    for prefix in ("rtc", "sess"):
        owned_id = homes.seal(Home(address, 255), prefix, FORMER)
        assert owned_id.isascii()
        assert owned_id.replace("_", "").isalnum(), "nothing has to be quoted"
        assert homes.unseal(owned_id, [KEY, FORMER]) == Home(address, 255)
        assert homes.unseal(owned_id, [KEY, OTHER]) is None
        assert homes.unseal(owned_id, []) is None


def test_tls_is_that_of_the_server_where_no_scheme_says():
    assert homes.address("10.0.0.5:8000", tls=True) == Address("10.0.0.5", 8000, tls=True)


@pytest.mark.parametrize(
    "option",
    [
        "10.0.0.5", "10.0.0.5:0", "10.0.0.5:65536", ":8000", "http://", "ftp://a:1", "a:1/b", "a:1?b", "a:1#b", "u@a:1",
        "a b:1", "a:b", "-a:1", "ä:1", "[fd00::5]", "fd00::5:8000", "http://http://a:1", "a" * 101 + ":1", "a:1,b:2",
    ],
)  # fmt: skip
def test_what_is_no_address_is_said_so(option):
    with pytest.raises(OperatorError, match="expected HOST:PORT"):
        homes.address(option, tls=False)


def test_no_character_of_an_id_can_be_another():
    owned_id = homes.seal(Home(ASKED), "rtc", KEY)
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    for at in range(len("rtc_"), len(owned_id)):
        for letter in set(letters) - {owned_id[at]}:
            assert homes.unseal(owned_id[:at] + letter + owned_id[at + 1 :], [KEY]) is None
    for wrong in (owned_id[:-1], owned_id + "a", owned_id.upper(), f"sess_{owned_id[4:]}", f"{owned_id}\n", ""):
        assert homes.unseal(wrong, [KEY]) is None


def test_an_id_shows_nothing_and_none_comes_twice():
    made = {homes.seal(Home(ASKED), "sess", KEY) for _ in range(1_000)}
    assert len(made) == 1_000
    assert {len(owned_id) for owned_id in made} == {len("sess_") + 42}
    assert len({owned_id[-12:] for owned_id in made}) == 1_000, "neither do nodes show that they are the same"


@pytest.mark.parametrize("plain", ["rtc_" + "0" * 20, "sess_01" + "a" * 20, "item_" + "a" * 42, "rtc_" + "a" * 39])
def test_an_id_of_a_server_alone_is_none_of_these(plain):
    assert not homes.is_sealed(plain)


def test_a_token_is_for_one_node_and_a_minute_of_one_kind():
    token = homes.token(ASKED, FORMER, 1_000.5)
    for now in (940.0, 1_000.0, 1_060.0):
        assert homes.proof(token, ASKED, [KEY, FORMER], now) == homes.answer_to(token, FORMER)
    assert homes.proof(token, ASKED, [KEY], 1_000) is None
    assert homes.proof(token, ASKED, [FORMER], 1_061) is None
    assert homes.proof(token, ASKED, [FORMER], 939) is None
    for other in (Address("10.0.0.6", 8000), Address("10.0.0.5", 8001), Address("10.0.0.5", 8000, tls=True)):
        assert homes.proof(token, other, [FORMER], 1_000) is None
    later = "1030" + token[4:]
    for wrong in ("", ".", "..", token[:-1], token + "0", later, "ä" + token, token.replace(".", "")):
        assert homes.proof(wrong, ASKED, [FORMER], 1_030) is None
    assert homes.answer_to(token, KEY) != homes.answer_to(token, FORMER)
    assert homes.answer_to(token, FORMER) not in token
