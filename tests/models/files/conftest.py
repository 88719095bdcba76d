"""A hub on this machine that has the toy of toy_files.py, and a folder to pull it into."""

import pytest
from toy_files import CONTENT, REPO, TOY

from hark.models.files import hub_http, hub_table
from hub import standing


@pytest.fixture
def environment(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(hub_http, "PAUSES_S", (0, 0))
    monkeypatch.setitem(hub_table.HUB_FILES, TOY.name, TOY)


@pytest.fixture
def hub(monkeypatch):
    with standing() as hub:
        hub.repos[REPO] = dict(CONTENT)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models"
