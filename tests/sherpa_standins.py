"""Models of sherpa-onnx's formats that hear loudness: graphs of a few kB, with the inputs and outputs of real ones.

Each says HELLO WORLD AGAIN over and over while it is loud, about three words a second, and nothing where it is quiet.
"""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

from hark.models.onnxgraph import OnnxGraph

WORDS = ("\u2581HELLO", "\u2581WOR", "LD", "\u2581AGAIN")
ICEFALL = ("<blk>", "<sos/eos>", "<unk>", *WORDS)
NEMO = (*WORDS, "<blk>")
LOUD = -6.0  # mean log mel energy of noise far above that of silence
CHUNK = 32  # frames of 10 ms
LANGUAGES = ("en", "de", "fr")
_N = "N"


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def one_hot(length: int, at: int = 0) -> np.ndarray:
    return np.eye(length, dtype=np.float32)[at]


def save(graph: OnnxGraph, path: Path, **metadata: object) -> None:
    graph.metadata(**metadata)
    path.write_bytes(graph.serialized())


def write_tokens(folder: Path, symbols: tuple[str, ...], name: str = "tokens.txt") -> None:
    (folder / name).write_text("".join(f"{symbol} {number}\n" for number, symbol in enumerate(symbols)), "utf-8")


def loudness(graph: OnnxGraph, energy: str) -> str:
    """1 where the mean energy is far above LOUD, 0 where it is far below."""
    over = graph.node("Sub", energy, graph.constant(floats(LOUD)))
    return graph.node("Sigmoid", graph.node("Mul", over, graph.constant(floats(2.0))))


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
    chosen = _counted(g, flat, g.node("Greater", flat, g.constant(floats(LOUD))), words)
    logits = g.node("Gather", g.constant(5 * np.eye(words + 1, dtype=np.float32)), chosen, axis=0)
    g.node("LogSoftmax", logits, outputs=["logprobs"], axis=-1)
    g.output("logprobs", "float32", (_N, "S", words + 1))
    kind = {"model_type": "EncDecCTCModelBPE", "vocab_size": words, "subsampling_factor": 4, "normalize_type": ""}
    save(g, folder / "model.int8.onnx", **kind)
    write_tokens(folder, NEMO)
    return folder


def _counted(g: OnnxGraph, frames: str, loud: str, words: int) -> str:
    """For each frame of [N, S] the number of its word, eight frames each; `words` where it is not loud."""
    one = g.constant(floats(1.0))
    ones = g.node("Add", g.node("Mul", frames, g.constant(floats(0.0))), one)
    count = g.node("Sub", g.node("CumSum", ones, g.constant(np.array(1, np.int64))), one)
    number = g.node("Floor", g.node("Div", count, g.constant(floats(8.0))))
    index = g.node("Mod", number, g.constant(floats(words)), fmod=1)
    return g.node("Cast", g.node("Where", loud, index, g.constant(floats(words))), to=7)


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
    chosen = _counted(g, flat, loud, words)
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


