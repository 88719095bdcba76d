"""ONNX files: opened, read and written."""
