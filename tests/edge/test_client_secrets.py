"""Client secrets as users use them: minted by the official SDK or by hand, and sent wherever a credential may stand."""

import json
import re
import time

import httpx
import openai
import pytest
from openai.types.beta.realtime import SessionCreateResponse, TranscriptionSession
from openai.types.realtime import ClientSecretCreateResponse

from minting import (
    BEARER,
    ENDPOINTS,
    GA_SESSION,
    HEARD,
    KEY,
    PLACES,
    VOICED,
    comparable,
    mint,
    opened,
    post,
    value,
)
from serving import BETA


@pytest.fixture
def client(keyed):
    with openai.OpenAI(base_url=f"{keyed.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


# ---- the shapes, and the official SDK


def test_the_ga_answer_is_openais_in_every_key(keyed):
    before = int(time.time())
    minted = mint(keyed, session=GA_SESSION, expires_after={"anchor": "created_at", "seconds": 60})
    assert re.fullmatch(r"ek_[A-Za-z0-9_-]+", minted["value"])
    assert before + 60 <= minted["expires_at"] <= time.time() + 60
    assert minted["session"].pop("expires_at") > before + 3600
    assert re.fullmatch(r"sess_\w+", minted["session"].pop("id"))
    assert minted.keys() == {"value", "expires_at", "session"}
    assert minted["session"] == {
        "type": "transcription",
        "object": "realtime.transcription_session",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": {"model": "gpt-4o-transcribe", "language": "en", "prompt": None},
                "noise_reduction": {"type": "near_field"},
                "turn_detection": VOICED | {"idle_timeout_ms": None},
            }
        },
        "include": None,
    }


def test_the_beta_answer_is_openais_in_every_key(keyed):
    minted = mint(keyed, "transcription_sessions", input_audio_transcription=HEARD)
    assert minted["client_secret"].keys() == {"value", "expires_at"}
    assert minted["client_secret"]["expires_at"] - time.time() == pytest.approx(600, abs=10)
    assert minted["expires_at"] > minted["client_secret"]["expires_at"]
    assert comparable(minted, "client_secret") == {
        "object": "realtime.transcription_session",
        "modalities": ["audio", "text"],
        "turn_detection": VOICED | {"threshold": 0.5, "silence_duration_ms": 200},
        "input_audio_format": "pcm16",
        "input_audio_transcription": {"model": "gpt-4o-transcribe", "language": "en", "prompt": ""},
        "input_audio_noise_reduction": None,
        "include": None,
    }


@pytest.mark.parametrize("session", [GA_SESSION, {"type": "transcription"}, {"type": "realtime", "tools": []}, None])
def test_the_official_sdk_mints_and_the_secret_opens_what_was_minted(keyed, client, session):
    given = {} if session is None else {"session": session}
    raw = client.realtime.client_secrets.with_raw_response.create(**given)
    ClientSecretCreateResponse.model_validate_json(raw.text, strict=True)
    minted = raw.parse()
    assert minted.session.type == ("realtime" if session is None else session["type"])
    created = opened(keyed, minted.value)
    assert created["type"] == "session.created"
    shown = json.loads(raw.text)["session"]
    if minted.session.type == "transcription":
        shown["audio"]["input"]["turn_detection"].pop("idle_timeout_ms")
    assert comparable(created["session"]) == comparable(shown)
    assert created["session"]["id"] != minted.session.id


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_official_sdk_mints_in_the_beta_dialect(keyed, client):
    raw = client.beta.realtime.transcription_sessions.with_raw_response.create(
        input_audio_transcription={"model": "gpt-4o-mini-transcribe", "language": "de"},
        turn_detection={"type": "semantic_vad", "eagerness": "low"},
        client_secret={"expires_at": {"anchor": "created_at", "seconds": 30}},
    )
    TranscriptionSession.model_validate_json(raw.text, strict=True)
    minted = raw.parse()
    assert minted.client_secret.expires_at - time.time() == pytest.approx(30, abs=10)
    created = opened(keyed, minted.client_secret.value)
    assert created["type"] == "transcription_session.created"
    assert created["session"]["input_audio_transcription"]["model"] == "gpt-4o-mini-transcribe"
    assert created["session"]["turn_detection"] == {"type": "semantic_vad", "eagerness": "low"}
    assert created["session"]["client_secret"] is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_official_sdk_mints_a_realtime_session(keyed, client):
    raw = client.beta.realtime.sessions.with_raw_response.create(
        model="gpt-4o-realtime-preview",
        voice="verse",
        instructions="Be short.",
        input_audio_transcription={"model": "whisper-1"},
    )
    SessionCreateResponse.model_validate_json(raw.text, strict=True)
    created = opened(keyed, raw.parse().client_secret.value)
    assert created["type"] == "session.created"
    session = created["session"]
    assert (session["object"], session["model"]) == ("realtime.session", "gpt-4o-realtime-preview")
    assert (session["voice"], session["instructions"]) == ("verse", "Be short.")
    assert session["input_audio_transcription"]["model"] == "whisper-1"


