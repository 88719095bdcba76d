"""Natively (contract G.2): an assistant for meetings, in three ways that its releases have had.

The release of May 2026 says beta in the handshake and sends GA's nested settings without a type, with empty texts for
what is not set; it looks for text in events that no transcription session has, and ends with `session.close`. Later
ones are GA, commit on stop and close. Both want a greeting of either name within 5 s, and then send what was recorded.
With a base URL of one's own, the later ones leave the socket alone and upload by axios.
"""

from rawsocket import raw_request
from replays.heads import node
from replays.line import Line

TARGET = "/v1/realtime?intent=transcription"
CREATED_S = 5
CHUNK = 12_000
CREATED = ("session.created", "transcription_session.created")
FORMAT = {"type": "audio/pcm", "rate": 24_000}
BOUNDARY = "-" * 26 + "058297641305918273645091"
UPLOAD = f"""\
POST <target> HTTP/1.1
Accept: application/json, text/plain, */*
Content-Type: multipart/form-data; boundary={BOUNDARY}
Authorization: Bearer <key>
User-Agent: axios/1.13.2
Content-Length: <length>
Accept-Encoding: gzip, compress, deflate, br
Host: <host>
Connection: keep-alive
"""


def listen(server, key, audio, *, release, last_word):
    """The line after the session, whose `end` is how the server closed it."""
    may = release == "May 2026"
    own = "Authorization: Bearer <token>" + ("\nOpenAI-Beta: realtime=v1" if may else "")
    with Line(server, node(TARGET, own), token=key) as line:
        line.send("session.update", session=_may() if may else _later())
        line.wait(*CREATED, within_s=CREATED_S)
        line.append(audio, CHUNK)
        line.wait_for_word(last_word)
        if may:
            line.send("session.close")
        else:
            line.send("input_audio_buffer.commit")
        line.end = line.close()
        return line


def upload(server, target, key, wav):
    """Status and body of an upload."""
    parts = [
        ('name="file"; filename="audio.wav"\r\nContent-Type: audio/wav', wav),
        ('name="model"', b"whisper-1"),
        ('name="language"', b"en"),
    ]
    begin = f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
    body = b"".join(f"{begin}{head}\r\n\r\n".encode() + value + b"\r\n" for head, value in parts)
    body += f"--{BOUNDARY}--\r\n".encode()
    with raw_request(server, UPLOAD, body, target=target, key=key) as (status, _, told):
        return status, told


def _may():
    transcription = {"model": "gpt-4o-transcribe", "prompt": "", "language": ""}
    vad = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
    heard = {"format": FORMAT, "transcription": transcription, "noise_reduction": {"type": "near_field"}}
    return {"audio": {"input": heard | {"turn_detection": vad}}}


def _later():
    vad = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 1000}
    transcription = {"model": "gpt-4o-transcribe", "language": "en"}
    heard = {"format": FORMAT, "transcription": transcription, "noise_reduction": {"type": "near_field"}}
    return {"type": "transcription", "audio": {"input": heard | {"turn_detection": vad}}}
