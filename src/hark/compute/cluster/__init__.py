"""Transcription on other machines: gateways ask over gRPC, workers answer."""
