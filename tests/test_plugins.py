"""The plug-in of docs/plugins.md: taken out of the page, installed, tried by the suite, served."""

import os
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from documents import ROOT, blocks, page
from hark.errors import OperatorError
from hark.models.base import LoadOptions, Utterance
from hark.models.catalog import installed


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The folder where it is installed."""
    text = page("docs/plugins.md")
    (module,) = blocks(text, "python")
    project = tomllib.loads(blocks(text, "toml")[0])
    (group, entries), *_ = project["project"]["entry-points"].items()
    (tmp_path / "hark_toy.py").write_text(module, "utf-8")
    info = tmp_path / "hark_toy-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hark-toy\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_it_transcribes(toy, serve):
    engine = installed()["toy"].load(LoadOptions(toy))
    heard = engine.transcribe([Utterance(np.zeros(48_000, np.float32))] * 2)
    assert [hypothesis.text for hypothesis in heard] == ["About 3 seconds of speech."] * 2
    with serve(model="toy").session() as wire:
        assert wire.hear("alpha", "bravo", "charlie") == "About 1 seconds of speech."


def test_it_is_told_its_options(toy, serve):
    with serve(model="toy", model_options="toy_unit=minutes").session() as wire:
        assert wire.hear("alpha", "bravo", "charlie") == "About 0 minutes of speech."
    with pytest.raises(OperatorError, match="toy_unit=hours: expected one of seconds, minutes"):
        serve(model="toy", model_options="toy_unit=hours")


def test_it_passes_the_suite(toy, samples):
    search = os.pathsep.join([str(toy), *sys.path])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/models/engine_suite.py"],
        cwd=ROOT,
        env=os.environ | {"HARK_ENGINE": "toy", "PYTHONPATH": search},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stdout