# ---- using them


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_works_wherever_a_credential_may_stand(keyed, endpoint, place):
    assert opened(keyed, value(mint(keyed, endpoint)), place)["type"].endswith("session.created")


def test_one_secret_opens_several_sessions_and_no_update_comes_unasked(keyed):
    secret = value(mint(keyed, model="gpt-4o-transcribe", vad={"enabled": False}))
    with keyed.socket(**PLACES["subprotocol"](secret)) as one, keyed.socket(**PLACES["subprotocol"](secret)) as two:
        ids = {wire.receive()["session"]["id"] for wire in (one, two)}
        assert len(ids) == 2
        for wire in (one, two):
            # what follows session.created is the answer to the first event: nobody sent an update unasked
            assert wire.ask("session.update", session={"include": None})["type"] == "session.updated"
            assert wire.ask("session.update", session={"audio": {"input": {"turn_detection": VOICED}}})["type"] == (
                "session.updated"
            )
            assert wire.hear("alpha", "bravo", pause_s=0.8) == "alpha bravo"


def test_the_connection_may_say_otherwise(keyed):
    ga, beta = value(mint(keyed, session=GA_SESSION)), value(mint(keyed, "transcription_sessions"))
    for secret in (ga, beta):
        created = opened(keyed, secret, additional_headers=BETA | {"Authorization": f"Bearer {secret}"})
        assert created["type"] == "transcription_session.created"
    created = opened(keyed, ga, target="/v1/realtime?model=whisper-1")
    assert created["session"]["audio"]["input"]["transcription"]["model"] == "whisper-1"
    assert created["session"]["audio"]["input"]["transcription"]["language"] == "en"
    # SDKs that cannot connect without a model name a realtime one
    created = opened(keyed, ga, target="/v1/realtime?model=gpt-realtime")
    assert created["session"]["type"] == "transcription"
    realtime = value(mint(keyed))
    assert opened(keyed, realtime)["session"]["type"] == "realtime"
    assert opened(keyed, realtime, target="/v1/realtime?intent=transcription")["session"]["type"] == "transcription"


def test_a_configuration_too_large_for_a_header_travels_by_reference(keyed):
    instructions = "".join(chr(0x4E00 + (i * 7919) % 20_000) for i in range(20_000))
    minted = mint(keyed, session={"type": "realtime", "instructions": instructions})
    assert len(minted["value"]) < 200
    assert opened(keyed, minted["value"], "subprotocol")["session"]["instructions"] == instructions


def test_a_live_model_has_no_turn_detection_unless_it_is_asked_for(keyed):
    live = {"model": "gpt-realtime-whisper"}
    for detection, expected in (({}, None), ({"turn_detection": VOICED}, VOICED)):
        session = {"type": "transcription", "audio": {"input": {"transcription": live, **detection}}}
        created = opened(keyed, value(mint(keyed, session=session)))
        assert created["session"]["audio"]["input"]["turn_detection"] == expected


def test_without_keys_minting_works_the_same(server):
    answer = post(server, "client_secrets", {"session": GA_SESSION}, headers={})
    created = opened(server, answer.json()["value"], "subprotocol")
    assert created["session"]["audio"]["input"]["turn_detection"] == VOICED


# ---- what people send


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("body", [None, b"", b"{}", b"null", b" {} \n"])
def test_a_body_is_not_needed(keyed, endpoint, body):
    answer = httpx.post(f"{keyed.url}/v1/realtime/{endpoint}", headers=BEARER, content=body)
    assert answer.status_code == 200
    assert opened(keyed, value(answer.json()))["type"].endswith("session.created")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/realtime/client_secrets/", "/realtime/client_secrets", "/openai/v1/realtime/client_secrets",
        "/openai/realtimeapi/transcription_sessions?api-version=2025-04-01-preview", "/openai/realtimeapi/sessions",
    ],
)  # fmt: skip
def test_base_urls_that_clients_have(keyed, path):
    assert httpx.post(keyed.url + path, headers={"api-key": KEY}, json={}).status_code == 200


def test_the_curl_and_the_socket_of_the_first_seed(keyed):
    """Contract G.3, S0: flat fields, and the secret in the query."""
    body = {"model": "gpt-4o-transcribe", "language": "ja", "vad": {"enabled": True}}
    minted = post(keyed, "transcription_sessions", body, headers=BEARER | BETA).json()
    assert minted["input_audio_transcription"] == {"model": "gpt-4o-transcribe", "language": "ja", "prompt": ""}
    target = f"/v1/realtime?intent=transcription&authorization=Bearer%20{minted['client_secret']['value']}"
    created = opened(keyed, "", target=target, additional_headers=BETA)
    assert created["session"]["input_audio_transcription"]["language"] == "ja"


