"""Reads what a model's maker wrote beside the graph of an ONNX file: pairs of texts (ModelProto.metadata_props = 14).

Rule: the graph, which may be gigabytes, is stepped over and never read. Refuses: what is no ONNX file.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

from hark.errors import OperatorError
from hark.models.onnx.weights import BrokenError, fields

_GRAPH: Final = 7
_PAIR: Final = 14


def read_metadata(path: Path) -> dict[str, str]:
    """The pairs of this file. Raises OperatorError if it is missing or cannot be read as ONNX."""
    try:
        with path.open("rb") as file:
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        pairs, has_graph = {}, False
        for field, value in fields(view):
            has_graph = has_graph or field == _GRAPH
            if field == _PAIR and isinstance(value, memoryview):
                parts = {
                    inner: bytes(text).decode("utf-8", "replace")
                    for inner, text in fields(value)
                    if not isinstance(text, int)
                }
                pairs[parts.get(1, "")] = parts.get(2, "")
    except (OSError, ValueError, BrokenError) as error:  # a file without a byte cannot be mapped
        why = "it is missing" if isinstance(error, FileNotFoundError) else "it cannot be read as ONNX"
        raise OperatorError(f"A model file is not what was expected: {path}; {why}.") from error
    if not has_graph:
        raise OperatorError(f"A model file is not what was expected: {path}; it cannot be read as ONNX.")
    return pairs
