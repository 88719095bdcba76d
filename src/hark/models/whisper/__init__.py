"""Whisper in all its sizes, by CTranslate2 and faster-whisper."""
