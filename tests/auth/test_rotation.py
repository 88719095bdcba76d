"""The signing key is replaced while servers run: what was minted before and after opens sessions, and old keys end."""

import os
import stat
from pathlib import Path

import pytest

from hark.auth.keys import Keys
from hark.auth.places import rotate, signing_at
from hark.auth.principal import ANONYMOUS
from hark.auth.signing import FILE, KEPT_S, SigningKeys
from hark.errors import AuthError, OperatorError

NOW = 1_795_000_000
KEY = "sk-one-two-three"
GOOD = "ab" * 32


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def running(place, clock):
    """The Keys of a server that goes on."""
    return Keys(KEY, place, clock)


def minted(keys, content=b"x", seconds=7_200):
    return keys.mint(keys.admit([KEY]), content, seconds).value


def lines(place):
    return text(place).splitlines()


def text(place):
    return (place / FILE).read_text() if isinstance(place, Path) else place.ask("GET", "hark:signing-keys").decode()


def write(place, text):
    if isinstance(place, Path):
        (place / FILE).write_text(text)
    else:
        place.ask("SET", "hark:signing-keys", text)


def test_there_is_no_gap(place, running, clock):
    before = minted(running)
    done = rotate(place, clock())
    after = minted(running, b"y")
    assert (done.kept, done.dropped, done.kept_until, done.first) == (1, 0, NOW + KEPT_S, False)
    assert [running.admit([value]).configuration for value in (before, after)] == [b"x", b"y"]
    clock.now += 7_199  # as long as it lives
    assert running.admit([before]).configuration == b"x"
    assert [Keys(KEY, place, clock).admit([value]).by_secret for value in (before, after)] == [True, True]


def test_who_has_an_old_key_cannot_mint_for_ever(place, tmp_path, running, clock):
    stolen = signing_at(place).to_sign()
    rotate(place, clock())
    thief = Keys(KEY, tmp_path / "elsewhere", clock)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / FILE).write_text(stolen.hex())
    forged = minted(thief, seconds=10**6)
    assert running.admit([forged]).by_secret
    clock.now += KEPT_S
    with pytest.raises(AuthError, match="does not have"):
        running.admit([forged])


def test_the_next_rotation_drops_what_has_ended(place, running, clock):
    minted(running)
    rotate(place, clock())
    first = lines(place)
    clock.now += 3_600
    assert rotate(place, clock()).kept == 2, "one that has not ended keeps its time"
    assert lines(place)[1:] == [f"{first[0]} {clock.now + KEPT_S}", first[1]]
    clock.now += KEPT_S - 3_600
    done = rotate(place, clock())
    assert (done.kept, done.dropped, len(lines(place))) == (2, 1, 3)
    clock.now += 10 * KEPT_S
    done = rotate(place, clock())
    assert (done.kept, done.dropped, done.kept_until) == (1, 2, clock.now + KEPT_S)


def test_old_keys_may_be_dropped_at_once(place, running, clock):
    before = minted(running)
    done = rotate(place, clock(), drop_old=True)
    assert (done.kept, done.dropped, done.kept_until, len(lines(place))) == (0, 1, None, 1)
    with pytest.raises(AuthError, match="does not have"):
        running.admit([before])
    assert running.admit([minted(running)]).by_secret


def test_without_a_key_the_first_is_made(place, clock):
    place = place / "new" if isinstance(place, Path) else place
    assert rotate(place, clock()).first
    assert len(lines(place)) == 1


def test_keys_from_before_there_were_times_are_taken(place, running, clock):
    write(place, "ab" * 32 + "\n" + "CD" * 40 + "\n\n")
    assert len(signing_at(place, clock).to_verify()) == 2
    assert rotate(place, clock()).kept == 2
    assert lines(place)[1:] == [f"{'ab' * 32} {NOW + KEPT_S}", f"{'cd' * 40} {NOW + KEPT_S}"]


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_the_file_is_replaced_whole_and_is_its_owners(tmp_path, clock):
    minted(Keys(KEY, tmp_path, clock))
    path = tmp_path / FILE
    path.chmod(0o644)
    inode = path.stat().st_ino
    rotate(tmp_path, clock())
    assert path.stat().st_ino != inode, "nobody reads half of it"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE]


def test_a_file_that_is_a_link_stays_one(tmp_path, clock):
    (tmp_path / "real").mkdir()
    SigningKeys(tmp_path / "real").to_sign()
    (tmp_path / FILE).symlink_to(tmp_path / "real" / FILE)
    rotate(tmp_path, clock())
    assert (tmp_path / FILE).is_symlink()
    assert len(lines(tmp_path / "real")) == 2


BROKEN = ["xyz", "ab" * 31, f"{GOOD}\nshort", f"{GOOD} 12", f"{GOOD}\n{GOOD} x"]


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_keys_are_named_and_kept(place, broken):
    write(place, broken)
    with pytest.raises(OperatorError, match=r"The signing keys in .* cannot be used"):
        rotate(place, NOW)
    with pytest.raises(OperatorError, match=r"The signing keys in .* cannot be used"):
        signing_at(place).to_verify()
    assert text(place) == broken


@pytest.mark.parametrize("text", ["", *BROKEN])
def test_a_broken_file_is_named_and_kept(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(OperatorError, match="signing-keys cannot be used"):
        rotate(tmp_path, NOW)
    assert (tmp_path / FILE).read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE]


def test_a_file_that_cannot_be_replaced_is_kept(tmp_path, clock, monkeypatch):
    minted(Keys(KEY, tmp_path, clock))
    text = (tmp_path / FILE).read_text()

    def refuse(*given):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("hark.auth.signing.os.chown", refuse)
    with pytest.raises(OperatorError, match="Operation not permitted"):
        rotate(tmp_path, clock())
    assert (tmp_path / FILE).read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE]


def test_without_keys_too(place, clock):
    keys = Keys(None, place, clock)
    before = keys.mint(ANONYMOUS, b"x", 600).value
    rotate(place, clock())
    assert keys.admit([before]).configuration == b"x"
