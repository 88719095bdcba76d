"""Moonshine, by onnxruntime and graphs of our own, and its larger models by their makers' library."""
