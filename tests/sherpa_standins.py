"""Models of sherpa-onnx's formats that hear loudness: graphs of a few kB, with the inputs and outputs of real ones.

Each says HELLO WORLD AGAIN over and over while it is loud, about three words a second, and nothing where it is quiet.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hark.models.onnx.writing import OnnxGraph
from sherpa_parts import CHUNK, LOUD, WORDS, counted, floats, ints, loudness, one_hot, save, write_tokens
from sherpa_writers import canary, moonshine, whisper

ICEFALL = ("<blk>", "<sos/eos>", "<unk>", *WORDS)
NEMO = (*WORDS, "<blk>")
_N = "N"


def streaming_transducer(folder: Path) -> Path:
    """An LSTM transducer of chunks of 0.32 s, each of which is a token if it is loud."""
    folder.mkdir(parents=True, exist_ok=True)
    width = len(ICEFALL) + 1
    g = OnnxGraph()
    g.input("x", "float32", (_N, CHUNK, 80))
    for state in ("h", "c"):
        g.input(state, "float32", (1, _N, 4))
    gate = loudness(g, g.node("ReduceMean", "x", g.constant(ints(1, 2)), keepdims=1))
    pattern = np.zeros((1, CHUNK // 4, width), np.float32)
    pattern[0, 0, 0] = 1
    g.node("Mul", gate, g.constant(pattern), outputs=["encoder_out"])
    g.node("Add", "h", g.constant(floats(1.0)), outputs=["next_h"])
    g.node("Identity", "c", outputs=["next_c"])
    g.output("encoder_out", "float32", (_N, CHUNK // 4, width))
    for state in ("next_h", "next_c"):
        g.output(state, "float32", (1, _N, 4))
    sizes = {"num_encoder_layers": 1, "rnn_hidden_size": 4, "d_model": 4, "T": CHUNK, "decode_chunk_len": CHUNK}
    save(g, folder / "encoder-epoch-99-avg-1.int8.onnx", model_type="lstm", **sizes)
    _icefall_decoder(folder)
    write_tokens(folder, ICEFALL)
    return folder


def transducer(folder: Path) -> Path:
    """An offline Zipformer's shape: a token of four frames of 80 ms."""
    folder.mkdir(parents=True, exist_ok=True)
    width = len(ICEFALL) + 1
    g = OnnxGraph()
    g.input("x", "float32", (_N, "T", 80))
    g.input("x_lens", "int64", (_N,))
    energy = g.node("Transpose", g.node("ReduceMean", "x", g.constant(ints(2)), keepdims=1), perm=(0, 2, 1))
    pooled = g.node("AveragePool", energy, kernel_shape=(CHUNK,), strides=(CHUNK,), ceil_mode=1)
    gate = g.node("Transpose", loudness(g, pooled), perm=(0, 2, 1))
    g.node("Mul", gate, g.constant(one_hot(width).reshape(1, 1, width)), outputs=["encoder_out"])
    rounded = g.node("Add", "x_lens", g.constant(ints(CHUNK - 1)))
    g.node("Div", rounded, g.constant(ints(CHUNK)), outputs=["encoder_out_lens"])
    g.output("encoder_out", "float32", (_N, "S", width))
    g.output("encoder_out_lens", "int64", (_N,))
    save(g, folder / "encoder-epoch-99-avg-1.onnx", model_type="zipformer2", comment="non-streaming zipformer2")
    _icefall_decoder(folder)
    write_tokens(folder, ICEFALL)
    return folder


def _icefall_decoder(folder: Path) -> None:
    """Decoder and joiner: after each word the next of WORDS is likely, as far as the encoder says that it is loud."""
    symbols, width = len(ICEFALL), len(ICEFALL) + 1
    follow = np.zeros((symbols, width), np.float32)
    for before, after in {0: 3, 1: 3, 2: 3, 3: 4, 4: 5, 5: 6, 6: 3}.items():
        follow[before, 1 + after] = 1
    follow[:3, 1 + 6] = 0.95  # AGAIN is nearly as likely at the start: a hotword decides
    g = OnnxGraph()
    g.input("y", "int64", (_N, 2))
    last = g.node("Gather", "y", g.constant(np.array(1, np.int64)), axis=1)
    g.node("Gather", g.constant(follow), last, outputs=["decoder_out"], axis=0)
    g.output("decoder_out", "float32", (_N, width))
    save(g, folder / "decoder-epoch-99-avg-1.onnx", vocab_size=symbols, context_size=2)
    g = OnnxGraph()
    for side in ("encoder_out", "decoder_out"):
        g.input(side, "float32", (_N, width))
    gate = g.node("MatMul", "encoder_out", g.constant(8 * one_hot(width).reshape(-1, 1)))
    pick = np.concatenate((np.zeros((1, symbols), np.float32), np.eye(symbols, dtype=np.float32)))
    likely = g.node("Mul", gate, g.node("MatMul", "decoder_out", g.constant(pick)))
    g.node("Add", likely, g.constant(4 * one_hot(symbols)), outputs=["logit"])
    g.output("logit", "float32", (_N, symbols))
    save(g, folder / "joiner-epoch-99-avg-1.int8.onnx", joiner_dim=width)


