"""The models that Hark fetches from a model hub: which repository holds each, and which of its files are wanted.

Rule: an entry's files land in a folder of its name. A file with a pin has to have that SHA-256. Of another, the hub's
own checksum is believed when it is first pulled, written down beside it, and held to from then on.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field


class HubFiles(Struct, frozen=True):
    """The files that go by one name: those of `repo` ("owner/name") at `revision`, a branch, a tag or a commit.

    `files` have to be there, `optional` ones are fetched where the repository has them; both are paths in it, with
    slashes. `size` is that of all together, in bytes and roughly, for people. `pins`: file -> SHA-256 in hexadecimal.
    """

    name: str
    summary: str
    licence: str
    repo: str
    files: tuple[str, ...]
    size: int
    optional: tuple[str, ...] = ()
    revision: str = "main"
    pins: dict[str, str] = field(default_factory=dict)


_INT8: Final = ("encoder.int8.onnx", "decoder.int8.onnx", "joiner.int8.onnx", "tokens.txt")
# Of its graphs those with a left context of 64 frames were exported for batches of one.
_ZIPFORMER: Final = "epoch-99-avg-1-chunk-16-left-128.int8.onnx"
_VOICES: Final = "3dspeaker_speech_campplus_sv_en_voxceleb_16k.onnx"

# What sherpa-onnx runs: its author's exports.
_SHERPA: Final = (
    HubFiles(
        name="streaming-zipformer-en",
        summary="English, streaming",
        licence="Apache-2.0",
        repo="csukuangfj/sherpa-onnx-streaming-zipformer-en-2023-06-26",
        revision="672fbf1b30579d6585301139bb363f42a0ad4a24",
        files=(f"encoder-{_ZIPFORMER}", f"decoder-{_ZIPFORMER}", f"joiner-{_ZIPFORMER}", "tokens.txt"),
        pins={f"encoder-{_ZIPFORMER}": "563fde436d16cf7607cf408cd6b30909819d03162652ef389c2450ced3f45ac1"},
        size=72_700_000,
    ),
    HubFiles(
        name="parakeet-tdt-0.6b-v2",
        summary="English",
        licence="CC-BY-4.0",
        repo="csukuangfj/sherpa-onnx-nemo-parakeet-tdt-0.6b-v2-int8",
        files=_INT8,
        size=661_000_000,
    ),
    HubFiles(
        name="parakeet-tdt-0.6b-v3",
        summary="25 European languages",
        licence="CC-BY-4.0",
        repo="csukuangfj/sherpa-onnx-nemo-parakeet-tdt-0.6b-v3-int8",
        files=_INT8,
        size=670_000_000,
    ),
    HubFiles(
        name="parakeet-ctc-110m-en",
        summary="English",
        licence="CC-BY-4.0",
        repo="csukuangfj/sherpa-onnx-nemo-parakeet_tdt_ctc_110m-en-36000",
        files=("model.onnx", "tokens.txt"),
        size=458_000_000,
    ),
    HubFiles(
        name="canary-180m-flash",
        summary="English, Spanish, German, French",
        licence="CC-BY-4.0",
        repo="csukuangfj/sherpa-onnx-nemo-canary-180m-flash-en-es-de-fr-int8",
        files=("encoder.int8.onnx", "decoder.int8.onnx", "tokens.txt"),
        size=198_000_000,
    ),
    HubFiles(
        name="sherpa-whisper-base.en",
        summary="English",
        licence="MIT",
        repo="csukuangfj/sherpa-onnx-whisper-base.en",
        files=("base.en-encoder.int8.onnx", "base.en-decoder.int8.onnx", "base.en-tokens.txt"),
        size=161_000_000,
    ),
    HubFiles(
        name="sherpa-moonshine-base",
        summary="English",
        licence="MIT",
        repo="csukuangfj/sherpa-onnx-moonshine-base-en-int8",
        files=(
            *("preprocess.onnx", "encode.int8.onnx", "uncached_decode.int8.onnx", "cached_decode.int8.onnx"),
            "tokens.txt",
        ),
        size=290_000_000,
    ),
    HubFiles(
        name="speaker-campplus-en",
        summary="who speaks",
        licence="Apache-2.0",
        repo="csukuangfj/speaker-embedding-models",
        files=(_VOICES,),
        pins={_VOICES: "357a834f702b80161e5b981182c038e18553c1f2ca752ed6cec2052365d4129b"},
        size=29_596_978,
    ),
)
# Name, repository and size in MB of Whisper's conversions to CTranslate2, in float16. The sizes are those that the
# repositories' pages gave. Which vocabulary a repository has depends on its age, and the engine takes either.
_WHISPER: Final = (
    ("whisper-tiny", "Systran/faster-whisper-tiny", 78),
    ("whisper-tiny.en", "Systran/faster-whisper-tiny.en", 78),
    ("whisper-base", "Systran/faster-whisper-base", 148),
    ("whisper-base.en", "Systran/faster-whisper-base.en", 148),
    ("whisper-small", "Systran/faster-whisper-small", 486),
    ("whisper-small.en", "Systran/faster-whisper-small.en", 486),
    ("whisper-medium", "Systran/faster-whisper-medium", 1_530),
    ("whisper-medium.en", "Systran/faster-whisper-medium.en", 1_530),
    ("whisper-large-v1", "Systran/faster-whisper-large-v1", 3_090),
    ("whisper-large-v2", "Systran/faster-whisper-large-v2", 3_090),
    ("whisper-large-v3", "Systran/faster-whisper-large-v3", 3_090),
    ("whisper-large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1_620),
    ("distil-small.en", "Systran/faster-distil-whisper-small.en", 335),
    ("distil-medium.en", "Systran/faster-distil-whisper-medium.en", 792),
    ("distil-large-v2", "Systran/faster-distil-whisper-large-v2", 1_515),
    ("distil-large-v3", "Systran/faster-distil-whisper-large-v3", 1_515),
    ("distil-large-v3.5", "distil-whisper/distil-large-v3.5-ct2", 1_515),
)

_ENTRIES: Final = tuple(
    HubFiles(
        name=name,
        summary="Whisper for faster-whisper",
        licence="MIT",
        repo=repo,
        files=("config.json", "model.bin", "tokenizer.json"),
        optional=("vocabulary.json", "vocabulary.txt", "preprocessor_config.json"),
        size=megabytes * 1_000_000,
    )
    for name, repo, megabytes in _WHISPER
)

# A plug-in may add its own when it is imported.
HUB_FILES: Final[dict[str, HubFiles]] = {entry.name: entry for entry in (*_ENTRIES, *_SHERPA)}