def test_the_socket_of_the_second_seed(keyed):
    """Contract G.3, S1: three subprotocols, a transcription model in the URL, and an update right away."""
    secret = value(mint(keyed, "transcription_sessions"))
    offered = ["realtime", f"openai-insecure-api-key.{secret}", "openai-beta.realtime-v1"]
    with keyed.socket("/v1/realtime?model=gpt-4o-transcribe", subprotocols=offered) as wire:
        assert wire.socket.subprotocol == "realtime"
        session = {
            "modalities": ["text"], "input_audio_format": "pcm16", "turn_detection": None,
            "input_audio_transcription": {"model": "gpt-4o-transcribe", "prompt": "", "language": "en"},
            "input_audio_noise_reduction": {"type": "near_field"},
        }  # fmt: skip
        wire.send("transcription_session.update", session=session)
        assert [wire.receive()["type"], wire.receive()["type"]] == [
            "transcription_session.created",
            "transcription_session.updated",
        ]


def test_the_session_of_the_third_seed(keyed):
    """Contract G.3, S2: a realtime session, and a socket without a model in its URL."""
    body = {"model": "gpt-4o-realtime-preview", "input_audio_transcription": {"model": "gpt-4o-mini-transcribe"}}
    with keyed.socket("/v1/realtime", **PLACES["Authorization"](value(mint(keyed, "sessions", **body)))) as wire:
        assert wire.receive()["session"]["model"] == "gpt-4o-realtime-preview"
        assert wire.hear("alpha") == "alpha"


def test_the_request_of_the_fourth_seed(keyed):
    """Contract G.3, S3: semantic_vad with eagerness, in Japanese."""
    body = {
        "input_audio_transcription": {"model": "gpt-4o-transcribe", "language": "ja"},
        "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
    }
    created = opened(keyed, value(mint(keyed, "transcription_sessions", **body)))
    assert created["session"]["turn_detection"]["eagerness"] == "low"


@pytest.mark.parametrize(
    ("body", "kind", "model", "language", "detection"),
    [
        ({"model": "whisper-1"}, "transcription", "whisper-1", None, True),
        ({"language": "de"}, "transcription", "scripted", "de", True),
        ({"model": "gpt-realtime"}, "realtime", None, None, True),
        ({"model": "gpt-realtime", "language": "de", "vad": False}, "realtime", "scripted", "de", False),
        ({"session": {"type": "transcription", "model": "whisper-1"}}, "transcription", "whisper-1", None, True),
        ({"session": {"input_audio_transcription": HEARD}}, "transcription", "gpt-4o-transcribe", "en", True),
        ({"session": None}, "realtime", None, None, True),
    ],
)
def test_flat_fields_go_where_they_belong(keyed, body, kind, model, language, detection):
    session = mint(keyed, **body)["session"]
    heard = session["audio"]["input"]
    assert session["type"] == kind
    assert (heard["transcription"] or {}).get("model") == model
    assert (heard["transcription"] or {}).get("language") == language
    assert (heard["turn_detection"] is not None) == detection


def test_no_secret_reaches_the_log(keyed, caplog):
    caplog.set_level("DEBUG")
    secret = value(mint(keyed))
    opened(keyed, secret, "?access_token")
    logged = " ".join(r.getMessage() for r in caplog.records if r.name.startswith(("hark", "uvicorn")))
    assert "opened" in logged
    assert secret[3:] not in logged


def test_what_was_minted_transcribes(keyed):
    # The scripted model transcribes loudness, which noise reduction changes.
    heard = GA_SESSION["audio"]["input"] | {"noise_reduction": None}
    session = GA_SESSION | {"audio": {"input": heard}}
    with keyed.socket(**PLACES["subprotocol"](value(mint(keyed, session=session)))) as wire:
        assert wire.receive()["type"] == "session.created"
        wire.append(b"\0" * 9_600)
        assert wire.hear("alpha", "bravo", pause_s=0.8) == "alpha bravo"


def test_a_realtime_session_that_names_no_model_shows_the_configured_one(serve):
    server = serve(api_key=KEY, session_model="gpt-realtime-mini")
    minted = post(server, "client_secrets", {}).json()
    assert minted["session"]["model"] == "gpt-realtime-mini"
    with server.socket(
        additional_headers={"Authorization": f"Bearer {minted['value']}"}, target="/v1/realtime"
    ) as wire:
        assert wire.receive()["session"]["model"] == "gpt-realtime-mini"
