"""Reads the weights out of a graph in ONNX Runtime's own format (.ort).

onnxruntime runs such a file and gives nothing of it back, so the part of it that is wanted is read here: its nodes and
its constants, subgraphs included. The format is a flatbuffer: a table knows where its fields lie by a second table, and
the numbers below are the places of the fields there, after onnxruntime's schema (onnxruntime/core/flatbuffers/schema).
Refuses: whatever is no such file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hark.errors import OperatorError

IDENTIFIER: Final = b"ORTM"
SESSION_MODEL: Final = 1
MODEL_GRAPH: Final = 7
GRAPH_INITIALIZERS, GRAPH_NODES = 0, 2
NODE_OP_TYPE, NODE_INPUTS, NODE_OUTPUTS, NODE_ATTRIBUTES = 5, 8, 9, 10
ATTRIBUTE_GRAPH: Final = 7
TENSOR_NAME, TENSOR_DIMS, TENSOR_TYPE, TENSOR_DATA = 0, 2, 3, 4
DTYPES: Final[dict[int, Any]] = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_}


class Node(Struct, frozen=True):
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class OrtGraph(Struct, frozen=True):
    """All nodes and constants of a file; the subgraphs of one share names with it, and what they share is one thing."""

    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]

    def producer(self, output: str) -> Node | None:
        """The last node that gives `output`."""
        return next((node for node in reversed(self.nodes) if output in node.outputs), None)


def read_graph(path: Path) -> OrtGraph:
    """Raises OperatorError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OperatorError(f"A model file is missing: {path} was expected. Run `hark pull` to fetch it.") from error
    try:
        if data[4:8] != IDENTIFIER:
            raise ValueError
        graph = _Table(data, _uint(data, 0)).table(SESSION_MODEL).table(MODEL_GRAPH)
        nodes: list[Node] = []
        constants: dict[str, NDArray[Any]] = {}
        _collect(graph, nodes, constants)
    except (ValueError, LookupError, struct.error, RecursionError) as error:  # the last: a graph that holds itself
        raise OperatorError(
            f"A model file cannot be read: a graph in onnxruntime's own format was expected in {path}. Remove the file "
            "and run `hark pull` to fetch it again."
        ) from error
    return OrtGraph(tuple(nodes), constants)


def _collect(graph: _Table, nodes: list[Node], constants: dict[str, NDArray[Any]]) -> None:
    for tensor in graph.tables(GRAPH_INITIALIZERS):
        dims = np.frombuffer(tensor.raw(TENSOR_DIMS, 8), np.int64)
        dtype = DTYPES[tensor.int32(TENSOR_TYPE)]
        constants[tensor.text(TENSOR_NAME)] = np.frombuffer(tensor.raw(TENSOR_DATA, 1), dtype).reshape(dims)
    for node in graph.tables(GRAPH_NODES):
        nodes.append(Node(node.text(NODE_OP_TYPE), node.texts(NODE_INPUTS), node.texts(NODE_OUTPUTS)))
        for attribute in node.tables(NODE_ATTRIBUTES):
            if attribute.has(ATTRIBUTE_GRAPH):
                _collect(attribute.table(ATTRIBUTE_GRAPH), nodes, constants)


def _uint(data: bytes, place: int) -> int:
    value: int = struct.unpack_from("<I", data, place)[0]
    return value


class _Table:
    """A table of the flatbuffer at `place`; fields are asked for by their number."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data = data
        self._place = place
        self._fields = place - struct.unpack_from("<i", data, place)[0]
        self._size = struct.unpack_from("<H", data, self._fields)[0]

    def has(self, field: int) -> bool:
        return self._find(field) is not None

    def table(self, field: int) -> _Table:
        return _Table(self._data, self._follow(field))

    def tables(self, field: int) -> Iterator[_Table]:
        for place in self._vector(field):
            yield _Table(self._data, place + _uint(self._data, place))

    def int32(self, field: int) -> int:
        place = self._find(field)
        return 0 if place is None else struct.unpack_from("<i", self._data, place)[0]

    def text(self, field: int) -> str:
        return self.raw(field, 1).decode()

    def texts(self, field: int) -> tuple[str, ...]:
        return tuple(self._run(place + _uint(self._data, place), 1).decode() for place in self._vector(field))

    def raw(self, field: int, size: int) -> bytes:
        """A vector of numbers of `size` bytes, or a text."""
        return self._run(self._follow(field), size) if self.has(field) else b""

    def _run(self, place: int, size: int) -> bytes:
        length = _uint(self._data, place) * size
        if place + 4 + length > len(self._data):
            raise ValueError
        return self._data[place + 4 : place + 4 + length]

    def _vector(self, field: int) -> range:
        if not self.has(field):
            return range(0)
        place = self._follow(field)
        return range(place + 4, place + 4 + 4 * _uint(self._data, place), 4)

    def _follow(self, field: int) -> int:
        place = self._find(field)
        if place is None:
            raise LookupError(field)
        return place + _uint(self._data, place)

    def _find(self, field: int) -> int | None:
        entry = 4 + 2 * field
        offset = struct.unpack_from("<H", self._data, self._fields + entry)[0] if entry < self._size else 0
        return self._place + offset if offset else None
