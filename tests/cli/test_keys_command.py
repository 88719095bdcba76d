"""`hark keys`: a key is shown once and works, is listed without being shown, and can be ended."""

import time
from pathlib import Path

import pytest

from hark.auth.keys import Keys
from hark.auth.places import signing_at, store_at
from hark.auth.principal import ANONYMOUS
from hark.cli.main import main
from hark.errors import AuthError
from redises import empty, names, needs_redis


@pytest.fixture
def hark(place, tmp_path, monkeypatch, capsys, request):
    """Runs a command on a store of its own; the exit code, and what it wrote to both streams."""
    monkeypatch.setenv("HARK_DATA_DIR", str(tmp_path))
    if not isinstance(place, Path):
        monkeypatch.setenv("HARK_REDIS", request.getfixturevalue("redis").url)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        monkeypatch.setattr("sys.argv", ["hark", "keys", *words])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        return code, *capsys.readouterr()

    return run


def test_a_key_from_its_making_to_its_end(hark, place):
    options = ["--expires-days", "30", "--origin", "https://A.example/", "--origin", "http://b.example:8080"]
    code, key, told = hark("create", "phone", *options, "--max-sessions", "2")
    key = key.strip()
    assert (code, key[:8], len(key.split())) == (0, "sk-hark-", 1)
    assert "cannot be shown again" in told
    who = Keys(None, place).admit([key])
    assert (who.name, who.max_sessions) == ("phone", 2)
    assert who.origins == ("https://a.example", "http://b.example:8080")
    code, listed, _ = hark("list")
    assert code == 0
    for word in ("phone", "https://a.example, http://b.example:8080", " 2 ", "in use"):
        assert word in listed
    assert key not in listed
    assert hark("revoke", "phone")[0] == 0
    assert "revoked" in hark("list")[1]
    with pytest.raises(AuthError, match="was revoked"):
        Keys(None, place).admit([key])


def test_audio_minutes_are_set_and_shown_with_what_was_used(hark, place):
    assert hark("create", "phone", "--audio-minutes-per-hour", "90")[0] == 0
    assert hark("create", "free")[0] == 0
    keys, now = {key.name: key for key in store_at(place).all()}, time.time()
    assert keys["phone"].audio_minutes_per_hour == 90
    heard = {(keys["phone"].id, int(now // 60)): 16_000 * 90, (keys["free"].id, int(now // 60) - 70): 16_000 * 600}
    store_at(place).add_audio(heard, now)
    rows = [line.split() for line in hark("list")[1].splitlines()]
    assert next(row for row in rows if row[0] == "phone")[-5:] == ["90", "1.5", "min", "in", "use"]
    assert next(row for row in rows if row[0] == "free")[-5:] == ["any", "0.0", "min", "in", "use"]


def test_the_signing_key_is_rotated(hark, place):
    assert "first one is made" in hark("rotate")[2]
    code, out, told = hark("rotate")
    assert (code, out) == (0, "")
    assert "Former keys that still verify: 1, until 20" in told
    assert (str(place / "signing-keys") if isinstance(place, Path) else f"In {place.where}") in told
    code, out, told = hark("rotate", "--drop-old")
    assert "Former keys dropped: 2. Every client secret from before is void." in told
    assert len(signing_at(place).to_verify()) == 1
    if isinstance(place, Path):
        (place / "signing-keys").write_text("x")
    else:
        place.ask("SET", "hark:signing-keys", "x")
    code, out, told = hark("rotate")
    assert (code, out) == (1, "")
    assert "cannot be used" in told


def test_whoever_revokes_the_last_key_is_told_what_that_means(hark, place):
    assert "No key was ever made here" in hark("list")[2]
    hark("create", "phone")
    hark("create", "page", "--expires-days", "1")
    assert "still required" not in hark("revoke", "phone")[2] + hark("list")[2]
    for told in (hark("revoke", "page")[2], hark("list")[2]):
        assert "No key of these is in use, and a credential is still required" in told
        emptied = f"{place / 'hark.db'}*" if isinstance(place, Path) else f"hark:* in {place.where}"
        assert f"stop the server and delete {emptied}" in told
    with pytest.raises(AuthError, match="Missing bearer"):
        Keys(None, place).admit([])
    empty(place)
    assert Keys(None, place).admit([]) == ANONYMOUS


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_another_folder_may_be_named(hark, tmp_path):
    assert hark("create", "phone", "--data-dir", str(tmp_path / "other"))[0] == 0
    assert "phone" not in hark("list")[1]
    assert "phone" in hark("list", "--data-dir", str(tmp_path / "other"))[1]


@needs_redis
@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_a_redis_may_be_named(hark, redis):
    url = redis.emptied()
    assert hark("create", "phone", "--redis", url)[0] == 0
    assert "phone" not in hark("list")[1]
    assert "phone" in hark("list", "--redis", url)[1]
    assert hark("rotate", "--redis", url)[0] == hark("revoke", "phone", "--redis", url)[0] == 0
    code, out, told = hark("list", "--redis", "redis://:hush@127.0.0.1:1")
    assert (code, out) == (1, "")
    assert "The key store redis://127.0.0.1:1 cannot be used: " in " ".join(told.split())


def test_looking_makes_nothing(hark, place):
    assert hark("list")[0] == 0
    assert hark("revoke", "phone")[0] == 1
    assert names(place) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["create"], 2, "NAME requires an argument"),
        (["create", "x", "--max-sessions", "0"], 2, "Must be >= 1"),
        (["create", "x", "--audio-minutes-per-hour", "0"], 2, "Must be >= 1"),
        (["create", "x", "--expires-days", "0"], 2, "Must be >= 1"),
        (["create", "x", "--origin", "app.example"], 1, "such as https://app.example; got 'app.example'"),
        (["create", "x", "--origin", "https://app.example/path"], 1, "Expected an origin"),
        (["create", " "], 1, "Expected a name"),
        (["create", "a\nb"], 1, "Expected a name"),
        (["revoke", "x"], 1, "no key named 'x'"),
    ],
)
def test_wrong_use_is_told_in_one_line(hark, words, code, said):
    ended, out, err = hark(*words)
    assert (ended, out) == (code, "")
    assert err.startswith("hark: ")
    assert said in " ".join(err.split())
