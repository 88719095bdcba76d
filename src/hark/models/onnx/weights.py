"""Reads the weights out of an ONNX file, for a network that is computed without onnxruntime.

An ONNX file is one protobuf message (onnx.proto, IR version 3 and later: ModelProto.graph = 7, GraphProto.initializer
= 5; TensorProto: dims = 1, data_type = 2, name = 8, raw_data = 9). Only these fields are read; others are stepped over.

Rule: a tensor comes back under its name, float32, in its own shape, as a copy. Refuses: to guess. A file that is
missing, cut short, or without a tensor that was asked for in the shape that was asked for is an OperatorError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hark.errors import OperatorError

_FLOAT: Final = 1  # TensorProto.DataType

Weights = dict[str, NDArray[np.float32]]


class BrokenError(Exception):
    """What was read is no such message."""


def read_weights(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Weights:
    """The tensors of these names, which must have these shapes. Raises OperatorError."""
    if not path.is_file():
        raise OperatorError(f"A model file is missing: {path} was expected. Run `hark pull` to fetch it.")
    try:
        found = dict(_tensors(memoryview(path.read_bytes()), shapes))
    except BrokenError as broken:
        raise _unexpected(path, "it cannot be read as ONNX") from broken
    for name, shape in shapes.items():
        if name not in found:
            raise _unexpected(path, f"it holds no float32 weights named {name}")
        if found[name].shape != shape:
            raise _unexpected(path, f"{name} has the shape {found[name].shape} and not {shape}")
    return found


def _unexpected(path: Path, why: str) -> OperatorError:
    return OperatorError(
        f"A model file is not what was expected: {path}; {why}. Remove the file and run `hark pull` to fetch it again."
    )


def _tensors(model: memoryview, wanted: Mapping[str, object]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for field, graph in fields(model):
        if field != 7 or isinstance(graph, int):
            continue
        for inner, tensor in fields(graph):
            if inner == 5 and not isinstance(tensor, int):
                name, weights = _tensor(tensor)
                if weights is not None and name in wanted:
                    yield name, weights


def _tensor(message: memoryview) -> tuple[str, NDArray[np.float32] | None]:
    """Its name and, if they are float32 in one piece of raw bytes, its numbers."""
    dims: list[int] = []
    name, kind, raw = "", 0, None
    for field, value in fields(message):
        match field, value:
            case 1, int():
                dims.append(value)
            case 1, memoryview():  # packed, as protobuf 3 writes repeated numbers
                dims += _varints(value)
            case 2, int():
                kind = value
            case 8, memoryview():
                name = bytes(value).decode("utf-8", "replace")
            case 9, memoryview():
                raw = value
    if kind != _FLOAT or raw is None:
        return name, None
    if len(raw) != 4 * prod(dims) or any(length > len(raw) for length in dims):
        raise BrokenError
    return name, np.frombuffer(raw, "<f4").astype(np.float32).reshape(dims)


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of a message: numbers of fixed size are left as bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        match key & 7:
            case 0:
                value, at = _varint(message, at)
                yield key >> 3, value
                continue
            case 1:
                size = 8
            case 2:
                size, at = _varint(message, at)
            case 5:
                size = 4
            case _:
                raise BrokenError
        if at + size > len(message):
            raise BrokenError
        yield key >> 3, message[at : at + size]
        at += size


def _varints(packed: memoryview) -> Iterator[int]:
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        yield value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise BrokenError
