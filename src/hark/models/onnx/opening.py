"""Opens an ONNX graph on the CPU.

Rule: a session keeps no more threads busy than it was granted, and its threads sleep while there is nothing to do;
spinning ones would eat the cores that the rest of the server needs. Refuses: a file that is missing or damaged.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hark.errors import OperatorError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def open_graph(graph: Path | bytes, threads: int) -> InferenceSession:
    """The graph in a file (.onnx or .ort), or the bytes of one, ready to run on up to `threads` threads. Raises
    OperatorError."""
    import onnxruntime  # noqa: PLC0415  (slow and large, and only workers need it)

    if isinstance(graph, Path) and not graph.is_file():
        raise OperatorError(f"A model file is missing: {graph} was expected. Run `hark pull` to fetch it.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, threads)
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for pool in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class but this one
        if isinstance(graph, bytes):
            raise OperatorError(
                f"This onnxruntime ({onnxruntime.__version__}) cannot run a graph that Hark made, and says "
                f"{type(error).__name__}. Install onnxruntime 1.22 or later."
            ) from error
        raise OperatorError(
            f"A model file cannot be read: an ONNX graph was expected in {graph}, and onnxruntime says "
            f"{type(error).__name__}. Remove the file and run `hark pull` to fetch it again."
        ) from error
