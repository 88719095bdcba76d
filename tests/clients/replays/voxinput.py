"""VoxInput (contract G.2): types what one says on Linux, by go-openai-realtime.

It opens a realtime session, waits for `session.created`, turns it into a transcription session with a bare server_vad,
and waits for `session.updated`: 30 s for all, and a refusal is only logged, so it would hang. It appends every 250 ms,
with one event id for all; event types that it does not know it steps over. On stop it closes.
"""

from replays.heads import go
from replays.line import Line

TIMEOUT_S = 30
CHUNK = 12_000  # 250 ms


def speak(server, target, key, audio, *, last_word, transcription=None):
    """What it types, and the line. `transcription`: what its variables say; None if no model is set."""
    with Line(server, go(target, "Authorization: Bearer <token>"), token=key) as line:
        line.wait("session.created", "session.updated", within_s=TIMEOUT_S)
        heard = {"turn_detection": {"type": "server_vad"}}
        if transcription:
            heard["transcription"] = transcription
        session = {"audio": {"input": heard}, "type": "transcription"}
        line.send("session.update", event_id="Initial update", session=session)
        line.wait("session.created", "session.updated", within_s=TIMEOUT_S)
        line.append(audio, CHUNK, event_id="TODO")
        line.wait_for_word(last_word)
        line.end = line.close()
        return " ".join(filter(None, line.transcripts)), line
