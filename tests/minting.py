"""Minting client secrets as users do, and using them: what the tests of them share."""

import httpx

KEY = "sk-one-two-three"
BEARER = {"Authorization": f"Bearer {KEY}"}
ENDPOINTS = ("client_secrets", "transcription_sessions", "sessions")
PLACES = {
    "Authorization": lambda key: {"additional_headers": {"Authorization": f"Bearer {key}"}},
    "api-key": lambda key: {"additional_headers": {"api-key": key}},
    "subprotocol": lambda key: {"subprotocols": ["realtime", f"openai-insecure-api-key.{key}"]},
    "?authorization": lambda key: {"target": f"/v1/realtime?authorization=Bearer%20{key}"},
    "?access_token": lambda key: {"target": f"/v1/realtime?access_token={key}"},
}
CREATED = {"anchor": "created_at"}
VOICED = {"type": "server_vad", "threshold": 0.6, "prefix_padding_ms": 300, "silence_duration_ms": 500}
HEARD = {"model": "gpt-4o-transcribe", "language": "en"}
GA_SESSION = {
    "type": "transcription",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "transcription": HEARD,
            "noise_reduction": {"type": "near_field"},
            "turn_detection": VOICED,
        }
    },
}


def post(server, endpoint, body=None, headers=BEARER, **options):
    url = f"{server.url}/v1/realtime/{endpoint}"
    return httpx.post(url, headers=headers, **({"json": body} if body is not None else {}), **options)


def mint(server, endpoint="client_secrets", **body):
    answer = post(server, endpoint, body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def value(minted):
    return minted["value"] if "value" in minted else minted["client_secret"]["value"]


def opened(server, secret, place="Authorization", **options):
    """session.created, as whoever holds the secret gets it."""
    with server.socket(**{"target": "/v1/realtime"} | PLACES[place](secret) | options) as wire:
        return wire.receive()


def refusal(server, secret):
    with server.socket(**PLACES["Authorization"](secret)) as wire:
        (event,), code, _ = wire.ending()
        return event["error"], code


def comparable(session, *but):
    return {name: field for name, field in session.items() if name not in {"id", "expires_at", *but}}