def whisper(folder: Path) -> Path:
    """A multilingual Whisper: as many words as there are thirds of a second of sound; which is the first of them
    depends on the language that it was told. By itself it finds German."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [" HELLO", " WORLD", " AGAIN"]
    eot, sot = len(texts), len(texts) + 1
    codes = [sot + 1 + place for place in range(len(LANGUAGES))]
    translate, transcribe, no_speech, no_timestamps = (codes[-1] + place for place in range(1, 5))
    vocabulary, state, context = no_timestamps + 1, 4, 64
    g = OnnxGraph()
    g.input("mel", "float32", (_N, 80, "T"))
    level = g.node("ReduceMean", "mel", g.constant(ints(1)), keepdims=1)
    loud = g.node("Cast", g.node("Greater", level, g.constant(floats(0.0))), to=1)
    count = g.node("Div", g.node("ReduceSum", loud, g.constant(ints(1, 2)), keepdims=0), g.constant(floats(CHUNK)))
    shaped = g.node("Unsqueeze", count, g.constant(ints(0, 2, 3)))
    for side in ("k", "v"):
        g.node("Mul", shaped, g.constant(np.ones((1, 1, 2, state), np.float32)), outputs=[f"n_layer_cross_{side}"])
        g.output(f"n_layer_cross_{side}", "float32", (1, _N, 2, state))
    facts = {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": state, "n_audio_head": 1, "n_audio_layer": 1}
    facts |= {"n_vocab": vocabulary, "n_text_ctx": context, "n_text_state": state, "n_text_head": 1, "n_text_layer": 1}
    marks = {"sot_sequence": f"{sot},{codes[0]},{transcribe}", "sot": sot, "eot": eot, "blank_id": 0}
    marks |= {"translate": translate, "transcribe": transcribe, "no_speech": no_speech, "no_timestamps": no_timestamps}
    marks |= {"sot_index": 0, "sot_prev": sot, "sot_lm": sot, "is_multilingual": 1, "non_speech_tokens": ""}
    marks |= {"all_language_tokens": ",".join(map(str, codes)), "all_language_codes": ",".join(LANGUAGES)}
    save(
        g,
        folder / "tiny-encoder.int8.onnx",
        model_type="whisper-tiny",
        version=1,
        maintainer="k2-fsa",
        **facts,
        **marks,
    )
    g = OnnxGraph()
    g.input("tokens", "int64", (_N, "n"))
    for side in ("k", "v"):
        g.input(f"in_n_layer_self_{side}_cache", "float32", (1, _N, context, state))
    for side in ("k", "v"):
        g.input(f"n_layer_cross_{side}", "float32", (1, _N, 2, state))
    g.input("offset", "int64", (1,))
    ones = g.node("Add", g.node("Mul", "tokens", g.constant(ints(0))), g.constant(ints(1)))
    within = g.node("Sub", g.node("CumSum", ones, g.constant(np.array(1, np.int64))), g.constant(ints(1)))
    place = g.node("Cast", g.node("Sub", g.node("Add", within, "offset"), g.constant(ints(3))), to=1)  # -1, 0, 1 …
    words = g.node(
        "Reshape",
        g.node("ReduceMean", "n_layer_cross_k", g.constant(ints(0, 2, 3)), keepdims=0),
        g.constant(ints(-1, 1)),
    )
    goes_on = g.node("Less", g.node("Add", place, g.constant(floats(2.0))), words)
    # The number of the language stays in the cache of each layer.
    since = g.node("Sub", "tokens", g.constant(ints(codes[0])))
    is_code = g.node(
        "And",
        g.node("GreaterOrEqual", since, g.constant(ints(0))),
        g.node("LessOrEqual", "tokens", g.constant(ints(codes[-1]))),
    )
    told = g.node(
        "ReduceSum",
        g.node("Cast", g.node("Where", is_code, since, g.constant(ints(0))), to=1),
        g.constant(ints(1)),
        keepdims=1,
    )
    wide = g.node("Unsqueeze", told, g.constant(ints(0, 3)))
    caches = [
        g.node("Add", f"in_n_layer_self_{side}_cache", wide, outputs=[f"out_n_layer_self_{side}_cache"])
        for side in ("k", "v")
    ]
    shift = g.node("ReduceMean", caches[0], g.constant(ints(0, 2, 3)), keepdims=0)
    shifted = g.node("Add", g.node("Abs", place), g.node("Reshape", shift, g.constant(ints(-1, 1))))
    said = g.node("Cast", g.node("Mod", shifted, g.constant(floats(3.0)), fmod=1), to=7)
    chosen = g.node("Where", goes_on, said, g.constant(ints(eot)))
    # After the sot alone: the language; else the words.
    is_sot = g.node("Equal", "tokens", g.constant(ints(sot)))
    chosen = g.node("Where", is_sot, g.constant(ints(codes[1])), chosen)
    g.node("Gather", g.constant(9 * np.eye(vocabulary, dtype=np.float32)), chosen, outputs=["logits"], axis=0)
    g.output("logits", "float32", (_N, "n", vocabulary))
    for side in ("k", "v"):
        g.output(f"out_n_layer_self_{side}_cache", "float32", (1, _N, context, state))
    save(g, folder / "tiny-decoder.int8.onnx")
    lines = [f"{base64.b64encode(text.encode()).decode()} {number}\n" for number, text in enumerate(texts)]
    (folder / "tiny-tokens.txt").write_text("".join(lines), "utf-8")
    return folder


def moonshine(folder: Path) -> Path:
    """Moonshine's first format: four graphs, a word for each third of a second of sound, and their order by the length
    of what was said."""
    folder.mkdir(parents=True, exist_ok=True)
    symbols = ("<unk>", "<s>", "</s>", *WORDS)
    block, first, end = 384, 3, 2
    g = OnnxGraph()
    g.input("audio", "float32", (1, "n"))
    level = g.node("Abs", g.node("Unsqueeze", "audio", g.constant(ints(1))))
    pooled = g.node("AveragePool", level, kernel_shape=(block,), strides=(block,))
    g.node("Transpose", pooled, outputs=["features"], perm=(0, 2, 1))
    g.output("features", "float32", (1, "T", 1))
    save(g, folder / "preprocess.onnx")
    g = OnnxGraph()
    g.input("features", "float32", (1, "T", 1))
    g.input("features_len", "int32", (1,))
    g.node("Identity", "features", outputs=["encoded"])
    g.node("Identity", "features_len", outputs=["unused"])
    g.output("encoded", "float32", (1, "T", 1))
    save(g, folder / "encode.int8.onnx")
    for part, cached in (("uncached", False), ("cached", True)):
        g = OnnxGraph()
        g.input("tokens", "int32", (1, 1))
        g.input("encoded", "float32", (1, "T", 1))
        g.input("seq_len", "int32", (1,))
        if cached:
            g.input("state", "float32", (1, 1))
        loud = g.node("Cast", g.node("Greater", "encoded", g.constant(floats(0.01))), to=1)
        words = g.node("Div", g.node("ReduceSum", loud, g.constant(ints(1, 2)), keepdims=0), g.constant(floats(14.0)))
        said = g.node("Sub", g.node("Cast", "seq_len", to=1), g.constant(floats(1.0)))
        word = g.node("Add", g.node("Mod", said, g.constant(floats(len(WORDS))), fmod=1), g.constant(floats(first)))
        chosen = g.node("Where", g.node("Less", said, words), word, g.constant(floats(end)))
        row = g.node(
            "Gather", g.constant(9 * np.eye(len(symbols), dtype=np.float32)), g.node("Cast", chosen, to=7), axis=0
        )
        g.node("Unsqueeze", row, g.constant(ints(0)), outputs=["logits"])
        g.output("logits", "float32", (1, 1, len(symbols)))
        g.node("Cast", "tokens", outputs=["next_state"], to=1)
        g.output("next_state", "float32", (1, 1))
        save(g, folder / f"{part}_decode.int8.onnx")
    write_tokens(folder, symbols)
    return folder


def canary(folder: Path) -> Path:
    """A word for each third of a second of sound; which is the first depends on the language that it was told."""
    folder.mkdir(parents=True, exist_ok=True)
    codes = tuple(f"<|{code}|>" for code in ("en", "de", "es", "fr"))
    marks = ("<|startofcontext|>", "<|startoftranscript|>", "<|emo:undefined|>", "<|pnc|>", "<|nopnc|>", "<|itn|>")
    marks += ("<|noitn|>", "<|timestamp|>", "<|notimestamp|>", "<|diarize|>", "<|nodiarize|>", "<|endoftext|>")
    symbols = ("<unk>", *marks, *codes, *WORDS)
    end, english, first = (symbols.index(symbol) for symbol in ("<|endoftext|>", "<|en|>", WORDS[0]))
    g = OnnxGraph()
    g.input("audio_signal", "float32", (_N, "T", 128))
    g.input("length", "int64", (_N,))
    g.node("ReduceMean", "audio_signal", g.constant(ints(2)), outputs=["states"], keepdims=1)
    g.node("Identity", "length", outputs=["lengths"])
    flat = g.node("Squeeze", "states", g.constant(ints(2)))
    g.node("Greater", flat, g.constant(floats(-1e9)), outputs=["mask"])
    g.output("states", "float32", (_N, "T", 1))
    g.output("lengths", "int64", (_N,))
    g.output("mask", "bool", (_N, "T"))
    kind = {"model_type": "EncDecMultiTaskModel", "normalize_type": "", "subsampling_factor": 8, "feat_dim": 128}
    save(g, folder / "encoder.int8.onnx", vocab_size=len(symbols), **kind)
    g = OnnxGraph()
    g.input("ids", "int32", (_N, "n"))
    for number in range(6):
        g.input(f"mems.{number}", "float32", (_N, "m", 1024))
    g.input("states", "float32", (_N, "T", 1))
    g.input("mask", "bool", (_N, "T"))
    g.output("logits", "float32", (_N, "n", len(symbols)))
    wide = g.node("Cast", "ids", to=1)
    new = g.node("Mul", g.node("Unsqueeze", wide, g.constant(ints(2))), g.constant(np.ones((1, 1, 1024), np.float32)))
    for number in range(6):
        g.node("Concat", f"mems.{number}", new, outputs=[f"next.{number}"], axis=1)
        g.output(f"next.{number}", "float32", (_N, "m2", 1024))
    # All tokens so far: those behind the prompt are words; the languages in it say where to begin.
    every = g.node("ReduceMax", "next.0", g.constant(ints(2)), keepdims=0)
    is_word = g.node("Cast", g.node("GreaterOrEqual", every, g.constant(floats(first))), to=1)
    said = g.node("ReduceSum", is_word, g.constant(ints(1)), keepdims=1)
    is_code = g.node(
        "And",
        g.node("GreaterOrEqual", every, g.constant(floats(english))),
        g.node("Less", every, g.constant(floats(first))),
    )
    since = g.node("Sub", every, g.constant(floats(english)))
    told = g.node(
        "ReduceSum", g.node("Where", is_code, since, g.constant(floats(0.0))), g.constant(ints(1)), keepdims=1
    )
    loud = g.node("Cast", g.node("Greater", "states", g.constant(floats(LOUD))), to=1)
    count = g.node("Div", g.node("ReduceSum", loud, g.constant(ints(1, 2)), keepdims=0), g.constant(floats(CHUNK)))
    goes_on = g.node("Less", said, g.node("Reshape", count, g.constant(ints(-1, 1))))
    turn = g.node("Mod", g.node("Add", said, told), g.constant(floats(len(WORDS))), fmod=1)
    chosen = g.node("Where", goes_on, g.node("Add", turn, g.constant(floats(first))), g.constant(floats(end)))
    eye = g.constant(9 * np.eye(len(symbols), dtype=np.float32))
    last = g.node("Gather", eye, g.node("Cast", chosen, to=7), axis=0)
    zeros = g.node("Mul", g.node("Unsqueeze", wide, g.constant(ints(2))), g.constant(floats(0.0)))
    g.node("Add", zeros, last, outputs=["logits"])
    save(g, folder / "decoder.int8.onnx")
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
