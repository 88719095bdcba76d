"""Writes ONNX graphs: nodes are added one after another, and the result is what onnxruntime opens.

The few messages of ONNX that a graph needs are put down here (numbers of fields after onnx.proto), so that Hark does
without the onnx package, which is made for training and would come with 30 MB. Refuses: nothing; onnxruntime checks
what it is given.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

IR_VERSION: Final = 9
OPSET: Final = 18
CONTRIB: Final = "com.microsoft"
TYPES: Final[dict[str, int]] = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9}

Value: TypeAlias = int | float | str | Sequence[int]


class OnnxGraph:
    """A graph in the making. Values go by name; what `node` and `constant` return is one."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._ends: list[bytes] = []
        self._metadata: list[bytes] = []
        self._count = 0

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """A side of `shape` is a number, or a name where it is known only at each run."""
        self._ends.append(_chunk(11, _declared(name, dtype, shape)))
        return name

    def output(self, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        self._ends.append(_chunk(12, _declared(name, dtype, shape)))

    def constant(self, array: NDArray[Any]) -> str:
        name = self._name("c")
        tensor = b"".join(_number(1, side) for side in array.shape)
        tensor += _number(2, TYPES[array.dtype.name]) + _chunk(8, name.encode())
        self._constants.append(_chunk(5, tensor + _chunk(9, np.ascontiguousarray(array).tobytes())))
        return name

    def node(self, op: str, *inputs: str, outputs: Sequence[str] = (), domain: str = "", **attributes: Value) -> str:
        """Adds a node; the names of its outputs are made up if none are given. Returns the first of them."""
        names = list(outputs) or [self._name(op)]
        parts = [_chunk(1, name.encode()) for name in inputs]
        parts += [_chunk(2, name.encode()) for name in names]
        parts += [_chunk(4, op.encode())]
        parts += [_chunk(5, _attribute(name, value)) for name, value in attributes.items()]
        parts += [_chunk(7, domain.encode())]
        self._nodes.append(_chunk(1, b"".join(parts)))
        return names[0]

    def nodes(self, op: str, *inputs: str, count: int, domain: str = "", **attributes: Value) -> list[str]:
        """Adds a node of several outputs and returns them."""
        names = [self._name(op) for _ in range(count)]
        self.node(op, *inputs, outputs=names, domain=domain, **attributes)
        return names

    def metadata(self, **entries: object) -> None:
        """What other programs find beside the graph, each value as its text."""
        for key, value in entries.items():
            self._metadata.append(_chunk(14, _chunk(1, key.encode()) + _chunk(2, str(value).encode())))

    def serialized(self) -> bytes:
        """The model as the bytes of an .onnx file."""
        graph = b"".join(self._nodes) + _chunk(2, b"hark") + b"".join(self._constants + self._ends)
        opsets = [_chunk(8, _chunk(1, b"") + _number(2, OPSET)), _chunk(8, _chunk(1, CONTRIB.encode()) + _number(2, 1))]
        return _number(1, IR_VERSION) + _chunk(7, graph) + b"".join(opsets + self._metadata)

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}.{self._count}"


def _declared(name: str, dtype: str, shape: Sequence[int | str]) -> bytes:
    sides = [_number(1, side) if isinstance(side, int) else _chunk(2, side.encode()) for side in shape]
    tensor = _number(1, TYPES[dtype]) + _chunk(2, b"".join(_chunk(1, side) for side in sides))
    return _chunk(1, name.encode()) + _chunk(2, _chunk(1, tensor))


def _attribute(name: str, value: Value) -> bytes:
    head = _chunk(1, name.encode())
    match value:
        case int():
            return head + _number(3, value) + _number(20, 2)
        case float():
            return head + _varint(2 << 3 | 5) + struct.pack("<f", value) + _number(20, 1)
        case str():
            return head + _chunk(4, value.encode()) + _number(20, 3)
        case _:
            return head + b"".join(_number(8, each) for each in value) + _number(20, 7)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value & (1 << 64) - 1)


def _chunk(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
