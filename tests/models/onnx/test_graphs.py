"""Graphs: what is written runs as written, and what is read is what a file holds."""

from pathlib import Path

import numpy as np
import pytest

from hark.errors import OperatorError
from hark.models.files.pull import models_folder
from hark.models.onnx.opening import open_graph
from hark.models.onnx.ortfile import read_graph
from hark.models.onnx.writing import CONTRIB, OnnxGraph

DECODER = models_folder(None) / "moonshine-tiny-en" / "decoder_model_merged.ort"


def test_a_written_graph_computes() -> None:
    made = OnnxGraph()
    numbers = made.input("numbers", "float32", ("rows", 4))
    doubled = made.node("Mul", numbers, made.constant(np.float32([2, 2, 2, -2])))
    front, back = made.nodes("Split", doubled, count=2, axis=-1, num_outputs=2)
    made.node("QuickGelu", front, outputs=["front"], domain=CONTRIB, alpha=1000.0)
    made.node("Transpose", back, outputs=["back"], perm=(1, 0))
    made.output("front", "float32", ("rows", 2))
    made.output("back", "float32", (2, "rows"))
    front_out, back_out = open_graph(made.serialized(), 1).run(None, {"numbers": np.float32([[1, -1, 3, 4]] * 300)})
    assert front_out.tolist() == [[2.0, -0.0]] * 300
    assert back_out.tolist() == [[6.0] * 300, [-8.0] * 300]


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8", "int32", "int64", "bool"])
def test_constants_of_every_type_come_through(dtype: str) -> None:
    made = OnnxGraph()
    values = np.array([[0, 1, 100]], dtype)
    unused = made.input("unused", "int64", (1,))
    made.node("Identity", made.constant(values), outputs=["values"])
    made.node("Identity", unused, outputs=["used"])
    made.output("values", dtype, (1, 3))
    made.output("used", "int64", (1,))
    came = open_graph(made.serialized(), 1).run(["values"], {"unused": np.zeros(1, np.int64)})[0]
    assert came.dtype == values.dtype
    assert np.array_equal(came, values)


def test_a_graph_that_cannot_run_is_the_operators_matter() -> None:
    made = OnnxGraph()
    made.node("NoSuchOperator", made.input("x", "float32", (1,)), outputs=["y"])
    made.output("y", "float32", (1,))
    with pytest.raises(OperatorError, match=r"cannot run a graph that Hark made.*1\.22 or later"):
        open_graph(made.serialized(), 1)


def test_nodes_and_constants_are_read_out_of_a_file_subgraphs_too() -> None:
    graph = read_graph(DECODER)
    vocabulary = graph.constants["model.decoder.embed_tokens.weight_merged_0_quantized"]
    assert (vocabulary.shape, vocabulary.dtype) == ((32_768, 288), np.uint8)
    logits = graph.producer("logits")
    assert logits is not None
    assert logits.op == "DynamicQuantizeMatMul"
    assert logits.inputs[0] == "/model/decoder/norm/LayerNormalization_output_0"
    assert graph.producer("nothing") is None


@pytest.mark.parametrize("size", [0, 3, 8, 40, 4_000, 1_000_000, 20_000_000])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "graph.ort"
    path.write_bytes(DECODER.read_bytes()[:size])
    with pytest.raises(OperatorError, match=r"cannot be read.*hark pull"):
        read_graph(path)


def test_another_format_and_no_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "graph.ort"
    with pytest.raises(OperatorError, match=r"missing.*hark pull"):
        read_graph(path)
    path.write_bytes(b"not a graph at all, but long enough to have been one")
    with pytest.raises(OperatorError, match=r"cannot be read.*hark pull"):
        read_graph(path)
