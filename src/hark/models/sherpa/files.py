"""Which of sherpa-onnx's models lies in a folder, by the names of its files and by what stands beside their graphs.

    files (besides tokens.txt)                                 what the first graph says            kind
    encoder, decoder, joiner                                   T and decode_chunk_len               streaming-transducer
    encoder, decoder, joiner                                   pred_hidden                          nemo-transducer
    encoder, decoder, joiner                                   neither                              transducer
    encoder, decoder                                           sot_sequence                         whisper
    encoder, decoder                                           model_type EncDecMultiTaskModel      canary
    preprocess, encode, uncached_decode, cached_decode         (nothing)                            moonshine
    encoder_model.ort, decoder_model_merged.ort                (nothing)                            moonshine-v2
    model                                                      lang_auto                            sense-voice
    model                                                      model_type EncDec…CTC…               nemo-ctc
    model                                                      model_type zipformer2_ctc            zipformer-ctc

A file plays a part if its name holds the part's word ("encoder-epoch-99.int8.onnx"); of two the one with 8-bit weights
is taken, of two such the first by name. Names of graphs and keys are those of sherpa-onnx 2.0.

Rule: everything that sherpa-onnx would end the process for is looked for here, before it sees a file: a key that is
missing, a vocabulary that is none. Refuses: to guess; what fits no row is no model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from hark.errors import OperatorError
from hark.models.onnx.metadata import read_metadata

Kind: TypeAlias = Literal[
    "streaming-transducer",
    "nemo-transducer",
    "transducer",
    "whisper",
    "canary",
    "moonshine",
    "moonshine-v2",
    "sense-voice",
    "nemo-ctc",
    "zipformer-ctc",
]
Metadata: TypeAlias = Mapping[str, str]

VOCABULARY: Final = "tokens.txt"


class Row(Struct, frozen=True):
    """`parts`: name -> the word by which a file's name is told to play it. `says`: whether the metadata of the first
    part fits. `keys`: what sherpa-onnx cannot do without, of each part."""

    kind: Kind
    parts: dict[str, str]
    says: Callable[[Metadata], bool]
    keys: dict[str, tuple[str, ...]] = {}
    suffix: str = ".onnx"


class ModelFolder(Struct, frozen=True):
    """`parts`: the file of each. `metadata`: that of the first."""

    kind: Kind
    folder: Path
    parts: dict[str, Path]
    tokens: Path
    metadata: dict[str, str]


def _is(key: str, *values: str) -> Callable[[Metadata], bool]:
    return lambda metadata: metadata.get(key) in values if values else key in metadata


_TRANSDUCER: Final = {"encoder": "encoder", "decoder": "decoder", "joiner": "joiner"}
_PAIR: Final = {"encoder": "encoder", "decoder": "decoder"}
_ONE: Final = {"model": "model"}
_NEMO_CTC: Final = ("EncDecCTCModelBPE", "EncDecCTCModel", "EncDecHybridRNNTCTCBPEModel")
_WHISPER_KEYS: Final = (
    *("n_mels", "n_text_layer", "n_text_ctx", "n_text_state", "n_vocab", "sot", "eot", "blank_id", "translate"),
    *("transcribe", "is_multilingual", "no_speech", "no_timestamps"),
)
_STATES: Final[dict[str, tuple[str, ...]]] = {
    "lstm": ("num_encoder_layers", "rnn_hidden_size", "d_model"),
    "conformer": ("num_encoder_layers", "left_context", "encoder_dim", "pad_length", "cnn_module_kernel"),
    "zipformer": ("encoder_dims", "attention_dims", "num_encoder_layers", "cnn_module_kernels", "left_context_len"),
    "zipformer2": ("encoder_dims", "query_head_dims", "value_head_dims", "num_heads", "num_encoder_layers"),
}

ROWS: Final = (
    Row(
        "streaming-transducer",
        _TRANSDUCER,
        lambda metadata: "T" in metadata and "decode_chunk_len" in metadata,
        {"encoder": ("model_type",), "decoder": ("vocab_size", "context_size")},
    ),
    Row(
        "nemo-transducer",
        _TRANSDUCER,
        _is("pred_hidden"),
        {"encoder": ("vocab_size", "subsampling_factor", "normalize_type", "pred_rnn_layers", "pred_hidden")},
    ),
    Row("transducer", _TRANSDUCER, lambda metadata: True, {"decoder": ("vocab_size", "context_size")}),
    Row("whisper", _PAIR, _is("sot_sequence"), {"encoder": _WHISPER_KEYS}),
    Row(
        "canary",
        _PAIR,
        _is("model_type", "EncDecMultiTaskModel"),
        {"encoder": ("vocab_size", "subsampling_factor", "normalize_type", "feat_dim")},
    ),
    Row(
        "moonshine",
        {
            "preprocessor": "preprocess",
            "encoder": "encode",
            "uncached_decoder": "uncached_decode",
            "cached_decoder": "cached_decode",
        },
        lambda metadata: True,
    ),
    Row("moonshine-v2", {"encoder": "encoder_model", "decoder": "decoder_model_merged"}, lambda m: True, suffix=".ort"),
    Row(
        "sense-voice",
        _ONE,
        _is("lang_auto"),
        {
            "model": (
                *("vocab_size", "lfr_window_size", "lfr_window_shift", "normalize_samples", "with_itn", "without_itn"),
                *("lang_zh", "lang_en", "lang_ja", "lang_ko", "lang_yue", "neg_mean", "inv_stddev"),
            )
        },
    ),
    Row(
        "nemo-ctc",
        _ONE,
        _is("model_type", *_NEMO_CTC),
        {"model": ("vocab_size", "subsampling_factor", "normalize_type")},
    ),
    Row("zipformer-ctc", _ONE, _is("model_type", "zipformer2_ctc", "zipformer_ctc"), {"model": ("vocab_size",)}),
)


def recognise(folder: Path) -> ModelFolder | None:
    """The model that lies in this folder, None if none does. Raises OperatorError where its graphs cannot be read."""
    tokens = _vocabulary(folder)
    if tokens is None:
        return None
    for row in ROWS:
        parts = _parts(folder, row)
        if parts is None:
            continue
        first = next(iter(parts.values()))
        metadata = read_metadata(first) if row.suffix == ".onnx" else {}
        if row.says(metadata):
            return ModelFolder(row.kind, folder, parts, tokens, metadata)
    return None


def checked(folder: Path) -> ModelFolder:
    """The same, once it is certain that sherpa-onnx can open it. Raises OperatorError saying what is wrong."""
    if not folder.is_dir():
        raise OperatorError(f"The files of a model are missing: {folder} was expected. Run `hark pull` to fetch them.")
    found = recognise(folder)
    if found is None:
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "nothing"
        raise OperatorError(
            f"{folder} holds no model that Hark can run with sherpa-onnx. Expected {VOCABULARY} and graphs such as "
            f"encoder, decoder and joiner (docs/engines.md lists them); it holds {held}."
        )
    row = next(row for row in ROWS if row.kind == found.kind)
    for part, needed in row.keys.items():
        metadata = read_metadata(found.parts[part])
        states = _states(found.parts[part], metadata) if (found.kind, part) == (ROWS[0].kind, "encoder") else ()
        lacking = [key for key in (*needed, *states) if key not in metadata]
        if lacking:
            raise OperatorError(
                f"A model file is not what was expected: {found.parts[part]}; sherpa-onnx needs "
                f"{', '.join(lacking)} in its metadata. It may be an export for another program."
            )
    read_tokens(found.tokens)
    return found


def read_tokens(path: Path) -> list[str]:
    """The symbols of a vocabulary by their numbers. Raises OperatorError if it is none."""
    symbols: dict[int, str] = {}
    try:
        for line in path.read_text("utf-8").splitlines():
            if line.strip():
                symbol, _, number = line.rstrip().rpartition(" ")
                symbols[int(number)] = symbol or " "
    except (ValueError, OSError) as error:
        raise _no_vocabulary(path) from error
    if sorted(symbols) != list(range(len(symbols))) or not symbols:
        raise _no_vocabulary(path)
    return [symbols[number] for number in range(len(symbols))]


def _no_vocabulary(path: Path) -> OperatorError:
    return OperatorError(
        f"A model file is not what was expected: {path}; expected a symbol and its number in each line, from 0 on."
    )


def _states(path: Path, metadata: Metadata) -> tuple[str, ...]:
    kind = metadata.get("model_type", "")
    if kind and kind not in _STATES:
        known = ", ".join(_STATES)
        raise OperatorError(f"{path} is a streaming encoder of the type '{kind}'. Expected one of {known}.")
    return _STATES.get(kind, ())


def _vocabulary(folder: Path) -> Path | None:
    """tokens.txt, or the one whose name ends so: Whisper's have the size in front."""
    exact = folder / VOCABULARY
    if exact.is_file():
        return exact
    return next(iter(sorted(folder.glob(f"*-{VOCABULARY}"))), None)


def _parts(folder: Path, row: Row) -> dict[str, Path] | None:
    """A file for each part and no part of another row's left, or None."""
    files = sorted(folder.glob(f"*{row.suffix}"), key=lambda path: (".int8." not in path.name, path.name))
    found: dict[str, Path] = {}
    for part, word in row.parts.items():
        fitting = [path for path in files if _plays(path.name, word)]
        if not fitting:
            return None
        found[part] = fitting[0]
    return found


def _plays(name: str, word: str) -> bool:
    """Whether the word stands in the name by itself: "decode" is not in "uncached_decode", nor in "decoder"."""
    stem = name.replace(".int8.", ".").removesuffix(".onnx").removesuffix(".ort")
    words = stem.replace(".", "-").split("-")
    return word in words
