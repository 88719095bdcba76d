"""The two graphs of Moonshine tiny-en, built anew around the weights that are pulled.

Why: the published graphs are traced, and over half of a decoder step goes into a thousand small nodes that work out
shapes, pad heads and build masks. These here hold what is computed and nothing else, about a hundred nodes, with
onnxruntime's own operators for attention and rotary positions, and the same 8-bit weights.

    encoder   samples [1, n]                                 -> memory [layers * 2, heads, frames, head]: what the
                                                                decoder reads off the utterance, keys and values
    decoder   tokens, positions [rows, steps], the memory,   -> logits [wanted, vocabulary], and the cache with these
              the cache, what of both may be looked at, and     steps behind it
              after which of all steps a token is wanted

The decoder's activations are quantised in blocks of 32 (the published one takes the whole batch at once). So a row's
numbers do not depend on its neighbours, nor on how many tokens are run at a time, and are closer to unquantised ones.
The encoder, which runs for one utterance at a time, quantises as published.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hark.models.onnx.ortfile import OrtGraph
from hark.models.onnx.writing import CONTRIB, OnnxGraph

LAYERS: Final = 6
HEADS: Final = 8
HEAD_SIZE: Final = 36
WIDTH: Final = HEADS * HEAD_SIZE
VOCABULARY: Final = 32_768
ROTARY: Final = 32  # numbers of a head that are turned by its position
BLOCK: Final = 32
EPSILON: Final = 1e-5
MAX_POSITIONS: Final = 1024  # of the decoder: what is said in two and a half minutes

MEMORY: Final = tuple(f"memory.{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value"))
PAST: Final = tuple(f"past.{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value"))
PRESENT: Final = tuple(f"present.{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value"))

Array = NDArray[Any]


class Weights(Struct, frozen=True):
    """A matrix uint8 [inputs, outputs] with its scale and zero point for each output, and maybe a bias."""

    values: Array
    scale: Array
    zero_point: Array
    bias: Array | None = None


def beside(parts: Sequence[Weights]) -> Weights:
    """One matrix that gives the outputs of all `parts`, which read the same input."""
    return Weights(
        np.concatenate([part.values for part in parts], axis=1),
        np.concatenate([part.scale for part in parts]),
        np.concatenate([part.zero_point for part in parts]),
    )


class Published:
    """The weights of a published graph, by the names of the layers in it. Raises LookupError."""

    def __init__(self, graph: OrtGraph, root: str) -> None:
        self._graph = graph
        self._root = root

    def matrix(self, layer: str) -> Weights:
        """What the linear layer of this name multiplies with."""
        ends = ("Add_output_0", "MatMul_output_0")
        node = next(filter(None, (self._graph.producer(f"/{self._root}{layer}/{end}") for end in ends)), None)
        if node is None:
            raise LookupError(layer)
        quantized = next(name for name in node.inputs if name.endswith("_quantized") and name in self._graph.constants)
        stem = quantized.removesuffix("_quantized")
        bias = node.inputs[-1] if node.inputs[-1].endswith((".bias", ".bias_merged_0")) else None
        return self.quantized(stem, None if bias is None else self.constant(bias))

    def quantized(self, stem: str, bias: Array | None = None) -> Weights:
        values = self.constant(f"{stem}_quantized")
        scale, zero = self.constant(f"{stem}_scale"), self.constant(f"{stem}_zero_point")
        outputs = values.shape[-1]
        return Weights(values, np.full(outputs, scale, np.float32), np.full(outputs, zero, np.uint8), bias)

    def constant(self, name: str) -> Array:
        return self._graph.constants[name]

    def norm(self, layer: str, suffix: str = "") -> Array:
        path = f"{self._root}{layer}".replace("/", ".")
        return self.constant(f"{path}.weight{suffix}")


def encoder(graph: OrtGraph, decoder_graph: OrtGraph, signed: bool) -> bytes:
    """The encoder, and behind it the part of the decoder that reads its states once: an .onnx file. `signed`: weights
    are given as signed numbers, for the same products; see `exact_signed`."""
    source, reader = Published(graph, ""), Published(decoder_graph, "model/decoder/")
    made = OnnxGraph()
    states = _front(made, source, made.input("samples", "float32", (1, "samples")))
    cosines, sines = _angles(made, source.constant("onnx::Expand_202"), states)
    start = made.constant(np.zeros(1, np.int64))
    heard = _norm(made, states, source.norm("layers.0/input_layernorm"))
    for layer in range(LAYERS):
        path = f"layers.{layer}"
        joint = beside([source.matrix(f"{path}/self_attn/{part}_proj") for part in "qkv"])
        query, key, value = _thirds(made, _dynamic(made, heard, joint, signed))
        query, key = (_turned(made, part, start, cosines, sines) for part in (query, key))
        mixed = made.node("MultiHeadAttention", query, key, value, domain=CONTRIB, num_heads=HEADS)
        change = _dynamic(made, mixed, source.matrix(f"{path}/self_attn/o_proj"), signed)
        states, heard = _added(made, states, change, source.norm(f"{path}/post_attention_layernorm"))
        wide = made.node("Gelu", _dynamic(made, heard, source.matrix(f"{path}/mlp/fc1"), signed), domain=CONTRIB)
        last = layer == LAYERS - 1
        gain = source.norm("layer_norm" if last else f"layers.{layer + 1}/input_layernorm")
        states, heard = _added(made, states, _dynamic(made, wide, source.matrix(f"{path}/mlp/fc2"), signed), gain)
    names = [f"layers.{layer}/encoder_attn/{part}_proj" for layer in range(LAYERS) for part in "kv"]
    memory = _dynamic(made, heard, beside([reader.matrix(name) for name in names]), signed)
    shape = made.constant(np.array([-1, 2 * LAYERS, HEADS, HEAD_SIZE], np.int64))
    made.node("Transpose", made.node("Reshape", memory, shape), outputs=["memory"], perm=(1, 2, 0, 3))
    made.output("memory", "float32", (2 * LAYERS, HEADS, "frames", HEAD_SIZE))
    return made.serialized()


def decoder(graph: OrtGraph, blockwise: bool) -> bytes:
    """The decoder as an .onnx file. `blockwise` is false where `exact_blockwise` is: then all is quantised as
    published, and rows do depend on their neighbours a little."""
    product = _blockwise if blockwise else _dynamic
    source = Published(graph, "model/decoder/")
    made = OnnxGraph()
    tokens = made.input("tokens", "int64", ("rows", "steps"))
    positions = made.input("positions", "int64", ("rows", "steps"))
    seen = made.input("seen", "float32", ("rows", 1, "steps", "all"))  # 0, or far below it what may not be looked at
    spoken = made.input("spoken", "int32", ("rows", "frames"))  # 1, or 0 for padding behind the utterance
    wanted = made.input("wanted", "int64", ("wanted",))
    for memory, past in zip(MEMORY, PAST, strict=True):
        made.input(memory, "float32", ("rows", HEADS, "frames", HEAD_SIZE))
        made.input(past, "float32", ("rows", HEADS, "cached", HEAD_SIZE))
    vocabulary = source.quantized("model.decoder.embed_tokens.weight_merged_0")
    states = _embedded(made, vocabulary, tokens)
    cosines, sines = (made.constant(part) for part in _turns(source.constant("onnx::Expand_219")))
    heard = _norm(made, states, source.norm("layers.0/input_layernorm", "_merged_0"))
    for layer in range(LAYERS):
        path, keys = f"layers.{layer}", 2 * layer
        joint = beside([source.matrix(f"{path}/self_attn/{part}_proj") for part in "qkv"])
        query, key, value = _thirds(made, product(made, heard, joint))
        query, key = (_turned(made, part, positions, cosines, sines) for part in (query, key))
        mixed = made.node(
            "MultiHeadAttention", query, key, value, "", "", seen, PAST[keys], PAST[keys + 1],
            outputs=[f"mixed.{layer}", PRESENT[keys], PRESENT[keys + 1]], domain=CONTRIB, num_heads=HEADS,
        )  # fmt: skip
        change = product(made, mixed, source.matrix(f"{path}/self_attn/o_proj"))
        states, heard = _added(made, states, change, source.norm(f"{path}/post_attention_layernorm", "_merged_0"))
        query = product(made, heard, source.matrix(f"{path}/encoder_attn/q_proj"))
        mixed = made.node(
            "MultiHeadAttention", query, MEMORY[keys], MEMORY[keys + 1], "", spoken,
            domain=CONTRIB, num_heads=HEADS,
        )  # fmt: skip
        change = product(made, mixed, source.matrix(f"{path}/encoder_attn/o_proj"))
        states, heard = _added(made, states, change, source.norm(f"{path}/final_layernorm", "_merged_0"))
        wide = product(made, heard, source.matrix(f"{path}/mlp/fc1"))
        carried, gate = made.nodes("Split", wide, count=2, axis=-1, num_outputs=2)
        gated = made.node("Mul", made.node("QuickGelu", gate, domain=CONTRIB, alpha=1.0), carried)
        change = product(made, gated, source.matrix(f"{path}/mlp/fc2"))
        last = layer == LAYERS - 1
        gain = source.norm("norm" if last else f"layers.{layer + 1}/input_layernorm", "_merged_0")
        states, heard = _added(made, states, change, gain)
    heard = made.node("Reshape", heard, made.constant(np.array([-1, WIDTH], np.int64)))
    product(made, made.node("Gather", heard, wanted), _transposed(vocabulary), outputs=["logits"])
    made.output("logits", "float32", ("wanted", VOCABULARY))
    for present in PRESENT:
        made.output(present, "float32", ("rows", HEADS, "all", HEAD_SIZE))
    return made.serialized()


def _front(made: OnnxGraph, source: Published, samples: str) -> str:
    """Samples [1, n] to states [1, frames, width], by three convolutions."""
    channel = made.node("Unsqueeze", samples, made.constant(np.array([1], np.int64)))
    first = made.node("Conv", channel, made.constant(source.constant("conv1.weight_add_tensor")), strides=(64,))
    first = made.node("Tanh", first)
    whole = made.node("Reshape", first, made.constant(np.array([1, 1, -1], np.int64)))
    one, none = made.constant(np.ones(1, np.float32)), made.constant(np.zeros(1, np.float32))
    level = made.node("InstanceNormalization", whole, one, none, epsilon=EPSILON)
    level = made.node("Reshape", level, made.node("Shape", first))
    level = made.node("Mul", level, made.constant(source.constant("onnx::Mul_2080")))
    states = made.node("Add", level, made.constant(source.constant("onnx::Add_2081")))
    for name, stride in (("conv2", 3), ("conv3", 2)):
        kernel, bias = source.constant(f"{name}.weight_add_tensor"), source.constant(f"{name}.bias")
        states = made.node("Conv", states, made.constant(kernel), made.constant(bias), strides=(stride,))
        states = made.node("Gelu", states, domain=CONTRIB)
    return made.node("Transpose", states, perm=(0, 2, 1))


def _angles(made: OnnxGraph, frequencies: Array, states: str) -> tuple[str, str]:
    """Cosines and sines [frames, ROTARY / 2] for as many frames as `states` have."""
    length = made.node("Shape", states, start=1, end=2)
    length = made.node("Squeeze", length)
    zero, one = made.constant(np.array(0, np.int64)), made.constant(np.array(1, np.int64))
    frames = made.node("Cast", made.node("Range", zero, length, one), to=1)
    column = made.node("Unsqueeze", frames, made.constant(np.array([1], np.int64)))
    angles = made.node("Mul", column, made.constant(frequencies.reshape(1, ROTARY // 2)))
    return made.node("Cos", angles), made.node("Sin", angles)


def _turns(frequencies: Array) -> tuple[Array, Array]:
    angles = np.arange(MAX_POSITIONS, dtype=np.float32)[:, None] * frequencies.reshape(1, ROTARY // 2)
    return np.cos(angles), np.sin(angles)


def _turned(made: OnnxGraph, states: str, positions: str, cosines: str, sines: str) -> str:
    return made.node(
        "RotaryEmbedding", states, positions, cosines, sines,
        domain=CONTRIB, num_heads=HEADS, rotary_embedding_dim=ROTARY, interleaved=1,
    )  # fmt: skip


def _thirds(made: OnnxGraph, joint: str) -> list[str]:
    return made.nodes("Split", joint, count=3, axis=-1, num_outputs=3)


def _norm(made: OnnxGraph, states: str, gain: Array) -> str:
    none = made.constant(np.zeros(WIDTH, np.float32))
    return made.node("LayerNormalization", states, made.constant(gain), none, axis=-1, epsilon=EPSILON)


def _added(made: OnnxGraph, states: str, change: str, gain: Array) -> tuple[str, str]:
    """The sum of both, and the same levelled."""
    total = made.node("Add", states, change)
    return total, _norm(made, total, gain)


def _dynamic(made: OnnxGraph, states: str, weights: Weights, signed: bool = False, outputs: Sequence[str] = ()) -> str:
    """A product whose input is quantised as a whole."""
    values, zero_point = weights.values, weights.zero_point
    if signed:
        values, zero_point = ((part ^ 0x80).view(np.int8) for part in (values, zero_point))
    parts = [made.constant(part) for part in (values, weights.scale, zero_point)]
    if weights.bias is not None:
        parts.append(made.constant(weights.bias))
    return made.node("DynamicQuantizeMatMul", states, *parts, outputs=outputs, domain=CONTRIB)


def _blockwise(made: OnnxGraph, states: str, weights: Weights, outputs: Sequence[str] = ()) -> str:
    """A product whose input is quantised in blocks of a row."""
    inputs, count = weights.values.shape
    blocks = inputs // BLOCK
    parts = [
        made.constant(weights.values.T.reshape(count, blocks, BLOCK)),
        made.constant(weights.scale.repeat(blocks)),
        made.constant(weights.zero_point.repeat(blocks)),
    ]
    if weights.bias is not None:
        parts += ["", made.constant(weights.bias)]
    return made.node(
        "MatMulNBits", states, *parts,
        outputs=outputs, domain=CONTRIB, K=inputs, N=count, bits=8, block_size=BLOCK, accuracy_level=4,
    )  # fmt: skip


def _embedded(made: OnnxGraph, vocabulary: Weights, tokens: str) -> str:
    row = made.node("Gather", made.constant(vocabulary.values), tokens)
    scale, zero = made.constant(vocabulary.scale[0]), made.constant(vocabulary.zero_point[0])
    return made.node("DequantizeLinear", row, scale, zero)


def _transposed(vocabulary: Weights) -> Weights:
    scale, zero = vocabulary.scale[0], vocabulary.zero_point[0]
    return Weights(vocabulary.values.T, np.full(VOCABULARY, scale), np.full(VOCABULARY, zero))


def probe(blockwise: bool) -> bytes:
    """The largest products that can be, added up, as an .onnx file: for WIDTH ones blockwise ones give 127 * WIDTH, and
    signed ones -128 * WIDTH."""
    made = OnnxGraph()
    states = made.input("states", "float32", ("rows", WIDTH))
    value = 255 if blockwise else 0
    extreme = Weights(
        np.full((WIDTH, WIDTH), value, np.uint8), np.ones(WIDTH, np.float32), np.full(WIDTH, 128, np.uint8)
    )
    if blockwise:
        _blockwise(made, states, extreme, outputs=["product"])
    else:
        _dynamic(made, states, extreme, signed=True, outputs=["product"])
    made.output("product", "float32", ("rows", WIDTH))
    return made.serialized()
