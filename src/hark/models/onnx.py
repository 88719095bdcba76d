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


def open_graph(path: Path, threads: int) -> InferenceSession:
    """The graph in the file `path` (.onnx or .ort), ready to run on up to `threads` threads. Raises OperatorError."""
    import onnxruntime  # noqa: PLC0415  (slow and large, and only workers need it)

    if not path.is_file():
        raise OperatorError(f"A model file is missing: {path} was expected. Run `hark pull` to fetch it.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, threads)
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for pool in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class but this one
        raise OperatorError(
            f"A model file cannot be read: an ONNX graph was expected in {path}, and onnxruntime says "
            f"{type(error).__name__}. Remove the file and run `hark pull` to fetch it again."
        ) from error
