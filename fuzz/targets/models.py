"""Model files: what reads ONNX, onnxruntime's own format, and the metadata beside a graph. The first byte chooses.

A file of the models folder may come from anywhere; what is wrong with one is an OperatorError.
"""

import tempfile
from pathlib import Path

import numpy as np

from hark.errors import OperatorError
from hark.models.onnx.metadata import read_metadata
from hark.models.onnx.ortfile import IDENTIFIER, read_graph
from hark.models.onnx.weights import read_weights

SHAPES = {"w": (2, 3), "empty": (0, 5)}
TOKENS = [
    b"ORTM",
    b"\x01w",
    b"\x05empty",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x10\x01",
    b"\x08\x02\x08\x03",
]


def _field(number, value):
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def seeds():
    weights = np.arange(6, dtype="<f4").tobytes()
    tensor = _field(1, 2) + _field(1, 3) + _field(2, 1) + _field(8, b"w") + _field(9, weights)
    empty = _field(1, b"\x00\x05") + _field(2, 1) + _field(8, b"empty") + _field(9, b"")
    pair = _field(14, _field(1, b"key") + _field(2, b"value"))
    model = _field(7, _field(5, tensor) + _field(5, empty)) + pair
    for place in range(2):
        yield f"onnx-{place}", bytes([place]) + model
    # A table of the flatbuffer points back to a table of fields; here both stand at the front.
    table = b"\x10\0\0\0" + IDENTIFIER + b"\x08\0\x08\0\x04\0\x04\0" + b"\x08\0\0\0" + b"\x04\0\0\0" * 12
    yield "ort", b"\x02" + table


def check(data):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data[1:])
        file.flush()
        path = Path(file.name)
        try:
            match data[:1]:
                case b"\x00":
                    assert {name: array.shape for name, array in read_weights(path, SHAPES).items()} == SHAPES
                case b"\x01":
                    assert all(isinstance(text, str) for pair in read_metadata(path).items() for text in pair)
                case _:
                    read_graph(path)
        except OperatorError as error:
            assert len(error.message) > 15
