"""The pretender gives people what OpenAI's servers gave them: keys, models, handshakes, minting.

Rule: seen with OpenAI's own SDK or with bare frames, never by looking inside. Offers and what lies between are in
test_pretender_offers.py, sessions in test_pretender_session.py.
"""

import asyncio
import time

import httpx
import openai
import pytest
from websockets.exceptions import InvalidStatus

from pretender import Pretender, texts
from pretending import BETA, BETA_SESSION, GA_SESSION, INTENT, asked, fault, minted, refused, wire

NO_SECRET = "ek_00000000000000000000000000000000"


# ---- keys and secrets ----------------------------------------------------------------------------------------------


def test_a_key_lists_models_and_a_secret_does_not(today, sdk):
    listed = [model.id for model in sdk(today).models.list()]
    assert {"whisper-1", "gpt-4o-transcribe", "gpt-realtime", "gpt-4o-realtime-preview-2024-12-17"} <= set(listed)
    with pytest.raises(openai.AuthenticationError, match=r"Incorrect API key provided: ek_\w+\*+\w{4}\. You can find"):
        sdk(today, minted(today)).models.list()
    with pytest.raises(openai.NotFoundError, match="The model 'gpt-9' does not exist"):
        sdk(today).models.retrieve("gpt-9")
    assert fault(httpx.get(f"{today.url}/v1/models"))[:2] == (401, None)


def test_a_socket_without_a_good_key(today):
    error, code = refused(today, key=None)
    assert (error["code"], code) == (None, 3000)
    assert error["message"] == "Missing bearer or basic authentication in header"
    for key in ("sk-somebody-elses-key", NO_SECRET):
        error, code = refused(today, key=key)
        assert (error["code"], code) == ("invalid_api_key", 3000)
    error, code = refused(today, f"{INTENT}&authorization=Bearer%20{minted(today)}", key=None)  # S0
    assert (error["code"], code) == (None, 3000)


@pytest.mark.parametrize(("take", "works"), [("secrets", "secret"), ("keys", "key")])
def test_a_credential_of_the_other_sort(take, works):
    with Pretender(sessions_take=take) as pretender:
        for name, key in {"key": pretender.key, "secret": minted(pretender)}.items():
            if name == works:
                with wire(pretender, key=key) as socket:
                    assert socket.receive()["type"] == "session.created"
            else:
                error, code = refused(pretender, key=key)
                assert (error["code"], code) == ("invalid_api_key", 3000)


def test_a_secret_that_has_expired_when_it_comes():
    with Pretender(secrets="expired") as pretender:
        secret = minted(pretender)
        error, code = refused(pretender, key=secret)
        assert (error["message"], code) == ("Ephemeral token expired", 3000)
        assert asked(pretender, "/v1/realtime/calls", key=secret, content="v=0\r\n").status_code == 401


@pytest.mark.parametrize("told", ["true", "zero", "past"])
def test_a_secret_works_whatever_is_told_of_its_end(told, sdk):
    with Pretender(announced_expiry=told) as pretender:
        answer = sdk(pretender).realtime.client_secrets.create(session=GA_SESSION)
        assert answer.session.expires_at == 0
        assert {"true": answer.expires_at > time.time(), "zero": answer.expires_at == 0}.get(
            told, 0 < answer.expires_at < time.time()
        )
        with wire(pretender, key=answer.value) as socket:
            created = socket.receive()["session"]
        assert created["audio"]["input"]["transcription"]["model"] == "gpt-4o-transcribe"
        assert created["expires_at"] > time.time()


def test_minting_that_brings_no_secret():
    with Pretender(beta="on", minted="nothing") as pretender:
        assert "value" not in asked(pretender, "/v1/realtime/client_secrets", {"session": GA_SESSION}).json()
        answer = asked(pretender, "/v1/realtime/transcription_sessions", BETA_SESSION)
        assert (answer.status_code, answer.json()["client_secret"]) == (200, None)


@pytest.mark.parametrize("code", ["insufficient_quota", "credit_balance_exhausted", "rate_limit_exceeded"])
def test_an_account_that_may_spend_no_more(code, sdk):
    with Pretender(quota=code) as pretender:
        with pytest.raises(openai.RateLimitError) as raised:
            sdk(pretender).models.list()
        assert raised.value.code == code
        error, _ = refused(pretender)
        assert error["code"] == code


# ---- models --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "there", "not_there"),
    [
        ("none", set(), {"gpt-realtime", "whisper-1"}),
        ("no_transcription", {"gpt-realtime"}, {"gpt-4o-transcribe"}),
        ("no_realtime", {"gpt-4o-transcribe"}, {"gpt-realtime", "gpt-4o-realtime-preview"}),
    ],
)
def test_lists_that_lack_a_model(models, there, not_there, sdk):
    with Pretender(models=models) as pretender:
        listed = {model.id for model in sdk(pretender).models.list()}
    assert there <= listed
    assert not listed & not_there


def test_a_project_that_may_not_use_the_model(sdk):
    with Pretender(access="refused") as pretender:
        with pytest.raises(openai.PermissionDeniedError, match="does not have access to model `gpt-4o-transcribe`"):
            sdk(pretender).realtime.client_secrets.create(session=GA_SESSION)
        error, code = refused(pretender, "/v1/realtime?model=gpt-realtime")
        assert (error["code"], code) == ("model_not_found", 4000)
        with wire(pretender) as socket:
            socket.receive()
            assert socket.ask("session.update", session=GA_SESSION)["error"]["code"] == "model_not_found"


# ---- handshakes ----------------------------------------------------------------------------------------------------


