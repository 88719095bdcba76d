"""faster-whisper's models: every size of Whisper, and any other that lies in the models folder.

    pip install 'hark[faster-whisper]'

A folder in the models folder that holds a Whisper in CTranslate2's format is a model of the folder's own name, so a
conversion of one's own works where it lies: `--model my-whisper`.

Rule: nothing but names is here. The package is imported by `load` alone (engine.py); without it the models are
listed, and loading one says how to get it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from hark.models.base import EngineModel, ModelSpec, Suits, Trait
from hark.models.whisper.engine import Whisper
from hark.models.whisper.network import CPU_BATCH, GPU_BATCH, INSTALL, MODULES, VOCABULARIES, config, gpu_expected

WORKSPACE_MB: Final = 1_500  # of a GPU's memory, for a batch, CUDA and its libraries
OWN_THREADS: Final = 4  # nobody knows how large it is

_LANGUAGES: Final = """
en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml cy sk
te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo
ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jv su yue
"""
LANGUAGES: Final = tuple(_LANGUAGES.split())


class Size(Struct, frozen=True):
    """`millions` of parameters; `threads` that a call of it makes good use of on a processor: a window then takes about
    a second. `gpu`: how well it suits one, beside others of Hark's (Suits)."""

    name: str
    millions: int
    threads: int
    gpu: int = 0
    english: bool = False


SIZES: Final = (
    Size("whisper-tiny", 39, 1, gpu=10),
    Size("whisper-tiny.en", 39, 1, english=True),
    Size("whisper-base", 74, 2, gpu=20),
    Size("whisper-base.en", 74, 2, english=True),
    Size("whisper-small", 244, 4, gpu=50),
    Size("whisper-small.en", 244, 4, english=True),
    Size("whisper-medium", 769, 8, gpu=60),
    Size("whisper-medium.en", 769, 8, english=True),
    Size("whisper-large-v1", 1550, 8),
    Size("whisper-large-v2", 1550, 8, gpu=70),
    Size("whisper-large-v3", 1550, 8, gpu=80),
    Size("whisper-large-v3-turbo", 809, 8, gpu=90),
    Size("distil-small.en", 166, 4, english=True),
    Size("distil-medium.en", 394, 8, english=True),
    Size("distil-large-v2", 756, 8, english=True),
    Size("distil-large-v3", 756, 8, english=True),
    Size("distil-large-v3.5", 756, 8, english=True),
)


def plugin() -> list[EngineModel]:
    """What this module offers under "hark.models": the sizes."""
    return [
        _model(
            size.name,
            f"Whisper, {size.millions} million parameters.",
            "MIT",
            files=(size.name,),
            languages=("en",) if size.english else LANGUAGES,
            threads=size.threads,
            suits=Suits(gpu=size.gpu, memory_mb=WORKSPACE_MB + 2 * size.millions) if size.gpu else None,
        )
        for size in SIZES
    ]


def found_in(folder: Path) -> list[EngineModel]:
    """What this module offers under "hark.models.found": the Whispers in CTranslate2's format that lie in folders of
    one's own in `folder`, the models folder."""
    known = {size.name for size in SIZES}
    try:
        inside = sorted(path for path in folder.iterdir() if (path / "model.bin").is_file() and path.name not in known)
    except OSError:
        return []
    own = [path for path in inside if "lang_ids" in config(path) and any((path / v).is_file() for v in VOCABULARIES)]
    return [_model(path.name, "A Whisper of your own.", "its own", threads=OWN_THREADS) for path in own]


def _model(
    name: str,
    summary: str,
    licence: str,
    *,
    threads: int,
    files: tuple[str, ...] = (),
    languages: tuple[str, ...] = (),
    suits: Suits | None = None,
) -> EngineModel:
    gpu = gpu_expected()
    traits: tuple[Trait, ...] = ("prompt", "keywords", "logprobs", "words")
    english = languages == ("en",)
    spec = ModelSpec(
        name=name,
        summary=summary,
        licence=licence,
        files=files,
        languages=languages,
        traits=traits if english else ("language", "languages", "detects_language", *traits),
        max_batch=GPU_BATCH if gpu else CPU_BATCH,
        any_length=True,  # each is filled up to a window
        threads=None if gpu else threads,
        modules=MODULES,
        install=INSTALL,
        suits=suits,
    )
    return EngineModel(spec, partial(Whisper, name, english=english))
