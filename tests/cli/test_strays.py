"""A variable that is misspelt is told; one of somebody else's is not."""

import pytest

from hark.cli.strays import strays
from hark.config import Settings


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("named", [None, "hark.env"])
def test_every_stray_line_of_the_file_is_told_and_no_value(folder, named):
    lines = ["HARK_MAX_SESIONS=sk-1", "hark_colour=sk-2", "HARK_PORT=8001", "OTHER=sk-3", "HARK_API_KEY="]
    (folder / (named or ".env")).write_text("\n".join(lines))
    assert strays(Settings(env_file=named)) == [
        "HARK_COLOUR is no option and has no effect. hark serve --help lists those that there are.",
        "HARK_MAX_SESIONS is no option and has no effect. Did you mean HARK_MAX_SESSIONS?",
    ]


def test_of_the_environment_what_is_nearly_an_option(monkeypatch):
    for name in ("HARK_MAX_SESSION_MINUTE", "HARK_SERVICE_HOST", "HARK_PORT_8000_TCP", "HARK_CHROMIUM", "HARK_PORT"):
        monkeypatch.setenv(name, "1")
    assert strays(Settings()) == [
        "HARK_MAX_SESSION_MINUTE is no option and has no effect. Did you mean HARK_MAX_SESSION_MINUTES?"
    ]


def test_a_file_that_is_not_there_is_nothing():
    assert strays(Settings()) == []
