"""Stand-ins of sherpa-onnx's models that write token by token: Whisper, Moonshine, Canary (see sherpa_standins.py)."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

from hark.models.onnx.writing import OnnxGraph
from sherpa_parts import CHUNK, LOUD, WORDS, floats, ints, save, write_tokens

LANGUAGES = ("en", "de", "fr")
_N = "N"


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
