"""Who is let in: HARK_API_KEY, the key store, client secrets, and what ends each of them."""

import os
import stat

import pytest

from hark.auth.keys import Keys, create_key, revoke_key
from hark.auth.places import signing_at, store_at
from hark.auth.principal import ANONYMOUS
from hark.auth.signing import FILE, SigningKeys
from hark.auth.store import Store
from hark.errors import AuthError, OperatorError, StorageError
from redises import empty, everything, names

KEY = "sk-one-two-three"
NOW = 1_795_000_000


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keys(place, clock):
    """Makes the Keys of this place."""
    return lambda key=None: Keys(key, place, clock)


def refused(keys, *credentials):
    with pytest.raises(AuthError) as caught:
        keys.admit(credentials)
    return caught.value


# ---- one key, or none


@pytest.mark.parametrize("key", [None, ""])
@pytest.mark.parametrize("sent", [[], ["anything"], ["undefined", "null"], ["ek_0123456789abcdef"]])
def test_without_a_key_anything_will_do(keys, place, key, sent):
    assert not keys(key).required
    assert keys(key).admit(sent) == ANONYMOUS
    assert names(place) == []


def test_with_a_key_it_must_be_among_what_is_sent(keys):
    keyed = keys(KEY)
    assert keyed.required
    assert keyed.admit(["undefined", KEY]).name == "key"
    for wrong in ("", "x", KEY + " ", KEY.upper(), "é" * 20):
        error = refused(keyed, wrong)
        assert error.message.startswith("Incorrect API key provided")
        assert error.code == "invalid_api_key"
        assert KEY not in error.message
    error = refused(keyed)
    assert error.message.startswith("Missing bearer")
    assert error.code is None


@pytest.mark.parametrize(("sent", "shown"), [("sk-1234567890", "sk***90"), ("12345678", "***"), ("", "***")])
def test_a_wrong_key_is_shown_by_its_ends(keys, sent, shown):
    assert f"provided: {shown}." in refused(keys(KEY), sent).message


def test_a_key_may_look_like_a_secret(keys):
    assert keys("ek_mine").admit(["ek_mine"]).name == "key"


def test_keys_do_not_show_themselves(keys):
    assert KEY not in f"{keys(KEY)!r}{keys(KEY)}"


# ---- the store


def test_a_made_key_lets_in_whoever_sends_it(keys, place):
    key = create_key(place, "phone", NOW, origins=["https://a.example"], max_sessions=2)
    who = keys().admit([key])
    assert (who.name, who.origins, who.max_sessions, who.by_secret) == ("phone", ("https://a.example",), 2, False)
    assert keys(KEY).admit([key]).name == "phone"
    assert keys(KEY).admit([KEY]).name == "key"
    assert refused(keys(), "x").code == "invalid_api_key"
    assert refused(keys()).code is None
    assert key.encode() not in everything(place)


def test_a_key_counts_at_once_and_ends_at_once(keys, place):
    running = keys()
    assert running.admit([]) == ANONYMOUS
    key = create_key(place, "phone", NOW)
    assert running.admit([key]).name == "phone"
    refused(running)
    revoke_key(place, "phone", NOW)
    assert "was revoked" in refused(running, key).message


def test_a_server_whose_last_key_is_gone_is_not_open(keys, place):
    key = create_key(place, "phone", NOW)
    running = keys()
    assert running.required
    revoke_key(place, "phone", NOW)
    assert keys().required
    empty(place)
    assert running.required
    with pytest.raises(StorageError, match="holds none any more"):
        running.admit([key])


def test_a_key_expires(keys, place, clock):
    key = create_key(place, "phone", NOW, expires_at=NOW + 60)
    value = keys().mint(keys().admit([key]), b"", 600).value
    clock.now += 60
    assert refused(keys(), key).code == "expired_api_key"
    assert refused(keys(), value).code == "expired_api_key"


def test_a_name_is_used_once_at_a_time(place):
    first = create_key(place, "phone", NOW)
    with pytest.raises(OperatorError, match="named 'phone' already"):
        create_key(place, "phone", NOW)
    revoke_key(place, "phone", NOW)
    assert create_key(place, "phone", NOW) != first
    assert [key.revoked_at for key in store_at(place).all()].count(None) == 1
    revoke_key(place, "phone", NOW)
    with pytest.raises(OperatorError, match="no key named 'phone'"):
        revoke_key(place, "phone", NOW)


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_others_on_the_machine_read_neither(tmp_path):
    folder = tmp_path / "new" / "folder"
    create_key(folder, "phone", NOW)
    SigningKeys(folder).to_sign()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_store_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "hark.db").write_text("no database")
    with pytest.raises(OperatorError, match=r"hark\.db cannot be used"):
        Keys(None, tmp_path).admit([])


