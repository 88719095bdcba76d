"""GET /v1/models, as httpx, OpenAI's SDK and a shell see it; and the names there, as a session takes them."""

import subprocess

import httpx
import pytest
from openai import AuthenticationError, NotFoundError, OpenAI
from openai.types import Model

from hark.app import MODEL_PATHS
from hark.models.base import EngineModel
from hark.models.catalog import installed
from hark.models.names import OPENAI_NAMES, SESSION_NAMES
from hark.models.ready import installed_packages

KEY = "k" * 20
PREVIEWS = ["gpt-4o-realtime-preview-2024-12-17", "gpt-4o-realtime-preview-2024-10-01", "gpt-4o-realtime-preview"]


@pytest.fixture
def sdk(server):
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def named(serve):
    """A server with names of its own, which stand for another model than OpenAI's do."""
    return serve(
        model="moonshine-tiny-en",
        aliases="Fast=scripted,whisper-1=scripted",
        transcription_model="gpt-4o-transcribe",
        session_model=PREVIEWS[0],
    )


# ---- the list


@pytest.mark.here
@pytest.mark.parametrize("path", [path + slash for path in MODEL_PATHS for slash in ("", "/")])
def test_the_list_has_every_name(server, path):
    answer = httpx.get(server.url + path)
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"object", "data"}
    assert body["object"] == "list"
    assert all(model.keys() == {"id", "object", "created", "owned_by"} for model in body["data"])
    names = [model["id"] for model in body["data"]]
    engines = {name: model.spec for name, model in installed().items() if isinstance(model, EngineModel)}
    own = [name for name, spec in engines.items() if installed_packages(spec)]
    assert {"moonshine-tiny-en", "scripted", "upstream"} <= set(own)
    assert names.index("scripted") < names.index("whisper-1")
    assert set(names) == {*own, *(card.name for card in OPENAI_NAMES), *SESSION_NAMES}
    assert len(names) == len(set(names))


def test_the_sdk_lists_and_retrieves(sdk):
    models = list(sdk.models.list())
    assert {*PREVIEWS, "whisper-1", "scripted"} <= {model.id for model in models}
    for model in models:
        assert Model.model_validate(model.to_dict(), strict=True) == model == sdk.models.retrieve(model.id)
    assert (model.object, sdk.models.retrieve("whisper-1").owned_by) == ("model", "openai-internal")


@pytest.mark.parametrize("name", ["no-such-model", "a/b c", "ünbekannt", "silero-vad"])
def test_the_sdk_is_told_of_a_model_that_is_not_there(sdk, name):
    with pytest.raises(NotFoundError, match="does not exist") as caught:
        sdk.models.retrieve(name)
    error = caught.value
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")
    assert error.body["message"] == f"The model '{name}' does not exist. GET /v1/models lists those that do."


@pytest.mark.parametrize("name", ["gpt-realtime-2099-01-02", "GPT-Realtime-of-ours", "gpt-4o-mini-realtime-preview-x"])
def test_a_name_that_is_taken_by_its_beginning_is_shown(server, sdk, name):
    model = sdk.models.retrieve(name)
    assert Model.model_validate(model.to_dict(), strict=True) == model
    assert (model.id, model.object, model.owned_by) == (name, "model", "hark")
    assert model.created == sdk.models.retrieve(name).created
    with server.session(target=f"/v1/realtime?model={name}") as wire:
        assert wire.created["session"]["model"] == name


@pytest.mark.parametrize("path", MODEL_PATHS)
def test_case_does_not_matter(server, path):
    assert httpx.get(f"{server.url}{path}/Whisper-1").json()["id"] == "whisper-1"


def test_the_shell_test_of_a_guide_finds_the_models(serve):
    # As a widely copied guide has it, but for address and key. What is printed is lines, as at OpenAI.
    line = f"""curl {serve(api_key=KEY).url}/v1/models \\
  -H "Authorization: Bearer {KEY}" | grep "gpt-4o-realtime\""""
    found = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=20, check=True).stdout
    assert {f'"id": "{name}",' for name in PREVIEWS} <= {line.strip() for line in found.splitlines()}
    assert "whisper-1" not in found


