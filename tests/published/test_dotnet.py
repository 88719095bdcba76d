"""What a C# program sends that many people copied: three handshakes of ClientWebSocket, of which OpenAI let one in, and
its update as Newtonsoft's JObject.ToString() prints it (contract G.3, S1).

.NET writes Host first, then the program's own headers, then its WebSocket's.
"""

import json

import httpx
import pytest

from hark.audio.formats import encode
from listening import BECKETT, error_rate, turns_of
from rawsocket import raw_session
from serving import COMPLETED, base64, speech

HANDSHAKE = """\
GET <target> HTTP/1.1
Host: <host>
<own>Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: <key>
"""
OWN_PATH = HANDSHAKE.replace("<target>", "/v1/realtime/transcription_sessions").replace(
    "<own>", "Authorization: Bearer <secret>\n"
)
SUBPROTOCOLS = (
    HANDSHAKE.replace("<target>", "/v1/realtime?model=gpt-4o-transcribe").replace("<own>", "")
    + "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.<secret>, openai-beta.realtime-v1\n"
)
INTENT = HANDSHAKE.replace("<target>", "/v1/realtime?intent=transcription").replace(
    "<own>", "Authorization: Bearer <secret>\nOpenAI-Beta: realtime=v1\n"
)
WAYS = {
    "own path": (OWN_PATH, "session.created", None),
    "subprotocols": (SUBPROTOCOLS, "transcription_session.created", "realtime"),
    "intent": (INTENT, "transcription_session.created", None),
}
PROMPT = "Überfall am Café – „naïve“ 東京"
FIRST_UPDATE = {
    "type": "transcription_session.update",
    "session": {
        "input_audio_format": "pcm16",
        "modalities": ["text"],
        "input_audio_transcription": {"model": "gpt-4o-transcribe", "prompt": PROMPT, "language": "en"},
        "input_audio_noise_reduction": {"type": "near_field"},
        "turn_detection": None,
    },
}
LAST_UPDATE = {
    "type": "transcription_session.update",
    "session": {
        "input_audio_format": "pcm16",
        "input_audio_transcription": {"model": "gpt-4o-transcribe", "prompt": PROMPT, "language": "en"},
        "turn_detection": None,
    },
}


def printed(event, newline):
    """As JObject.ToString() does it: two spaces, text as it is, the line ends of the system."""
    return json.dumps(event, indent=2, ensure_ascii=False).replace("\n", newline)


@pytest.fixture(params=["\r\n", "\n"], ids=["Windows", "Linux"])
def newline(request):
    return request.param


def secret(server, key):
    """The temporary secret of the last version, minted as the program minted it."""
    answer = httpx.post(f"{server.url}/v1/realtime/transcription_sessions", headers={"Authorization": f"Bearer {key}"})
    return answer.json()["client_secret"]["value"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("update", [FIRST_UPDATE, LAST_UPDATE], ids=["first", "last"])
def test_every_version_of_the_program_gets_in_and_is_understood(keyed, key, newline, way, update):
    head, greeting, subprotocol = WAYS[way]
    with raw_session(keyed, head, secret=secret(keyed, key) if way == "intent" else key) as wire:
        wire.socket.send(printed(update, newline))  # at once, before the greeting is read
        assert wire.subprotocol == subprotocol
        assert wire.receive()["type"] == greeting
        updated = wire.receive()
        assert updated["type"] == "transcription_session.updated"
        shown = updated["session"]
        assert shown["input_audio_transcription"]["prompt"] == PROMPT
        assert (shown["turn_detection"], shown["input_audio_format"]) == (None, "pcm16")
        reduction = update["session"].get("input_audio_noise_reduction")
        assert shown["input_audio_noise_reduction"] == reduction
        for event in (
            {"type": "input_audio_buffer.append", "audio": base64(speech("alpha", "bravo"))},
            {"type": "input_audio_buffer.commit"},
        ):
            wire.socket.send(printed(event, newline))
        assert wire.until(COMPLETED)[-1]["transcript"] == "alpha bravo"


@pytest.mark.parametrize("way", WAYS)
def test_it_hears_speech(hearing, key, recording, way):
    head, *_ = WAYS[way]
    with raw_session(hearing, head, secret=key) as wire:
        wire.socket.send(printed(LAST_UPDATE, "\r\n"))
        audio = encode(recording("beckett", 24_000), "pcm16")
        for start in range(0, len(audio), 48_000):
            append = {"type": "input_audio_buffer.append", "audio": base64(audio[start : start + 48_000])}
            wire.socket.send(printed(append, "\r\n"))
        wire.socket.send(printed({"type": "input_audio_buffer.commit"}, "\r\n"))
        events = wire.until(COMPLETED)
        assert error_rate(BECKETT, turns_of(events)) <= 0.25