def greeted(pretender, connection):
    """The first event that OpenAI's SDK hears on the connection that `connection` makes of a client."""

    async def first():
        base = {"base_url": f"{pretender.url}/v1", "websocket_base_url": f"ws{pretender.url[4:]}/v1"}
        async with openai.AsyncOpenAI(**base, api_key=pretender.key) as client, connection(client) as realtime:
            return await realtime.recv()

    return asyncio.run(first())


def test_the_wrong_path_gets_403_and_no_word(today):
    with pytest.raises(InvalidStatus) as raised, wire(today, "/v1/realtime/transcription_sessions"):
        pass
    response = raised.value.response
    assert (response.status_code, response.body) == (403, b"")


@pytest.mark.parametrize(
    ("target", "refusal"),
    [
        ("/v1/realtime", texts.NO_MODEL),
        ("/v1/realtime?model=gpt-9", texts.NOT_A_REALTIME_MODEL.said(model="gpt-9")),
        ("/v1/realtime?model=whisper-1", texts.PARTLY_TRANSCRIPTION_MODEL.said(model="whisper-1")),
    ],
)
def test_models_that_a_handshake_may_not_name(today, target, refusal):
    error, code = refused(today, target)
    assert (error["message"], error["code"], code) == (refusal.message, refusal.code, 4000)


def test_the_words_for_a_transcription_model_in_the_beta(before):
    error, _ = refused(before, "/v1/realtime?model=gpt-4o-transcribe", headers=BETA)
    assert error["message"] == 'Model "gpt-4o-transcribe" is not supported in realtime mode.'


def test_intent_and_model_before_mid_2026():
    with Pretender(intent_with_model="refused") as pretender:
        intent = {"intent": "transcription"}
        event = greeted(
            pretender, lambda client: client.realtime.connect(model="gpt-4o-transcribe", extra_query=intent)
        )
    assert event.error.message == "You must not provide a model parameter for transcription sessions."


def test_intent_and_model_since(today):
    with wire(today, f"{INTENT}&model=gpt-4o-mini-transcribe") as socket:
        assert socket.receive()["session"]["type"] == "realtime"
        socket.send("session.update", session=GA_SESSION)
        (event,), code, _ = socket.ending()
    assert event["error"]["message"] == 'Model "gpt-4o-transcribe" is not supported in transcription mode.'
    assert code == 4000


def test_the_beta_is_off(today):
    for options in ({"headers": BETA}, {"subprotocols": ["realtime", "openai-beta.realtime-v1"]}):
        error, code = refused(today, **options)
        assert (error["code"], code) == ("beta_api_shape_disabled", 4000)
    for name in ("transcription_sessions", "sessions"):
        assert fault(asked(today, f"/v1/realtime/{name}", {}))[:2] == (400, "beta_api_shape_disabled")


def test_the_beta_was_on(before):
    event = greeted(before, lambda client: client.beta.realtime.connect(model="gpt-4o-realtime-preview"))
    assert event.type == "session.created"
    with wire(before, key=minted(before, "beta"), headers=BETA) as socket:
        event = socket.receive()
    assert event["type"] == "transcription_session.created"
    assert event["session"]["input_audio_transcription"]["model"] == "gpt-4o-transcribe"


def test_a_secret_of_the_other_dialect(before):
    error, _ = refused(before, key=minted(before), headers=BETA)
    assert error["message"] == "You cannot start a Realtime beta session with a GA client secret."
    error, _ = refused(before, key=minted(before, "beta"))
    assert error["code"] == "api_version_mismatch"


def test_a_browser_hears_its_subprotocol_back(today):
    offered = ["realtime", f"openai-insecure-api-key.{minted(today)}"]
    with wire(today, key=None, subprotocols=offered) as socket:
        assert socket.socket.subprotocol == "realtime"
        assert socket.receive()["type"] == "session.created"


def test_a_socket_on_which_nothing_is_said():
    with Pretender(greeting=False) as pretender, wire(pretender) as socket:
        socket.send("session.update", session=GA_SESSION)
        with pytest.raises(TimeoutError):
            socket.socket.recv(0.2)


# ---- minting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("transcription_sessions", {"vad": {"enabled": True}}, "vad"),  # S0
        ("transcription_sessions", {"model": "gpt-4o-transcribe"}, "model"),
        ("transcription_sessions", {"client_secret": {"expires_at": {"seconds": 60}}}, "client_secret.expires_at"),
        ("client_secrets", {"session": {"type": "transcription", "language": "en"}}, "session.language"),
        ("client_secrets", {"language": "en"}, "language"),
    ],
)
def test_fields_that_minting_does_not_know(before, path, body, param):
    answer = asked(before, f"/v1/realtime/{path}", body)
    assert fault(answer) == (400, "unknown_parameter", f"Unknown parameter: '{param}'.")
    assert answer.json()["error"]["param"] == param


def test_what_else_minting_refuses(before):
    no_anchor = asked(before, "/v1/realtime/client_secrets", {"expires_after": {"seconds": 60}})
    assert fault(no_anchor)[2] == "Missing required parameter: 'expires_after.anchor'."
    talking = asked(before, "/v1/realtime/sessions", {"model": "gpt-4o-transcribe"})
    assert fault(talking)[2] == 'Model "gpt-4o-transcribe" is not supported in realtime mode.'
    secret = asked(before, "/v1/realtime/client_secrets", {}, key=minted(before))
    assert fault(secret)[:2] == (401, "invalid_api_key")
    assert fault(asked(before, "/v1/realtime/transcribe", {}))[0] == 404
    assert fault(asked(before, "/v1/realtime/client_secrets", content="{"))[1] == "invalid_json"
