"""`hark keys`: a key is shown once and works, is listed without being shown, and can be ended."""

import pytest

from hark.auth.keys import Keys
from hark.cli.main import main
from hark.errors import AuthError


@pytest.fixture
def hark(tmp_path, monkeypatch, capsys):
    """Runs a command on a store of its own; the exit code, and what it wrote to both streams."""
    monkeypatch.setenv("HARK_DATA_DIR", str(tmp_path))
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


def test_a_key_from_its_making_to_its_end(hark, tmp_path):
    options = ["--expires-days", "30", "--origin", "https://A.example/", "--origin", "http://b.example:8080"]
    code, key, told = hark("create", "phone", *options, "--max-sessions", "2")
    key = key.strip()
    assert (code, key[:8], len(key.split())) == (0, "sk-hark-", 1)
    assert "cannot be shown again" in told
    who = Keys(None, tmp_path).admit([key])
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
        Keys(None, tmp_path).admit([key])


def test_another_folder_may_be_named(hark, tmp_path):
    assert hark("create", "phone", "--data-dir", str(tmp_path / "other"))[0] == 0
    assert "phone" not in hark("list")[1]
    assert "phone" in hark("list", "--data-dir", str(tmp_path / "other"))[1]


def test_looking_makes_nothing(hark, tmp_path):
    assert hark("list")[0] == 0
    assert hark("revoke", "phone")[0] == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["create"], 2, "NAME requires an argument"),
        (["create", "x", "--max-sessions", "0"], 2, "Must be >= 1"),
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
