"""OpenAI's SDK for .NET (contract G.1) over ClientWebSocket: GA since 2.9, beta before, and with a client secret.

What is checked is what its own tests and users' loops rest on: one `updated` for one update and none otherwise, turns
told one after another, and a `created` that shows what the secret carries.
"""

from replays.heads import dotnet
from replays.line import COMPLETED, DELTA, Line

CHUNK = 16 * 1024
VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200}
HEARD = {
    "format": {"type": "audio/pcm", "rate": 24_000},
    "transcription": {"model": "gpt-4o-transcribe", "language": "en"},
    "turn_detection": VAD,
    "noise_reduction": {"type": "near_field"},
}
SETTINGS = {"type": "transcription", "audio": {"input": HEARD}}


def ga(server, target, key, audio, *, last_word, carried=False):
    """What was heard, and the line. `carried`: the key is a secret with the settings, so it sends none."""
    with Line(server, dotnet(target, "Authorization: Bearer <token>", "realtime"), token=key) as line:
        assert line.subprotocol == "realtime"
        if carried:
            line.wait("session.created")
        else:
            line.send("session.update", session=SETTINGS)
        return _speak(line, audio, last_word)


def beta(server, target, key, audio, *, last_word):
    own = "Authorization: Bearer <token>\nopenai-beta: realtime=v1"
    with Line(server, dotnet(target, own, "realtime"), token=key) as line:
        assert line.subprotocol == "realtime"
        session = {
            "input_audio_format": "pcm16",
            "input_audio_transcription": {"model": "gpt-4o-transcribe", "language": "en"},
            "turn_detection": VAD,
        }
        line.send("transcription_session.update", session=session)
        line.wait("transcription_session.updated")
        return _speak(line, audio, last_word)


def _speak(line, audio, last_word):
    line.append(audio, CHUNK)
    line.wait_for_word(last_word)
    line.end = line.close()
    told = [event for event in line.events if event["type"] in (DELTA, COMPLETED)]
    partial = ""
    for event in told:
        partial += event.get("delta", "")
        assert event.get("transcript", partial).startswith(partial)
        partial = "" if event["type"] == COMPLETED else partial
    assert sum(event["type"] == DELTA for event in told) > 1
    return " ".join(line.transcripts), line
