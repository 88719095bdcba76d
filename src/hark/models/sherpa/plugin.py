"""sherpa-onnx's models: what Hark lists of them, and any other that lies in the models folder.

A folder in the models folder that holds tokens.txt and graphs (files.py) is a model of the folder's own name, so
an archive of sherpa-onnx's releases works where it is unpacked: `--model sherpa-onnx-nemo-parakeet-tdt-0.6b-v2-int8`.

Rule: the package is imported by `load` alone, which checks every file before the package sees one, since it ends the
process over a file that it does not like.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from hark.core.work import Hypothesis
from hark.errors import OperatorError
from hark.models.base import Engine, EngineModel, LoadOptions, ModelSpec, Trait, Utterance
from hark.models.sherpa.files import Kind, checked, recognise
from hark.models.sherpa.offline import CANARY_LANGUAGES, SENSE_VOICE_LANGUAGES, OfflineEngine
from hark.models.sherpa.streaming import StreamingEngine

PACKAGE: Final = "sherpa-onnx==2.0.1"
log = logging.getLogger("hark.models")

TRAITS: Final[dict[Kind, tuple[Trait, ...]]] = {
    "streaming-transducer": ("keywords", "logprobs", "words"),
    "transducer": ("keywords", "logprobs", "words"),
    "nemo-transducer": ("logprobs", "words"),
    "nemo-ctc": ("words",),
    "zipformer-ctc": ("words",),
    "sense-voice": ("language", "detects_language", "words"),
    "whisper": ("language", "detects_language"),
    "canary": ("language", "languages"),
    "moonshine": (),
    "moonshine-v2": (),
}
# The 25 of Parakeet's third version, by its card.
EUROPEAN: Final = (
    *("bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "hr", "hu", "it"),
    *("lt", "lv", "mt", "nl", "pl", "pt", "ro", "ru", "sk", "sl", "sv", "uk"),
)
LISTED: Final[tuple[tuple[str, Kind, str, str, tuple[str, ...]], ...]] = (
    (
        "streaming-zipformer-en",
        "streaming-transducer",
        "Zipformer: English, streaming, 66 million parameters, 73 MB.",
        "Apache-2.0",
        ("en",),
    ),
    (
        "parakeet-tdt-0.6b-v2",
        "nemo-transducer",
        "Parakeet TDT 2: English, 600 million parameters, 661 MB.",
        "CC-BY-4.0",
        ("en",),
    ),
    (
        "parakeet-tdt-0.6b-v3",
        "nemo-transducer",
        "Parakeet TDT 3: 25 languages of Europe, 600 million parameters, 670 MB.",
        "CC-BY-4.0",
        EUROPEAN,
    ),
    ("parakeet-ctc-110m-en", "nemo-ctc", "Parakeet: English, 110 million parameters, 458 MB.", "CC-BY-4.0", ("en",)),
    (
        "canary-180m-flash",
        "canary",
        "Canary Flash: English, Spanish, German, French, 180 million parameters, 198 MB.",
        "CC-BY-4.0",
        CANARY_LANGUAGES,
    ),
    ("sherpa-whisper-base.en", "whisper", "Whisper base: English, 74 million parameters, 161 MB.", "MIT", ("en",)),
    (
        "sherpa-moonshine-base",
        "moonshine",
        "Moonshine base: English, 61 million parameters, 290 MB.",
        "MIT",
        ("en",),
    ),
)
LANGUAGES: Final[dict[Kind, tuple[str, ...]]] = {"sense-voice": SENSE_VOICE_LANGUAGES, "canary": CANARY_LANGUAGES}


class OfOneLanguage:
    """An Engine that knows a single language: it is told none, and says which."""

    def __init__(self, engine: Engine, language: str) -> None:
        self._engine = engine
        self._language = language

    def transcribe(self, batch: Sequence[Utterance]) -> list[Hypothesis]:
        heard = self._engine.transcribe([structs.replace(each, language=None, languages=()) for each in batch])
        return [structs.replace(each, language=self._language) for each in heard]


def load(options: LoadOptions, name: str, only: str | None = None) -> Engine:
    """The engine of the model that lies in the folder of this name; `only`: its language, where that is the one that it
    knows. Raises OperatorError."""
    engine = _load(options, name)
    return engine if only is None else OfOneLanguage(engine, only)


def _load(options: LoadOptions, name: str) -> Engine:
    sherpa = package()
    files = checked(options.folder / name)
    try:
        if files.kind == "streaming-transducer":
            return StreamingEngine(sherpa, files, options.threads)
        return OfflineEngine(sherpa, files, options.threads)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise OperatorError(f"sherpa-onnx cannot open the model in {files.folder}: {error}") from error


def package() -> Any:
    """sherpa_onnx. Raises OperatorError if it is not there."""
    try:
        import sherpa_onnx  # noqa: PLC0415
    except ImportError as error:
        message = (
            f"This model needs the package sherpa-onnx, which cannot be imported ({error}). Run: pip install {PACKAGE}"
        )
        raise OperatorError(message) from error
    return sherpa_onnx


def model(
    name: str, kind: Kind, summary: str, *, licence: str, languages: tuple[str, ...] = (), pulled: bool = True
) -> EngineModel:
    """The model whose files lie in the folder `name`; `pulled`: the catalog of files has an entry of that name."""
    streaming = kind == "streaming-transducer"
    spec = ModelSpec(
        name=name,
        summary=summary,
        licence=licence,
        files=(name,) if pulled else (),
        languages=languages or LANGUAGES.get(kind, ()),
        # One that knows a single language is not told it, and finds nothing out.
        traits=tuple(trait for trait in TRAITS[kind] if len(languages) != 1 or "language" not in trait),
        max_batch=32 if streaming else 8,
        max_batch_s=inf if streaming else 60.0,
        # Streams live in one process.
        threads=None if streaming else 2,
        modules=("sherpa_onnx",),
        install=f"pip install {PACKAGE}",
        streams=streaming,
    )
    return EngineModel(spec, partial(load, name=name, only=languages[0] if len(languages) == 1 else None))


def found_in(folder: Path) -> list[EngineModel]:
    """What this module offers under "hark.models.found": models of sherpa-onnx in folders of their own in
    `folder`, but for those that `plugin` lists."""
    known = {listed.spec.name for listed in plugin()}
    models = []
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        if place.name in known or not place.is_dir():
            continue
        try:
            files = recognise(place)
        except OperatorError as error:
            log.debug("%s is passed over: %s", place, error)
            continue
        if files is not None:
            models.append(
                model(place.name, files.kind, f"Found in the models folder: {files.kind}.", licence="?", pulled=False)
            )
    return models


def plugin() -> list[EngineModel]:
    """What this module offers under "hark.models"."""
    return [model(name, kind, said, licence=licence, languages=spoken) for name, kind, said, licence, spoken in LISTED]
