"""What nobody but the client may read is planted in real servers, which are then made to fail in every way: none of it
stands in what they print, log, measure or keep. An event log alone holds transcripts, which is what it is for.
"""

import asyncio
import json
import os
import socket
import stat
from pathlib import Path

import httpx
import numpy as np
import pybase64
import pytest

from calling import SDP, Caller
from gateways import LINUX, Gateways
from hark.audio.formats import encode
from hark.auth.keys import create_key
from planted_engine import SAID
from serving import COMPLETED, PATIENCE_S
from uploading import post, wav

pytestmark = [
    pytest.mark.skipif(not LINUX, reason="children of processes are found by /proc"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

TESTS = Path(__file__).parents[1]
KEY = "sk-planted-own-4af01"
UPSTREAM = "sk-planted-upstream-77c"
TURN = "planted-turn-password-9"
TOKEN = "planted-token-of-a-plugin"
WRONG = "sk-planted-wrong-5d2e8"
PROMPT = "planted-prompt-zebrafish"
FAILED = COMPLETED.replace("completed", "failed")
MOODS = ["stumble", "several", "crash", "betray", "thread"]


def noise(seconds=0.6):
    """Nobody else's audio: what it is in base64 stands nowhere by chance."""
    loud = np.random.default_rng(7).uniform(-0.5, 0.5, round(seconds * 24_000)).astype(np.float32)
    return encode(np.concatenate([loud, np.zeros(16_800, np.float32)]), "pcm16")


AUDIO = noise()
BASE64 = pybase64.b64encode_as_string(AUDIO)


class Planted(Gateways):
    """With secrets of every kind, at the level of debugging."""

    def __init__(self, folder, workers):
        installed = folder / "planted-0.1.dist-info"
        installed.mkdir(parents=True)
        (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 0.1\n")
        (installed / "entry_points.txt").write_text("[hark.models]\nplanted = planted_engine:plugin\n")
        self.events = folder / "events"
        super().__init__(
            folder, "--log-level", "debug", "--event-log", str(self.events), workers=workers,
            HARK_API_KEY=KEY, HARK_UPSTREAM_KEY=UPSTREAM, HARK_WEBRTC_TURN="turn:127.0.0.1:9?transport=udp",
            HARK_WEBRTC_TURN_USERNAME="hark", HARK_WEBRTC_TURN_PASSWORD=TURN, HARK_MODEL="planted",
            HARK_MODEL_OPTIONS=f"planted_token={TOKEN}", HARK_ALIASES="inside=planted-inside",
            PYTHONPATH=os.pathsep.join([str(folder), str(TESTS), os.environ.get("PYTHONPATH", "")]),
        )  # fmt: skip

    def secrets(self):
        return [KEY, UPSTREAM, TURN, TOKEN, WRONG, PROMPT, *self.minted, self.stored]


def bearer(key):
    return {"additional_headers": {"Authorization": f"Bearer {key}"}}


def places(key):
    """Wherever a credential may stand."""
    yield "", bearer(key)
    yield "", {"additional_headers": {"api-key": key}}
    yield "", {"subprotocols": ["realtime", f"openai-insecure-api-key.{key}"]}
    for name in ("authorization", "api-key", "access_token"):
        yield f"&{name}={key}", {}


def configured(model, prompt):
    transcription = {"model": model, "prompt": prompt}
    return {"type": "transcription", "audio": {"input": {"transcription": transcription}}}


def speak(server, key, model, mood):
    """One turn; how its item ended, or how the connection did."""
    with server.socket(**bearer(key)) as wire:
        wire.receive()
        wire.ask("session.update", session=configured(model, mood))
        wire.append(AUDIO)
        while (event := wire.receive())["type"] not in (COMPLETED, FAILED, "error"):
            pass
        return event


def connects(server):
    """Credentials that are right and such that are wrong, wherever they may stand."""
    url = f"{server.url}/v1/realtime/client_secrets"
    large = configured("planted", "word " * 2_000)
    for body in ({}, {"session": large}):
        headers = {"authorization": f"Bearer {server.stored}"}
        server.minted.append(httpx.post(url, headers=headers, json=body).json()["value"])
    for key in (KEY, server.stored, *server.minted, WRONG, server.minted[0] + "x", KEY + "x"):
        for query, options in places(key):
            with server.socket(f"/v1/realtime?intent=transcription{query}", **options) as wire:
                good = key in (KEY, server.stored, *server.minted)
                assert wire.receive()["type"] == ("session.created" if good else "error")
        wrong = httpx.get(f"{server.url}/v1/models?api-key={key}", headers={"authorization": f"Bearer {key}"})
        assert wrong.status_code == (200 if good else 401)


def stumbles(server):
    """Frames, forms, offers and requests that cannot be read, each with something private in it."""
    with server.socket(**bearer(KEY)) as wire:
        wire.receive()
        for frame in (
            f'{{"type": "session.update", "{WRONG}": ', f'["{WRONG}"]', f'{{"type": "{WRONG}"}}', f"{SAID} {BASE64}",
            json.dumps({"type": "session.update", "session": {WRONG: SAID}}),
            json.dumps({"type": "session.update", "session": configured(WRONG, PROMPT)}),
            json.dumps({"type": "input_audio_buffer.append", "audio": BASE64 + "!"}),
            json.dumps({"type": "conversation.item.retrieve", "item_id": WRONG}),
            BASE64.encode(), WRONG.encode(),
        ):  # fmt: skip
            wire.socket.send(frame)
            assert wire.receive()["type"] == "error"
        wire.send("conversation.item.create", item={
            "type": "message", "role": "user", "content": [{"type": "input_audio", "audio": BASE64}],
        })  # fmt: skip
        wire.receive()
    headers = {"authorization": f"Bearer {KEY}"}
    for fields in ([("model", WRONG)], [("language", WRONG)], [("prompt", PROMPT), ("stream", WRONG)],
                   [("known_speaker_names", WRONG), ("known_speaker_references", f"data:audio/wav;base64,{BASE64}"),
                    ("response_format", "diarized_json")]):  # fmt: skip
        assert post(server, *fields, headers=headers).status_code in (400, 404)
    assert post(server, file=BASE64.encode(), headers=headers).status_code == 400
    for sdp in (WRONG, f"v=0\r\nm=audio 9 x 0\r\na=ice-pwd:{WRONG}\r\n", f"v=0\r\nm=audio {WRONG}\r\n"):
        asked = httpx.post(f"{server.url}/v1/realtime/calls", headers=headers | SDP, content=sdp)
        assert asked.status_code == 400
    for raw in (
        f"GET /{WRONG}\x01 HTTP/1.1\r\nHost: x\r\n\r\n", f"{WRONG}\r\n\r\n",
        f"POST / HTTP/1.1\r\nContent-Length: {WRONG}\r\n\r\n",
        f"GET /v1/realtime?api-key={KEY} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {WRONG}\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ):  # fmt: skip
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as line:
            line.sendall(raw.encode())
            assert line.recv(64).startswith(b"HTTP/1.1 4")


def fails(server):
    """Engines that fail with what was said in their words, beside the server and in it."""
    for model in ("planted", "planted-inside"):
        assert speak(server, KEY, model, PROMPT)["transcript"] == SAID
        for mood in MOODS:
            event = speak(server, server.stored, model, mood)
            assert SAID not in json.dumps(event) or event["type"] == COMPLETED
            assert event["type"] != COMPLETED or mood in ("thread", "crash")
            headers = {"authorization": f"Bearer {KEY}"}
            for stream in ("true", "false"):
                said = ("model", model), ("prompt", mood), ("stream", stream)
                answer = post(server, *said, file=wav(AUDIO, 24_000), headers=headers)
                assert answer.status_code in (200, 500, 503)


async def calls(server):
    """A call with a TURN server that is not there."""
    async with Caller(server.url) as caller:
        await caller.call(headers={"authorization": f"Bearer {KEY}"})
        assert (await caller.receive())["type"] == "session.created"
        caller.send("session.update", session=configured("planted", PROMPT))
        caller.send("input_audio_buffer.append", audio=BASE64)
        assert await caller.hear() == SAID


def kept(folder):
    """Every file of it, by its path."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def holding(texts, needles):
    return {(str(name), needle) for name, text in texts.items() for needle in needles if needle.encode() in text}


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_that_was_planted_is_found(tmp_path, workers):
    stored = create_key(tmp_path / "data", "planted", 0.0)
    server = Planted(tmp_path, workers)
    server.stored, server.minted = stored, []
    try:
        connects(server)
        stumbles(server)
        fails(server)
        asyncio.run(calls(server))
        shown = {}
        for path in ("/", "/docs", "/openapi.json", "/health", "/metrics", "/nowhere", f"/v1/models/x?api-key={WRONG}"):
            answer = httpx.get(server.url + path, headers={"authorization": f"Bearer {KEY}"})
            shown[path] = answer.content if not path.startswith("/v1") else b""
        printed = server.stop()
    finally:
        server.kill()
    log = server.log
    for mark in ("unhandled fault", "model planted failed on a request", "a thread ended by a fault"):
        assert mark in log, f"nothing was provoked that says: {mark}"
    assert "DEBUG" in log or "Traceback" in log
    texts = shown | {"stdout": (server.banner + printed).encode(), "log": log.encode()} | kept(server.data)
    slices = [BASE64[at : at + 32] for at in range(4_000, 20_000, 4_000)]
    hexadecimal = np.frombuffer(AUDIO, np.int16)[5_000:5_016].tobytes().hex()
    assert holding(texts, [*server.secrets(), SAID, *slices, hexadecimal]) == set()
    # What is meant to hold transcripts holds no key and no audio.
    events = kept(server.events)
    assert any(SAID.encode() in text for text in events.values())
    assert holding(events, [KEY, UPSTREAM, TURN, TOKEN, *server.minted, stored, *slices]) == set()
    for folder in (server.data, server.events):
        for path in [folder, *folder.rglob("*")]:
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode & 0o077 == 0, f"{path} is open to others: {mode:o}"
