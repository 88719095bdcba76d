"""Frames of a client, read and answered: protocol/wire.py and both dialects.

Nothing is raised; what is no JSON object is refused with its event_id; and audio is what Python's own base64 says.
"""

import base64
import json
from itertools import count

from hark.core import messages as m
from hark.core.settings import SessionSettings, SettingsError, merge
from hark.protocol import sessions, wire
from hark.protocol.dialects import DIALECTS

GA = {"input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": {"type": "semantic_vad"}}}
FRAMES = {
    "append": {"type": "input_audio_buffer.append", "audio": "AAAB//8=", "event_id": "e1"},
    "append-unpadded": {"type": "input_audio_buffer.append", "audio": " AAAB\r\n//8"},
    "commit": {"type": "input_audio_buffer.commit"},
    "clear": {"type": "input_audio_buffer.clear", "event_id": None},
    "update-ga": {"type": "session.update", "session": {"type": "transcription", "audio": GA}},
    "update-flat": {"type": "session.update", "session": {"input_audio_format": "g711_ulaw", "turn_detection": None}},
    "update-beta": {
        "type": "transcription_session.update",
        "session": {
            "input_audio_transcription": {"model": "whisper-1", "language": "en", "prompt": "é"},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 300},
            "include": ["item.input_audio_transcription.logprobs"],
        },
    },
    "update-top": {"type": "transcription_session.update", "model": "whisper-1"},
    "retrieve": {"type": "conversation.item.retrieve", "item_id": "item_1"},
    "delete": {"type": "conversation.item.delete", "item_id": "item_1"},
    "truncate": {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 5},
    "create": {
        "type": "conversation.item.create",
        "item": {"id": "mine", "type": "message", "content": [{"type": "input_audio", "audio": "AA=="}]},
        "previous_item_id": "root",
    },
    "response": {"type": "response.create", "response": {"modalities": ["text"]}},
    "cancel": {"type": "response.cancel", "response_id": "r"},
    "output": {"type": "output_audio_buffer.clear"},
    "close": {"type": "session.close"},
}

READ = [
    *wire.AnyClientEvent.__args__, sessions.GaSession, sessions.GaAudio, sessions.GaInput, sessions.BetaSession,
    sessions.Format, sessions.TranscriptionIn, sessions.NoiseReductionIn, sessions.TurnDetectionIn,
]  # fmt: skip
VALUES = ["audio/pcm", "audio/pcmu", "audio/pcma", "pcm16", "server_vad", "semantic_vad", "near_field", "root", "auto"]
WORDS = sorted({name for read in READ for name in read.__struct_fields__} | set(VALUES))
TOKENS = [
    *(f'"{name}"'.encode() for name in WORDS),
    *(f'"type":"{name}"'.encode() for name in wire.CLIENT_EVENTS),
    b"{}", b"[]", b"null", b"true", b"1e999", b"-1", b"0.5", b"9007199254740993", b'"\\ud800"', b"\\u0000",
]  # fmt: skip


def seeds():
    for name, frame in FRAMES.items():
        yield name, json.dumps(frame, ensure_ascii=False).encode()
    yield "binary", b"\xff\x00\x01"


def check(data):
    try:
        frame = data.decode()
    except UnicodeDecodeError:
        frame = data
    command = wire.decode(frame)
    try:
        tree = json.loads(frame) if isinstance(frame, str) else None
    except (ValueError, RecursionError):
        tree = None
    refused = isinstance(command, m.Refuse)
    if not isinstance(tree, dict):
        assert refused, f"taken, though it is no object: {command}"
    elif isinstance(tree.get("event_id"), str):
        assert not refused or command.event_id in (tree["event_id"], None)
    if isinstance(command, m.AppendAudio):
        assert command.audio == _decoded(tree["audio"])
    _answered(command)


def _decoded(text):
    compact = "".join(text.split()).rstrip("=")
    return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)


def _answered(command):
    event = None
    if isinstance(command, m.Refuse):
        event = m.Refused(command.error, command.event_id)
        assert len(command.error.message) > 15
    elif isinstance(command, m.CreateItem):
        event = m.ItemAdded(m.Item("item_1", raw=command.item), None)
    elif isinstance(command, m.UpdateSettings):
        try:
            settings = merge(SessionSettings(), command.patch, "whisper-1")
            event = m.SessionUpdated(m.SessionView("sess_1", 0, settings))
        except SettingsError as error:
            event = m.Refused(error, command.event_id)
    ids = count()
    for dialect in DIALECTS.values():
        for said in dialect.encode(event, lambda prefix: f"{prefix}_{next(ids)}") if event else ():
            assert json.loads(said)["event_id"].startswith("event_")
