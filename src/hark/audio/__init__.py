"""Sound: formats, rates and files. Knows numpy and FFmpeg, and nothing of sessions, models or the wire's JSON."""
