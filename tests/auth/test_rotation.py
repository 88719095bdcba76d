"""The signing key is replaced while servers run: what was minted before and after opens sessions, and old keys end."""

import os
import stat

import pytest

from hark.auth.keys import Keys
from hark.auth.principal import ANONYMOUS
from hark.auth.signing import FILE, KEPT_S, SigningKeys, rotate
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
def running(tmp_path, clock):
    """The Keys of a server that goes on."""
    return Keys(KEY, tmp_path, clock)


def minted(keys, content=b"x", seconds=7_200):
    return keys.mint(keys.admit([KEY]), content, seconds).value


def lines(folder):
    return (folder / FILE).read_text().splitlines()


def test_there_is_no_gap(tmp_path, running, clock):
    before = minted(running)
    done = rotate(tmp_path, clock())
    after = minted(running, b"y")
    assert (done.kept, done.dropped, done.kept_until, done.first) == (1, 0, NOW + KEPT_S, False)
    assert [running.admit([value]).configuration for value in (before, after)] == [b"x", b"y"]
    clock.now += 7_199  # as long as it lives
    assert running.admit([before]).configuration == b"x"
    assert [Keys(KEY, tmp_path, clock).admit([value]).by_secret for value in (before, after)] == [True, True]


def test_who_has_an_old_key_cannot_mint_for_ever(tmp_path, running, clock):
    stolen = SigningKeys(tmp_path).to_sign()
    rotate(tmp_path, clock())
    thief = Keys(KEY, tmp_path / "elsewhere", clock)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / FILE).write_text(stolen.hex())
    forged = minted(thief, seconds=10**6)
    assert running.admit([forged]).by_secret
    clock.now += KEPT_S
    with pytest.raises(AuthError, match="does not have"):
        running.admit([forged])


def test_the_next_rotation_drops_what_has_ended(tmp_path, running, clock):
    minted(running)
    rotate(tmp_path, clock())
    first = lines(tmp_path)
    clock.now += 3_600
    assert rotate(tmp_path, clock()).kept == 2, "one that has not ended keeps its time"
    assert lines(tmp_path)[1:] == [f"{first[0]} {clock.now + KEPT_S}", first[1]]
    clock.now += KEPT_S - 3_600
    done = rotate(tmp_path, clock())
    assert (done.kept, done.dropped, len(lines(tmp_path))) == (2, 1, 3)
    clock.now += 10 * KEPT_S
    done = rotate(tmp_path, clock())
    assert (done.kept, done.dropped, done.kept_until) == (1, 2, clock.now + KEPT_S)


def test_old_keys_may_be_dropped_at_once(tmp_path, running, clock):
    before = minted(running)
    done = rotate(tmp_path, clock(), drop_old=True)
    assert (done.kept, done.dropped, done.kept_until, len(lines(tmp_path))) == (0, 1, None, 1)
    with pytest.raises(AuthError, match="does not have"):
        running.admit([before])
    assert running.admit([minted(running)]).by_secret


def test_without_a_key_the_first_is_made(tmp_path, running, clock):
    assert rotate(tmp_path / "new", clock()).first
    assert len(lines(tmp_path / "new")) == 1


def test_keys_from_before_there_were_times_are_taken(tmp_path, running, clock):
    (tmp_path / FILE).write_text("ab" * 32 + "\n" + "CD" * 40 + "\n\n")
    assert len(SigningKeys(tmp_path, clock).to_verify()) == 2
    assert rotate(tmp_path, clock()).kept == 2
    assert lines(tmp_path)[1:] == [f"{'ab' * 32} {NOW + KEPT_S}", f"{'cd' * 40} {NOW + KEPT_S}"]


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_the_file_is_replaced_whole_and_is_its_owners(tmp_path, running, clock):
    minted(running)
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


@pytest.mark.parametrize("text", ["", "xyz", "ab" * 31, f"{GOOD}\nshort", f"{GOOD} 12", f"{GOOD}\n{GOOD} x"])
def test_a_broken_file_is_named_and_kept(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(OperatorError, match="signing-keys cannot be used"):
        rotate(tmp_path, NOW)
    assert (tmp_path / FILE).read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE]


def test_a_file_that_cannot_be_replaced_is_kept(tmp_path, running, clock, monkeypatch):
    minted(running)
    text = (tmp_path / FILE).read_text()

    def refuse(*given):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("hark.auth.signing.os.chown", refuse)
    with pytest.raises(OperatorError, match="Operation not permitted"):
        rotate(tmp_path, clock())
    assert (tmp_path / FILE).read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE]


def test_without_keys_too(tmp_path, clock):
    keys = Keys(None, tmp_path, clock)
    before = keys.mint(ANONYMOUS, b"x", 600).value
    rotate(tmp_path, clock())
    assert keys.admit([before]).configuration == b"x"