def nemo_ctc(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    words = len(WORDS)
    g = OnnxGraph()
    g.input("audio_signal", "float32", (_N, 80, "T"))
    g.input("length", "int64", (_N,))
    energy = g.node("ReduceMean", "audio_signal", g.constant(ints(1)), keepdims=1)
    pooled = g.node("AveragePool", energy, kernel_shape=(4,), strides=(4,), ceil_mode=1)
    flat = g.node("Squeeze", pooled, g.constant(ints(1)))
    chosen = counted(g, flat, g.node("Greater", flat, g.constant(floats(LOUD))), words)
    logits = g.node("Gather", g.constant(5 * np.eye(words + 1, dtype=np.float32)), chosen, axis=0)
    g.node("LogSoftmax", logits, outputs=["logprobs"], axis=-1)
    g.output("logprobs", "float32", (_N, "S", words + 1))
    kind = {"model_type": "EncDecCTCModelBPE", "vocab_size": words, "subsampling_factor": 4, "normalize_type": ""}
    save(g, folder / "model.int8.onnx", **kind)
    write_tokens(folder, NEMO)
    return folder


def nemo_transducer(folder: Path) -> Path:
    """The shape of Parakeet TDT: tokens that last four frames of 80 ms."""
    folder.mkdir(parents=True, exist_ok=True)
    words, durations, width = len(WORDS), 5, 6
    g = OnnxGraph()
    g.input("audio_signal", "float32", (_N, 80, "T"))
    g.input("length", "int64", (_N,))
    energy = g.node("ReduceMean", "audio_signal", g.constant(ints(1)), keepdims=1)
    pooled = g.node("AveragePool", energy, kernel_shape=(8,), strides=(8,), ceil_mode=1)
    g.node("Mul", loudness(g, pooled), g.constant(one_hot(width).reshape(1, width, 1)), outputs=["outputs"])
    g.node("Div", "length", g.constant(ints(8)), outputs=["encoded_lengths"])
    g.output("outputs", "float32", (_N, width, "S"))
    g.output("encoded_lengths", "int64", (_N,))
    sizes = {"vocab_size": words, "subsampling_factor": 8, "pred_rnn_layers": 1, "pred_hidden": 4, "feat_dim": 80}
    kind = {"model_type": "EncDecRNNTBPEModel", "normalize_type": "", "url": "a tdt of this test's"}
    save(g, folder / "encoder.int8.onnx", **sizes, **kind)
    follow = np.zeros((words + 1, width), np.float32)
    for before in range(words):
        follow[before, 1 + (before + 1) % words] = 1
    follow[words, 1] = 1
    g = OnnxGraph()
    g.input("targets", "int32", (_N, 1))
    g.input("target_length", "int32", (_N,))
    for state in ("states.1", "states.2"):
        g.input(state, "float32", (1, _N, 4))
    row = g.node("Gather", g.constant(follow), "targets", axis=0)
    g.node("Transpose", row, outputs=["outputs"], perm=(0, 2, 1))
    g.node("Identity", "target_length", outputs=["prednet_lengths"])
    g.node("Identity", "states.1", outputs=["next.1"])
    g.node("Identity", "states.2", outputs=["next.2"])
    g.output("outputs", "float32", (_N, width, 1))
    g.output("prednet_lengths", "int32", (_N,))
    for state in ("next.1", "next.2"):
        g.output(state, "float32", (1, _N, 4))
    save(g, folder / "decoder.int8.onnx")
    wide = words + 1 + durations
    pick = np.zeros((width, wide), np.float32)
    pick[1 : 1 + words, :words] = np.eye(words)
    g = OnnxGraph()
    for side in ("encoder_outputs", "decoder_outputs"):
        g.input(side, "float32", (_N, width, 1))
    heard = g.node("Transpose", "encoder_outputs", perm=(0, 2, 1))
    said = g.node("Transpose", "decoder_outputs", perm=(0, 2, 1))
    gate = g.node("MatMul", heard, g.constant(8 * one_hot(width).reshape(-1, 1)))
    likely = g.node("Mul", gate, g.node("MatMul", said, g.constant(pick)))
    bias = 4 * one_hot(wide, words) + 5 * one_hot(wide, words + 1 + 4)
    g.node("Unsqueeze", g.node("Add", likely, g.constant(bias)), g.constant(ints(1)), outputs=["outputs"])
    g.output("outputs", "float32", (_N, 1, 1, wide))
    save(g, folder / "joiner.int8.onnx")
    write_tokens(folder, NEMO)
    return folder


def sense_voice(folder: Path) -> Path:
    """Four symbols about the speech, then a symbol for each six frames of 60 ms; the first says which language was
    told, and "zh" where none was."""
    folder.mkdir(parents=True, exist_ok=True)
    languages = {"auto": 0, "zh": 3, "en": 4, "yue": 7, "ja": 11, "ko": 12}
    told = tuple(f"<|{code}|>" for code in ("zh", "en", "yue", "ja", "ko"))
    symbols = ("<unk>", *WORDS, *told, "<|NEUTRAL|>", "<|Speech|>", "<|withitn|>", "<|woitn|>")
    blank, words = 0, len(WORDS)
    by_number = np.full(16, symbols.index("<|zh|>"), np.int64)
    for code, number in languages.items():
        if code != "auto":
            by_number[number] = symbols.index(f"<|{code}|>")
    g = OnnxGraph()
    g.input("x", "float32", (_N, "T", 560))
    g.input("x_length", "int32", (_N,))
    g.input("language", "int32", (_N,))
    g.input("text_norm", "int32", (_N,))
    flat = g.node("ReduceMean", "x", g.constant(ints(2)), keepdims=0)
    loud = g.node("Greater", flat, g.constant(floats(LOUD)))
    chosen = counted(g, flat, loud, words)
    order = g.constant(ints(1, 2, 3, 4, blank))
    said = g.node("Gather", order, chosen, axis=0)
    first = g.node("Unsqueeze", g.node("Gather", g.constant(by_number), "language", axis=0), g.constant(ints(1)))
    zero = g.node("Mul", first, g.constant(ints(0)))
    about = [
        g.node("Add", zero, g.constant(ints(symbols.index(s)))) for s in ("<|NEUTRAL|>", "<|Speech|>", "<|withitn|>")
    ]
    ids = g.node("Concat", first, *about, said, axis=1)
    g.node("Gather", g.constant(5 * np.eye(len(symbols), dtype=np.float32)), ids, outputs=["logits"], axis=0)
    g.output("logits", "float32", (_N, "S", len(symbols)))
    numbers = {f"lang_{code}": number for code, number in languages.items()}
    frames = {"lfr_window_size": 7, "lfr_window_shift": 6, "normalize_samples": 1, "with_itn": 14, "without_itn": 15}
    shift = {"neg_mean": ",".join(["0"] * 560), "inv_stddev": ",".join(["1"] * 560)}
    save(
        g,
        folder / "model.int8.onnx",
        vocab_size=len(symbols),
        model_type="sense_voice_ctc",
        **numbers,
        **frames,
        **shift,
    )
    write_tokens(folder, symbols)
    return folder


# A maker of each kind: it puts a whole model into a folder.
KINDS = {
    "streaming-transducer": streaming_transducer,
    "transducer": transducer,
    "nemo-transducer": nemo_transducer,
    "nemo-ctc": nemo_ctc,
    "sense-voice": sense_voice,
    "whisper": whisper,
    "moonshine": moonshine,
    "canary": canary,
}


def voices(folder: Path, **metadata: object) -> Path:
    """A model of voices: the mean spectrum, less one that lies between those of `low` and `high`."""
    folder.mkdir(parents=True, exist_ok=True)
    g = OnnxGraph()
    g.input("x", "float32", (_N, "T", 80))
    mean = g.node("ReduceMean", "x", g.constant(ints(1)), keepdims=0)
    shape = g.node("Sub", mean, g.node("ReduceMean", mean, g.constant(ints(1)), keepdims=1))
    g.node("Sub", shape, g.constant(np.linspace(-7.5, 3.7, 80, dtype=np.float32)), outputs=["embedding"])
    g.output("embedding", "float32", (_N, 80))
    kind = {"framework": "3d-speaker", "language": "en", "output_dim": 80, "sample_rate": 16_000}
    save(g, folder / "voices.onnx", **({"normalize_samples": 1} | kind | metadata))
    return folder


def low(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise of a low voice."""
    return (2 * np.convolve(noise(seconds, seed=seed), np.ones(16) / 16, "same")).astype(np.float32)


def high(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise of a high one."""
    return (np.diff(noise(seconds, seed=seed), append=np.float32(0)) / 2).astype(np.float32)


def noise(seconds: float, *, level: float = 0.2, seed: int = 0) -> np.ndarray:
    """It sounds to the models here like speech; with a level of 1e-4 like nothing."""
    return (np.random.default_rng(seed).standard_normal(int(16_000 * seconds)) * level).astype(np.float32)
