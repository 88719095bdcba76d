"""Programs whose conversation is short (contract G.2): go-openai-realtime's example, PSOpenAI, Azure's sample of the
beta, and a client that tells speakers apart.
"""

from replays.heads import dotnet, go, websocket_client, websockets
from replays.line import COMPLETED, Line

STARTED = "input_audio_buffer.speech_started"
SETTLED_S = 5


def go_example(server, target, key, audio, last_word):
    """All audio in one append, a commit, and a response, which ends at once where nothing answers."""
    with Line(server, go(target, "Authorization: Bearer <token>"), token=key) as line:
        heard = {"transcription": {"model": "gpt-4o-mini-transcribe"}}
        line.send("session.update", session={"audio": {"input": heard}, "type": "transcription"})
        line.wait("session.updated")
        line.append(audio, len(audio))
        line.send("input_audio_buffer.commit")
        line.send("response.create")
        line.wait("response.done")
        line.wait_for_word(last_word)
        line.end = line.close()
        return " ".join(line.transcripts), line


def psopenai(server, target, key, audio, *, header, beta):
    """A PowerShell module over ClientWebSocket that offers no subprotocol; its user types each event."""
    own = f"{header}\nOpenAI-Debug: true" + ("\nOpenAI-Beta: realtime=v1" if beta else "")
    with Line(server, dotnet(target, own), token=key) as line:
        assert line.subprotocol is None
        kind = "transcription_session" if beta else "session"
        line.wait(f"{kind}.created")
        transcription = {"model": "gpt-4o-transcribe", "language": "en"}
        flat = {"input_audio_format": "pcm16", "input_audio_transcription": transcription, "turn_detection": None}
        heard = {"transcription": transcription, "turn_detection": None}
        nested = {"type": "transcription", "audio": {"input": heard}}
        line.send(f"{kind}.update", session=flat if beta else nested)
        line.wait(f"{kind}.updated")
        line.append(audio, 24_000)
        line.send("input_audio_buffer.commit")
        return _end(line)


def azure_sample(server, target, key, audio, last_word):
    """Python's websocket-client with an api-key; the path says preview, so the dialect is beta."""
    with Line(server, websocket_client(target, "api-key: <token>"), token=key) as line:
        line.wait("transcription_session.created")
        session = {
            "input_audio_format": "pcm16",
            "input_audio_transcription": {"model": "gpt-4o-mini-transcribe", "prompt": "Respond in English."},
            "input_audio_noise_reduction": {"type": "near_field"},
            "turn_detection": {
                "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200,
            },
        }  # fmt: skip
        line.send("transcription_session.update", session=session)
        line.append(audio, 2_048)
        line.wait_for_word(last_word)
        line.end = line.close()
        return " ".join(line.transcripts), line


def diarizing(server, target, key, audio):
    """Commits once more when the file is over, and wants all turns that have begun within 5 s; any error ends it."""
    with Line(server, websockets(target, "Authorization: Bearer <token>"), token=key) as line:
        heard = {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "transcription": {"model": "gpt-4o-transcribe-diarize"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 200},
        }
        line.send("session.update", session={"type": "transcription", "audio": {"input": heard}})
        line.append(audio, 4_800)
        line.send("input_audio_buffer.commit")
        while line.wait("input_audio_buffer.committed")["item_id"] in _started(line):
            pass
        while _open(line):
            line.wait(COMPLETED, STARTED, within_s=SETTLED_S)
        line.end = line.close()
        return " ".join(filter(None, line.transcripts)), line


def _open(line):
    ended = {event["item_id"] for event in line.events if event["type"] == COMPLETED}
    return _started(line) - ended


def _started(line):
    return {event["item_id"] for event in line.events if event["type"] == STARTED}


def _end(line):
    line.wait(COMPLETED)
    line.end = line.close()
    return " ".join(line.transcripts), line