# ---- client secrets


def test_a_secret_is_admitted_with_what_it_carries(keys, clock):
    minted = keys(KEY).mint(keys(KEY).admit([KEY]), b"configuration", 600)
    assert minted.expires_at == NOW + 600
    who = keys(KEY).admit(["undefined", minted.value])
    assert (who.name, who.configuration, who.by_secret) == ("key", b"configuration", True)
    clock.now += 600
    assert refused(keys(KEY), minted.value).code == "expired_client_secret"


def test_a_secret_inherits_from_its_key_and_ends_with_it(keys, place):
    key = create_key(place, "phone", NOW, origins=["https://a.example"], max_sessions=2)
    value = keys().mint(keys().admit([key]), b"x", 600).value
    who = keys().admit([value])
    assert (who.name, who.origins, who.max_sessions) == ("phone", ("https://a.example",), 2)
    revoke_key(place, "phone", NOW)
    assert "behind this client secret was revoked" in refused(keys(), value).message


def test_changing_the_one_key_ends_its_secrets(keys):
    value = keys(KEY).mint(keys(KEY).admit([KEY]), b"", 600).value
    assert refused(keys("sk-another"), value).code == "invalid_api_key"


def test_without_keys_a_secret_works_until_there_is_one(keys, clock):
    value = keys().mint(ANONYMOUS, b"x", 600).value
    assert keys().admit([value]).configuration == b"x"
    assert refused(keys(KEY), value).code == "invalid_api_key"
    clock.now += 600
    assert refused(keys(), value).code == "expired_client_secret"
    assert keys().admit(["ek_0123456789abcdef0123456789abcdef"]) == ANONYMOUS


def test_a_secret_mints_no_other(keys):
    who = keys(KEY).admit([keys(KEY).mint(keys(KEY).admit([KEY]), b"", 600).value])
    with pytest.raises(AuthError, match="cannot mint"):
        keys(KEY).mint(who, b"", 600)


def test_a_large_configuration_stays_here(keys):
    large = os.urandom(50_000)
    value = keys().mint(ANONYMOUS, large, 600).value
    assert len(value) < 120
    assert keys().admit([value]).configuration == large


def test_a_large_configuration_is_forgotten(clock, tmp_path):
    keys = Keys(None, tmp_path, clock)
    value = keys.mint(ANONYMOUS, os.urandom(5_000), 600).value
    clock.now += 601
    keys.mint(ANONYMOUS, os.urandom(5_000), 600)
    assert len(Store(tmp_path)._ask("SELECT id FROM configurations")) == 1
    clock.now = NOW  # as on a node that has the signing key and not this store
    with pytest.raises(AuthError, match="configuration of this client secret is not on this server"):
        keys._by_secret(value, required=False)


# ---- signing keys


def test_the_signing_key_is_changed_without_a_break(clock, tmp_path):
    running = Keys(None, tmp_path, clock)
    before = running.mint(ANONYMOUS, b"x", 600).value
    path = tmp_path / FILE
    path.write_text("ab" * 32 + "\n" + path.read_text())
    after = running.mint(ANONYMOUS, b"y", 600).value
    assert [running.admit([value]).configuration for value in (before, after)] == [b"x", b"y"]
    path.write_text("ab" * 32)
    assert running.admit([after]).configuration == b"y"
    assert running.admit([before]) == ANONYMOUS  # not ours any more


def test_two_servers_with_one_signing_key_share_nothing_else(clock, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    value = Keys(KEY, one, clock).mint(Keys(KEY, one, clock).admit([KEY]), b"x", 600).value
    two.mkdir()
    assert "does not have" in refused(Keys(KEY, two, clock), value).message
    (two / FILE).write_bytes((one / FILE).read_bytes())
    assert Keys(KEY, two, clock).admit([value]).configuration == b"x"


def test_processes_that_start_together_agree_on_one_key(place):
    makers = [signing_at(place) for _ in range(3)]
    for maker in makers:
        assert maker.to_verify() == []
    assert len({maker.to_sign() for maker in makers}) == 1
    assert names(place) in ([FILE], ["hark:signing-keys"])


@pytest.mark.parametrize("text", ["", "xyz", "ab" * 31, "ab" * 32 + "\nshort"])
def test_a_broken_file_is_named_and_kept(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(OperatorError, match="signing-keys cannot be used"):
        SigningKeys(tmp_path).to_sign()
    assert (tmp_path / FILE).read_text() == text
