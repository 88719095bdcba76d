"""A Whisper in CTranslate2's format with weights set by hand: 0.4 MB, made in a few hundredths of a second.

It says "hello world." (in English) where its audio is quiet, and "loud noise." (in German) where it is noise of an
amplitude of about 0.2, or what it is made to say; each token is 0.3 s long. With timestamps asked for, it gives one
before and one behind.

How: a state of D numbers holds where it is (4), how loud it is (2), whether times are wanted (2), and the code of the
last token (24). Each vector is its own mirror image, so that its mean is 0 and a layer norm only scales it. A token's
row of the projection is the code of the token before it. Of the decoder's two heads that look at the audio, one looks
at frame 15 * (position - 3), which is what alignment reads, and one at the loudest frames.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import WhisperSpec

from hark.models.whisper import plugin as faster_whisper
from hark.models.whisper.words import byte_table

D, HEADS, MELS, FRAMES, STEP = 32, 2, 80, 1500, 15
QUIET, LOUD = (" hello", " world", "."), (" loud", " noise", ".")
LANGUAGES = [code if code != "jv" else "jw" for code in faster_whisper.LANGUAGES if code != "yue"]
SPECIAL = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{code}|>" for code in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
CHARS = {byte: char for char, byte in byte_table().items()}


def make(
    folder: Path,
    *,
    multilingual: bool = True,
    quiet: Sequence[str] = QUIET,
    loud: Sequence[str] = LOUD,
    loops: bool = False,
    sure: float = 0.5,
    no_speech: float = 0.4,
    aligns: bool = True,
) -> Path:
    """Writes the model's files. `loops`: what it says of noise it says for ever. `sure`: how much likelier a token is
    than others; at 0.1 it believes in none. `no_speech`: how sure it is that there is none, by 1 quite."""
    folder.mkdir(parents=True, exist_ok=True)
    text, merges = _text(dict.fromkeys((*quiet, *loud)))
    # CTranslate2 takes a vocabulary that has the token "" for multilingual; Whisper's has it.
    tokens = [*text, *([""] if multilingual else []), *SPECIAL, *(f"<|{at * 0.02:.2f}|>" for at in range(1501))]
    ids = {token: place for place, token in enumerate(tokens)}
    spec = WhisperSpec(1, HEADS, 1, HEADS)
    _encoder(spec.encoder)
    _decoder(spec.decoder, len(tokens), first=3 if multilingual else 1)
    said = [[ids[_spelled(word)] for word in words] for words in (quiet, loud)]
    _speech(spec.decoder, ids, said, loops=loops, sure=sure, no_speech=no_speech)
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [ids[CHARS[32]], ids["<|endoftext|>"]]
    spec.config.lang_ids = [ids[f"<|{code}|>"] for code in LANGUAGES]
    spec.config.alignment_heads = [[0, 0]] if aligns else []
    spec.validate()
    spec.optimize(quantization="int8")
    spec.save(str(folder))
    _write_tokenizer(folder / "tokenizer.json", text, merges, ids)
    return folder


def _spelled(word: str) -> str:
    return "".join(CHARS[byte] for byte in word.encode())


def _text(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """All bytes, and the words with what they are merged from."""
    text, merges = list(CHARS.values()), []
    for word in words:
        chars = _spelled(word)
        for count in range(2, len(chars) + 1):
            if chars[:count] not in text:
                text.append(chars[:count])
                merges.append(f"{chars[: count - 1]} {chars[count - 1]}")
    return text, merges


def _write_tokenizer(path: Path, text: Sequence[str], merges: Sequence[str], ids: dict[str, int]) -> None:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    bare = dict.fromkeys(("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"))
    vocabulary = {token: ids[token] for token in (*text, *SPECIAL)}
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": ids[token], "content": token, **plain} for token in SPECIAL],
        "normalizer": None,
        "pre_tokenizer": byte,
        "post_processor": None,
        "decoder": byte,
        "model": {
            "type": "BPE",
            **bare,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocabulary,
            "merges": merges,
        },
    }
    path.write_text(json.dumps(whole), "utf-8")


# ---- the network ---------------------------------------------------------------------------------------------------


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def _circle(at: np.ndarray) -> np.ndarray:
    """Where a frame is: near another only if their numbers are."""
    angle = np.pi / FRAMES * at
    return np.stack([np.cos(angle), np.sin(angle), -np.cos(angle), -np.sin(angle)], -1)


def _norm(spec: Any) -> None:
    spec.gamma, spec.beta = np.ones(D, np.float32), zeros(D)


def _linear(spec: Any, out: int) -> None:
    spec.weight, spec.bias = zeros(out, D), zeros(out)


def _layer(layer: Any) -> None:
    _norm(layer.self_attention.layer_norm)
    _linear(layer.self_attention.linear[0], 3 * D)
    _linear(layer.self_attention.linear[1], D)
    _norm(layer.ffn.layer_norm)
    _linear(layer.ffn.linear_0, D)
    _linear(layer.ffn.linear_1, D)


def _encoder(spec: Any) -> None:
    """Frames with their place in 0 to 3, and in 4 how far the mean of the mel bands is above 0.6."""
    for conv, bands in ((spec.conv1, MELS), (spec.conv2, D)):
        conv.weight, conv.bias = zeros(D, bands, 3), zeros(D)
    spec.conv1.weight[4, :, 1] = 8 / MELS
    spec.conv1.bias[4] = -8 * 0.6
    spec.conv2.weight[4, 4, 1] = 0.1
    spec.position_encodings.encodings = zeros(FRAMES, D)
    spec.position_encodings.encodings[:, :4] = 4 * _circle(np.arange(FRAMES))
    _norm(spec.layer_norm)
    for layer in spec.layer:
        _layer(layer)


def _decoder(spec: Any, vocabulary: int, first: int) -> None:
    spec.embeddings.weight, spec.projection.weight = zeros(vocabulary, D), zeros(vocabulary, D)
    spec.position_encodings.encodings = zeros(448, D)
    spec.position_encodings.encodings[:, :4] = _circle(STEP * (np.arange(448) - first))
    _norm(spec.layer_norm)
    for layer in spec.layer:
        _layer(layer)
        own = layer.self_attention.linear  # its first head carries 6 and 7 on
        own[0].bias[0], own[0].weight[D, 6], own[0].weight[2 * D, 6] = 20, 20, 1
        own[1].weight[6, 0], own[1].weight[7, 0] = 1, -1
        _norm(layer.attention.layer_norm)
        for part, size in zip(layer.attention.linear, (D, 2 * D, D), strict=True):
            _linear(part, size)
        query, memory, out = layer.attention.linear
        head = D // HEADS
        for place in range(4):
            query.weight[place, place], memory.weight[place, place] = 600, 20
        query.bias[head] = 100
        memory.weight[head, 4] = memory.weight[D + head, 4] = 10
        out.weight[4, head], out.weight[5, head] = 1.2, -1.2
        out.bias[4], out.bias[5] = -0.6, 0.6


def _speech(
    spec: Any, ids: dict[str, int], said: list[list[int]], *, loops: bool, sure: float, no_speech: float
) -> None:
    """Which token follows which: by the last one, and where two may, by loudness."""
    start, transcribe, untimed, begin, end, over = (
        ids[f"<|{name}|>"] for name in ("startoftranscript", "transcribe", "notimestamps", "0.00", "1.00", "endoftext")
    )
    embed, project = spec.embeddings.weight, spec.projection.weight
    chance, codes = np.random.default_rng(0), []
    used = list(dict.fromkeys([start, transcribe, untimed, begin, end, *said[0], *said[1]]))
    while len(codes) < len(used):
        code = chance.choice([-1.0, 1.0], 12)
        if all(abs(code @ other) <= 4 for other in codes):
            codes.append(code)
    embed[:, 8:] = np.concatenate([np.ones(12), -np.ones(12)])
    for token, code in zip(used, codes, strict=True):
        embed[token, 8:] = np.concatenate([code, -code])
    follows = [(transcribe, begin, 0), (start, begin, 0), (end, over, 0)]
    follows += [(start, ids["<|en|>"], -1), (start, ids["<|de|>"], 1)]
    for words, level in zip(said, (-1, 1), strict=True):
        follows += [(untimed, words[0], level), (begin, words[0], level)]
        follows += [(one, other, 0) for one, other in pairwise(words)]
        again = loops and level == 1
        follows += [(words[-1], words[0], 0)] if again else [(words[-1], end, 0)]
        if not again:
            project[over, 8:] += sure / 2 * embed[words[-1], 8:]
    for before, after, level in dict.fromkeys(follows):
        project[after, 8:] += sure * embed[before, 8:]
        if level:
            project[after, 4:6] = level, -level
    project[ids["<|nospeech|>"], 8:] += no_speech * embed[start, 8:]
    embed[untimed, 6:8] = 1, -1
    project[end, 6:8] = -2, 2
    project[over, 6:8] = 2, -2


def watched(engine):
    """What CTranslate2 is asked to generate for this engine, from here on: (prompts, options)."""
    asked, network = [], engine._network

    class Watched:
        def __getattr__(self, name):
            return getattr(network, name)

        def generate(self, encoded, prompts, **options):
            asked.append((prompts, options))
            return network.generate(encoded, prompts, **options)

    engine._network = Watched()
    return asked
