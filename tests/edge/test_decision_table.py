"""The table of dialect and kind (contract B.2) over the wire, whole: credentials, paths, models, intents, signs."""

import itertools

import httpx
import pytest

from hark.app import REALTIME_PATHS
from serving import BETA

KEY = "sk-one-two-three"
LANGUAGE = {"model": "gpt-4o-mini-transcribe"}
# What a credential brings along: dialect, kind, model that transcribes; and how it is minted.
MINTED = {
    "key": ("ga", "transcription", None, None, {}),
    "GA transcription": (
        "ga",
        "transcription",
        "gpt-4o-mini-transcribe",
        "client_secrets",
        {"session": {"type": "transcription", "audio": {"input": {"transcription": LANGUAGE}}}},
    ),
    "GA realtime": ("ga", "realtime", None, "client_secrets", {"session": {"type": "realtime"}}),
    "beta transcription": (
        "beta",
        "transcription",
        "gpt-4o-mini-transcribe",
        "transcription_sessions",
        {"input_audio_transcription": LANGUAGE},
    ),
    "beta realtime": ("beta", "realtime", None, "sessions", {"model": "gpt-realtime"}),
}
MODELS = (None, "gpt-realtime", "gpt-4o-transcribe", "gpt-5")
INTENTS = (None, "transcription")
SIGNS = {
    None: {},
    "header": {"additional_headers": BETA},
    "subprotocol": {"subprotocols": ["realtime", "openai-beta.realtime-v1"]},
}


@pytest.fixture
def server(serve):
    return serve(api_key=KEY)


def credential(server, minted):
    _, _, _, endpoint, body = MINTED[minted]
    if endpoint is None:
        return KEY
    answer = httpx.post(f"{server.url}/v1/realtime/{endpoint}", headers={"api-key": KEY}, json=body).json()
    return answer["value"] if "value" in answer else answer["client_secret"]["value"]


def expected(minted, path, model, intent, sign):
    """Dialect, kind, model that transcribes: the rows of the table, from the strongest to the weakest."""
    dialect, kind, heard, endpoint, _ = MINTED[minted]
    if model == "gpt-5":
        return "invalid_model"
    if model == "gpt-4o-transcribe":
        kind, heard = "transcription", model
    elif model == "gpt-realtime" and endpoint is None:
        kind = "realtime"
    if intent == "transcription" or path.endswith("/transcription_sessions"):
        kind = "transcription"
    return ("beta" if sign else dialect), kind, heard


def met(server, secret, path, model, intent, sign):
    query = "&".join(f"{name}={value}" for name, value in (("model", model), ("intent", intent)) if value)
    options = dict(SIGNS[sign])
    options["additional_headers"] = {"Authorization": f"Bearer {secret}", **options.get("additional_headers", {})}
    with server.socket(f"{path}?{query}", **options) as wire:
        event = wire.receive()
    if event["type"] == "error":
        return event["error"]["code"]
    session = event["session"]
    nested = session.get("audio", {}).get("input", {})
    heard = session.get("input_audio_transcription", nested.get("transcription"))
    dialect = "beta" if "input_audio_format" in session else "ga"
    kind = "realtime" if session["object"] == "realtime.session" else "transcription"
    begins = "transcription_session" if (dialect, kind) == ("beta", "transcription") else "session"
    assert event["type"] == f"{begins}.created"
    return dialect, kind, heard and heard["model"]


@pytest.mark.parametrize("path", REALTIME_PATHS)
@pytest.mark.parametrize("minted", MINTED)
def test_every_combination(server, minted, path):
    secret = credential(server, minted)
    for model, intent, sign in itertools.product(MODELS, INTENTS, SIGNS):
        shown = met(server, secret, path, model, intent, sign)
        assert shown == expected(minted, path, model, intent, sign), (model, intent, sign)
