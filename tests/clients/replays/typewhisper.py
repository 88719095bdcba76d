"""TypeWhisper (contract G.2): dictation on a Mac by URLSessionWebSocketTask, its audio made 24 kHz by itself.

It sends its settings as soon as the socket is open, and wants them confirmed within 3 s, in either dialect. It never
asks for turn detection, commits when one stops speaking, and wants words within 10 s; an `error`, a `failed` or an
empty transcript is shown as a failure. Then it closes with 1000.
"""

from replays.heads import apple
from replays.line import COMPLETED, Line

CONFIRMED_S, COMPLETED_S = 3, 10
CHUNK = 9_600
UPDATED = ("session.updated", "transcription_session.updated")
LIVE = {"languages": ["en", "de"], "prompt": "A play.", "keywords": ["Beckett"], "delay": "low"}


def dictate(
    server, target, key, audio, *, model="gpt-4o-transcribe", hints=None, header="Authorization: Bearer <token>"
):
    """What it types, and the line. `hints`: what it adds for models that take context, else a language."""
    with Line(server, apple(target, header), token=key) as line:
        heard = {
            "transcription": {"model": model} | (hints or {"language": "en"}),
            "turn_detection": None,
            "format": {"rate": 24_000, "type": "audio/pcm"},
        }
        line.send("session.update", session={"audio": {"input": heard}, "type": "transcription"})
        line.updated = line.wait(*UPDATED, within_s=CONFIRMED_S)
        line.append(audio, CHUNK)
        line.send("input_audio_buffer.commit")
        text = line.wait(COMPLETED, within_s=COMPLETED_S)["transcript"].strip()
        assert text, "Realtime API returned no transcript"
        line.end = line.close()
        return text, line
