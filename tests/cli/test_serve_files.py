"""`hark serve` and model files that cannot be had."""

import pytest

from hark.cli.serve import pull_if_possible, serve_command
from hark.errors import HarkError
from serving import settings


@pytest.fixture
def no_index(monkeypatch):
    """A package index that refuses connections."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")


def test_it_serves_without_what_it_can_do_without_and_says_so(no_index, tmp_path, caplog, capsys):
    pull_if_possible(["smart-turn"], settings(models_dir=tmp_path))
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "hark.serve"]
    assert warning.startswith("serving without smart-turn: ")
    assert not list(tmp_path.rglob("*.onnx"))


def test_it_does_not_serve_without_the_rest(no_index, tmp_path, capsys):
    with pytest.raises(HarkError, match="silero-vad"):
        serve_command(settings(models_dir=tmp_path, voice_model="silero-vad"), self_check=False)


def test_what_needs_no_file_pulls_none(no_index, tmp_path, caplog):
    pull_if_possible([], settings(models_dir=tmp_path))
    assert caplog.records == []
