"""Asking the pretender: with a credential, over a socket or HTTP, and what a refusal said.

Rule: nothing is mended on the way. `conftest.py` has the fixtures: `pretend`, `today`, `before`.
"""

from contextlib import contextmanager

import httpx
from websockets.sync.client import connect

from serving import Wire

SDP = {"Content-Type": "application/sdp"}
BETA = {"OpenAI-Beta": "realtime=v1"}
INTENT = "/v1/realtime?intent=transcription"
GA_SESSION = {"type": "transcription", "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}}
BETA_SESSION = {"input_audio_transcription": {"model": "gpt-4o-transcribe"}}


@contextmanager
def wire(pretender, target=INTENT, *, key=True, headers=(), **options):
    """A bare socket, with this credential: True for the API key, None for none."""
    key = pretender.key if key is True else key
    headers = {**dict(headers), **({"Authorization": f"Bearer {key}"} if key else {})}
    url = f"ws{pretender.url.removeprefix('http')}{target}"
    with connect(url, additional_headers=headers, **options) as socket:
        yield Wire(socket)


def refused(pretender, target=INTENT, **options):
    """The error and the close of a handshake that is answered 101."""
    with wire(pretender, target, **options) as socket:
        (event,), code, reason = socket.ending()
    assert event["type"] == "error"
    assert reason == ".".join(filter(None, (event["error"]["type"], event["error"]["code"])))
    return event["error"], code


def asked(pretender, path, body=None, key=None, **options):
    headers = {"Authorization": f"Bearer {key or pretender.key}"} | options.pop("headers", {})
    method = "POST" if body is not None or "content" in options else "GET"
    return httpx.request(method, pretender.url + path, json=body, headers=headers, **options)


def minted(pretender, dialect="ga"):
    if dialect == "beta":
        return asked(pretender, "/v1/realtime/transcription_sessions", BETA_SESSION).json()["client_secret"]["value"]
    return asked(pretender, "/v1/realtime/client_secrets", {"session": GA_SESSION}).json()["value"]


def fault(answer):
    body = answer.json()["error"]
    assert body.keys() == {"message", "type", "param", "code"}
    return answer.status_code, body["code"], body["message"]
