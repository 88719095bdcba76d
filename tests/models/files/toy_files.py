"""A toy of a model as a hub has it, and what a pull makes of it. Its fixtures are in conftest.py."""

import json
from pathlib import Path

from msgspec import structs

from hark.models.files import hub_table
from hark.models.files.hub_table import HubFiles
from hark.models.files.pull import pull

WEIGHTS = bytes(range(256)) * 4096  # a MiB, so more than one read
CONFIG = b'{"layers": 1}\n'
REPO = "somebody/whisper-toy"
TOY = HubFiles(
    name="toy-hub",
    summary="a toy",
    licence="MIT",
    repo=REPO,
    files=("config.json", "model.bin"),
    size=1_000_000,
    optional=("preprocessor.json",),
)
CONTENT = {"config.json": CONFIG, "model.bin": WEIGHTS}


def fetch(folder: Path, source: Path | None = None, progress=lambda *_: None):
    return pull([TOY.name], folder, source=source, progress=progress)


def content(folder: Path) -> dict[str, bytes]:
    """What an engine would find; hidden files are ours."""
    return {path.name: path.read_bytes() for path in (folder / TOY.name).iterdir() if not path.name.startswith(".")}


def parts(folder: Path) -> list[Path]:
    return list((folder / TOY.name).glob("*.part"))


def manifest(folder: Path) -> dict:
    return json.loads((folder / TOY.name / ".hark.json").read_bytes())


def entry(monkeypatch, **changes) -> None:
    monkeypatch.setitem(hub_table.HUB_FILES, TOY.name, structs.replace(TOY, **changes))
