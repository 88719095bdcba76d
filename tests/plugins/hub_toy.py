"""Engines of a plug-in for tests: one with files on a hub, one that takes long to load, one that wants a package."""

import time

from hark.core.work import Hypothesis, Token
from hark.models.base import EngineModel, LoadOptions, ModelSpec, Suits
from hark.models.files.hub_table import HUB_FILES, HubFiles

FILES = HubFiles(
    name="hub-toy",
    summary="a toy's words",
    licence="MIT",
    repo="somebody/hub-toy",
    files=("words.txt", "model.bin"),
    size=2_000_000,
)
HUB_FILES[FILES.name] = FILES


class Toy:
    """Says what its file says."""

    def __init__(self, options: LoadOptions) -> None:
        self._words = (options.folder / "hub-toy" / "words.txt").read_text("utf-8")

    def transcribe(self, batch):
        return [Hypothesis((Token(f" {self._words}", -0.1),)) for _ in batch]


class Slow:
    """Loads for as long as there is no file `open` in the models folder; `loading` says that it does."""

    def __init__(self, options: LoadOptions) -> None:
        (options.folder / "loading").touch()
        while not (options.folder / "open").exists():
            time.sleep(0.01)

    def transcribe(self, batch):
        return [Hypothesis((Token(" at last", -0.1),)) for _ in batch]


def plugin() -> list[EngineModel]:
    def spec(name: str, **more: object) -> ModelSpec:
        return ModelSpec(name, f"The {name} of the tests.", "MIT", threads=1, **more)

    return [
        EngineModel(spec("hub-toy", files=("hub-toy",), languages=("en", "de"), suits=Suits(cpu=60)), Toy),
        EngineModel(spec("slow-toy"), Slow),
        EngineModel(spec("bare-toy", modules=("no_such_module",), install="pip install 'toy[all]'"), Slow),
    ]
