"""Engines and voices by sherpa-onnx."""
