"""Silero VAD: the probability of speech."""
