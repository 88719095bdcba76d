"""The model files that Hark can fetch: what each is, its licence, its checksum, and where it is found.

Rule: a file is named by its checksum. Where it comes from may change; what it holds may not, so a new version is a new
entry or a new pin here, never a silent update. Refuses: names that are not listed. This file does nothing; `pull.py`
fetches.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from msgspec import Struct

from hark.errors import OperatorError
from hark.models.files.hub_table import HUB_FILES, HubFiles


class Wheel(Struct, frozen=True):
    """A wheel on the package index. One platform's build is pinned, so that the checksum holds on every machine."""

    project: str
    version: str
    tag: str
    size: int
    sha256: str

    @property
    def requirement(self) -> str:
        return f"{self.project}=={self.version}"

    @property
    def stem(self) -> str:
        """The file name without its tag, which all builds of this version share."""
        return f"{self.project.replace('-', '_')}-{self.version}"

    @property
    def filename(self) -> str:
        return f"{self.stem}-{self.tag}.whl"

    @property
    def platform(self) -> str:
        return self.tag.rsplit("-", 1)[1]


class Member(Struct, frozen=True):
    """One file: `path` inside the models folder, `inside` the wheel or the installed package; both with slashes."""

    path: str
    inside: str
    size: int
    sha256: str


class ModelFiles(Struct, frozen=True):
    """The files that go by one name, and the wheel that they are taken out of."""

    name: str
    summary: str
    licence: str
    wheel: Wheel
    members: tuple[Member, ...]

    @property
    def size(self) -> int:
        return sum(member.size for member in self.members)


Entry: TypeAlias = ModelFiles | HubFiles


# Later versions of this wheel no longer carry the model.
_MOONSHINE: Final = Wheel(
    project="moonshine-voice",
    version="0.0.73",
    tag="py3-none-manylinux_2_34_x86_64",
    size=56_320_672,
    sha256="6461c8097ed78d054c46b4c821143008a07b5fa1f4169674493ccfa06c1407db",
)
_SILERO: Final = Wheel(
    project="silero-vad",
    version="6.2.3",
    tag="py3-none-any",
    size=11_317_527,
    sha256="7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
)
# 48 packages are asked for by its metadata, and none is needed to take one file out.
_PIPECAT: Final = Wheel(
    project="pipecat-ai",
    version="1.14.0",
    tag="py3-none-any",
    size=12_109_725,
    sha256="0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44",
)

_ENTRIES: Final = (
    ModelFiles(
        name="moonshine-tiny-en",
        summary="English speech to text",
        licence="MIT",
        wheel=_MOONSHINE,
        members=(
            Member(
                path="moonshine-tiny-en/encoder_model.ort",
                inside="moonshine_voice/assets/tiny-en/encoder_model.ort",
                size=13_281_600,
                sha256="94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
            ),
            Member(
                path="moonshine-tiny-en/decoder_model_merged.ort",
                inside="moonshine_voice/assets/tiny-en/decoder_model_merged.ort",
                size=30_412_256,
                sha256="cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
            ),
            Member(
                path="moonshine-tiny-en/tokenizer.bin",
                inside="moonshine_voice/assets/tiny-en/tokenizer.bin",
                size=249_974,
                sha256="6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
            ),
        ),
    ),
    ModelFiles(
        name="silero-vad",
        summary="voice activity, version 6.2",
        licence="MIT",
        wheel=_SILERO,
        members=(
            Member(
                path="silero-vad/silero_vad_16k_op15.onnx",
                inside="silero_vad/data/silero_vad_16k_op15.onnx",
                size=1_289_603,
                sha256="7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
            ),
        ),
    ),
    ModelFiles(
        name="smart-turn",
        summary="end of turn, version 3.2",
        licence="BSD-2-Clause",
        wheel=_PIPECAT,
        members=(
            Member(
                path="smart-turn/smart-turn-v3.2-cpu.onnx",
                inside="pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
                size=8_679_182,
                sha256="2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
            ),
        ),
    ),
    ModelFiles(
        name="samples",
        summary="recordings to try Hark with",
        licence="MIT",  # the wheel's; it names no other for its recordings
        wheel=_MOONSHINE,
        members=(
            Member(
                path="samples/two_cities.wav",
                inside="moonshine_voice/assets/two_cities.wav",
                size=4_260_326,
                sha256="f3348494d77cb74a02862f5e685ed09faf3e75832c5cc5c80703282c2cd8b52e",
            ),
            Member(
                path="samples/beckett.wav",
                inside="moonshine_voice/assets/beckett.wav",
                size=318_978,
                sha256="e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61",
            ),
            Member(
                path="samples/endgame_nagg_nell.wav",
                inside="moonshine_voice/assets/endgame_nagg_nell.wav",
                size=1_357_352,
                sha256="78f44dc6d3da32ecab0c37f391700f0569f4612b8e0be2ecbaf33e1d3d566474",
            ),
        ),
    ),
)

MODEL_FILES: Final[dict[str, ModelFiles]] = {entry.name: entry for entry in _ENTRIES}

# What a server needs to start, and what shows that it works.
DEFAULTS: Final = ("moonshine-tiny-en", "silero-vad", "smart-turn", "samples")


def lookup(names: Iterable[str]) -> list[Entry]:
    """The entries of these names, in order, each once. Raises OperatorError for a name that is not listed."""
    wanted = list(dict.fromkeys(names))
    listed: dict[str, Entry] = {**MODEL_FILES, **HUB_FILES}
    for name in wanted:
        if name not in listed:
            raise OperatorError(f"Hark lists no model files called {name!r}. Expected: {', '.join(listed)}.")
    return [listed[name] for name in wanted]