# ---- who may ask


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/whisper-1", "/v1/models/no-such-model"])
def test_a_key_is_asked_for_as_it_is_of_a_session(serve, path):
    url = serve(api_key=KEY).url + path
    for headers, code in (({}, None), ({"Authorization": "Bearer wrong"}, "invalid_api_key")):
        answer = httpx.get(url, headers=headers)
        assert answer.status_code == 401
        error = answer.json()["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert (error["type"], error["code"]) == ("invalid_request_error", code)
    for headers in ({"Authorization": f"Bearer {KEY}"}, {"api-key": KEY}):
        assert httpx.get(url, headers=headers).status_code == (404 if "no-such" in path else 200)


def test_the_sdk_takes_the_refusal_for_what_it_is(serve):
    with (
        OpenAI(base_url=f"{serve(api_key=KEY).url}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(AuthenticationError, match="Incorrect API key"),
    ):
        client.models.list()


def test_pages_from_elsewhere_may_not_ask_a_server_without_a_key(server):
    answer = httpx.get(f"{server.url}/v1/models", headers={"Origin": "https://evil.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "origin_not_allowed")
    assert httpx.get(f"{server.url}/v1/models", headers={"Origin": "http://localhost:3000"}).status_code == 200


# ---- the operator's names


def test_aliases_are_listed_and_transcribe(named):
    with OpenAI(base_url=f"{named.url}/v1", api_key="none", max_retries=0) as client:
        assert client.models.retrieve("fast").id == "Fast"
        names = [model.id for model in client.models.list()]
    assert names.count("whisper-1") == names.count("Fast") == 1
    with named.session(target="/v1/realtime?model=FAST") as wire:
        assert wire.created["session"]["audio"]["input"]["transcription"]["model"] == "FAST"
        assert wire.hear("alpha", "bravo") == "alpha bravo"
        transcription = {"model": "whisper-1"}
        wire.ask("transcription_session.update", session={"input_audio_transcription": transcription})
        assert wire.hear("charlie") == "charlie"


def test_the_default_name_counts_where_none_is_sent(named):
    with named.session() as wire:
        audio = {"input": {"transcription": {"language": "en"}}}
        updated = wire.ask("session.update", session={"type": "transcription", "audio": audio})
        assert updated["session"]["audio"]["input"]["transcription"]["model"] == "gpt-4o-transcribe"


def test_the_default_session_model_is_shown_where_none_is_sent(named, dialect):
    with named.session(dialect) as wire:
        updated = wire.ask("session.update", session={"type": "realtime"})
        assert updated["session"]["model"] == PREVIEWS[0]
        updated = wire.ask("session.update", session={"type": "realtime", "model": "gpt-realtime-2"})
        assert updated["session"]["model"] == "gpt-realtime-2"
    with named.session(dialect, target="/v1/realtime?model=GPT-Realtime") as wire:
        assert wire.created["session"]["model"] == "GPT-Realtime"


def test_every_name_of_the_list_opens_a_session(server):
    for model in httpx.get(f"{server.url}/v1/models").json()["data"]:
        with server.session(target=f"/v1/realtime?model={model['id']}") as wire:
            assert wire.created["type"] == "session.created"
            kind = "realtime" if model["id"] in SESSION_NAMES else "transcription"
            assert wire.created["session"]["type"] == kind


def test_an_unknown_model_is_told_where_the_list_is(server):
    with server.socket("/v1/realtime?intent=transcription&model=no-such-model") as wire:
        (told,), code, _ = wire.ending()
        assert (told["error"]["code"], code) == ("invalid_model", 4000)
    with server.session() as wire:
        transcription = {"model": "no-such-model"}
        later = wire.ask("transcription_session.update", session={"input_audio_transcription": transcription})
    for error in (told["error"], later["error"]):
        assert error["message"].startswith('Model "no-such-model" is not supported in transcription mode.')
        assert "GET /v1/models" in error["message"]
        assert "`hark models`" in error["message"]
