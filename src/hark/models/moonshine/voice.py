"""Moonshine's larger models, its streaming ones and those of other languages, by its makers' own library.

The library (moonshine-voice, an extra of Hark's) fetches the files and runs them; its voice detector is switched off,
for Hark has cut the audio already. A streaming model is asked like any other, for the whole of what was said so far.

Rule: nothing is downloaded here. Files are taken from `moonshine-NAME` in the models folder, else from the library's
own cache, where its own downloader puts them. Licences differ: the English models are MIT, the others are not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct

from hark.core.work import SAMPLE_RATE, Hypothesis, Token
from hark.errors import OperatorError
from hark.models.base import EngineModel, LoadOptions, ModelSpec, Utterance
from hark.models.cutting import cut
from hark.models.moonshine.tokens import repeated_tail

PACKAGE: Final = "moonshine-voice"
# As for tiny-en: a word that ends with the audio is misheard, and words are made up for audio under a second.
TAIL_SAMPLES: Final = SAMPLE_RATE // 4
MIN_SAMPLES: Final = SAMPLE_RATE
# Files that only the times of words need. Some models have none, and do without.
FOR_WORDS: Final = ("decoder_with_attention.ort", "decoder_kv_with_attention.ort")
MIT: Final = "MIT"
COMMUNITY: Final = "Moonshine Community"


class Kind(Struct, frozen=True):
    """A model by the library's name for it; `arch` is its number there."""

    name: str
    language: str
    arch: int
    summary: str
    licence: str = COMMUNITY


KINDS: Final = (
    Kind("tiny-streaming-en", "en", 2, "Moonshine tiny, streaming: English.", MIT),
    Kind("base-en", "en", 1, "Moonshine base: English.", MIT),
    Kind("small-streaming-en", "en", 4, "Moonshine small, streaming: English.", MIT),
    Kind("medium-streaming-en", "en", 5, "Moonshine medium, streaming: English.", MIT),
    Kind("base-ar", "ar", 1, "Moonshine base: Arabic."),
    Kind("base-es", "es", 1, "Moonshine base: Spanish."),
    Kind("base-ja", "ja", 1, "Moonshine base: Japanese."),
    Kind("tiny-ja", "ja", 0, "Moonshine tiny: Japanese."),
    Kind("base-ko", "ko", 0, "Moonshine tiny: Korean."),
    Kind("base-uk", "uk", 1, "Moonshine base: Ukrainian."),
    Kind("base-vi", "vi", 1, "Moonshine base: Vietnamese."),
    Kind("base-zh", "zh", 1, "Moonshine base: Chinese."),
)


class MoonshineVoice:
    """An Engine around the library's Transcriber. It knows one language and takes no hints."""

    def __init__(self, kind: Kind, options: LoadOptions) -> None:
        try:
            api, download = import_module("moonshine_voice"), import_module("moonshine_voice.download")
        except (ImportError, OSError) as error:
            raise OperatorError(
                f"The model 'moonshine-{kind.name}' needs the package {PACKAGE}, which cannot be used here: {error}. "
                'Install it with pip install "hark[moonshine]".'
            ) from error
        folder, timed = _folder(kind, options.folder / f"moonshine-{kind.name}", download)
        told = {"vad_threshold": "0", "return_audio_data": "false", "word_timestamps": "true" if timed else "false"}
        self._transcriber: Any = api.Transcriber(str(folder), api.ModelArch(kind.arch), options=told)
        self._language = kind.language

    def transcribe(self, batch: Sequence[Utterance]) -> list[Hypothesis]:
        return [self._hear(utterance) for utterance in batch]

    def close(self) -> None:
        self._transcriber.close()

    def _hear(self, utterance: Utterance) -> Hypothesis:
        length = len(utterance.audio)
        audio = np.pad(utterance.audio, (0, max(TAIL_SAMPLES, MIN_SAMPLES - length)))
        transcript = self._transcriber.transcribe_without_streaming(audio, SAMPLE_RATE)
        tokens = [token for line in transcript.lines for token in _tokens(line, length)]
        looped = _repeated(tokens)
        return Hypothesis(tuple(tokens[: len(tokens) - looped]), language=self._language, cut=looped > 0)


def _tokens(line: Any, length: int) -> list[Token]:
    """The words of a line, with their times if it has as many. `length`: of the audio, in samples."""
    pieces, timed = [piece for _, piece in cut(line.text)], line.words or []
    if len(timed) != len(pieces):
        return [Token(piece) for piece in pieces]
    tokens: list[Token] = []
    reached = 0
    for piece, told in zip(pieces, timed, strict=True):
        start = min(max(round(told.start * SAMPLE_RATE), reached), length)
        end = min(max(round(told.end * SAMPLE_RATE), start), length)
        tokens.append(Token(piece, None, start, end))
        reached = start
    return tokens


def _repeated(tokens: Sequence[Token]) -> int:
    """How many words at the end only say again what stands before them."""
    known: dict[str, int] = {}
    said = [known.setdefault(token.text.casefold(), len(known)) for token in tokens]
    if not (loop := repeated_tail(said)):
        return 0
    length = next(n for n in range(1, loop + 1) if said[-loop:] == said[-loop - n : -n])
    while loop + length < len(said) and said[-loop - 1] == said[-loop - 1 - length]:
        loop += 1
    return loop


def _folder(kind: Kind, own: Path, download: Any) -> tuple[Path, bool]:
    """Where the files are, and whether those for the times of words are among them. Raises OperatorError."""
    info = next(i for i in download.MODEL_INFO[kind.language]["models"] if i["model_name"] == kind.name)
    needed = download.get_components_for_model_info({**info, "language": kind.language})
    fetched = Path(download.get_cache_dir()) / info["download_url"].removeprefix("https://")
    for folder in (own, fetched):
        lacking = [name for name in needed if not (folder / name).exists()]
        if set(lacking) <= set(FOR_WORDS):
            return folder, not lacking and bool(set(needed) & set(FOR_WORDS))
    command = f"{Path(sys.executable).name} -m moonshine_voice.download --stt --language {kind.language}"
    raise OperatorError(
        f"The files of the model 'moonshine-{kind.name}' are neither in {own} nor in {fetched}. Its makers' own "
        f"program fetches them: {command} --model-arch {kind.arch}"
    )


def plugin() -> list[EngineModel]:
    """What this module offers under "hark.models"."""
    return [EngineModel(_spec(kind), partial(MoonshineVoice, kind)) for kind in KINDS]


def _spec(kind: Kind) -> ModelSpec:
    return ModelSpec(
        name=f"moonshine-{kind.name}",
        summary=kind.summary,
        licence=kind.licence,
        languages=(kind.language,),
        traits=("words",) if kind.language == "en" else (),
        modules=("moonshine_voice",),
        install="pip install 'hark[moonshine]'",
        max_batch=1,  # and no word of threads: the library takes as many as it likes
    )
