"""Hark: a self-hosted server for realtime speech transcription that speaks OpenAI's Realtime API."""

import os

# onnxruntime from 1.31 on reports its use to its makers; its import alone leaves an identifier in the user's cache.
# Hark is for people who may not send anything away: nothing is reported unless somebody sets this otherwise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Matrix products are small here, and many: threads of numpy's BLAS would win little, and spin on cores that transcribe.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = "0.1.0"
