"""What the server tells of itself to those who run it: metrics, logs and traces. Nobody's words, audio or keys."""
