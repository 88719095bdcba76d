"""Azure's paths, as its official client and people's own write them."""

import httpx
import openai
import pytest

from serving import BETA
from uploading import SAID, post, wav

KEY = "sk-one-two-three"
VERSION = "2025-03-01-preview"
DEPLOYMENTS = "/openai/deployments/{}/audio/transcriptions?api-version=" + VERSION


@pytest.fixture
def server(serve):
    return serve(api_key=KEY)


def azure(server, **options):
    given = {"azure_endpoint": server.url, "api_version": VERSION, "api_key": KEY, "max_retries": 0}
    return openai.AzureOpenAI(**given | options)


# ---- files


@pytest.mark.parametrize("deployment", [None, "whisper-1", "our own/whisper ü"])
@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe", "our-own"])
def test_the_official_client_transcribes(server, deployment, model):
    with azure(server, azure_deployment=deployment) as client:
        told = client.audio.transcriptions.create(file=("a.wav", wav()), model=deployment or model)
        assert told.text == SAID
        assert told._request_id.startswith("req_")
        stream = client.audio.transcriptions.create(file=("a.wav", wav()), model="gpt-4o-transcribe", stream=True)
        assert list(stream)[-1].text == SAID


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK has marked translations
def test_the_official_client_is_told_of_what_is_wrong(server):
    with azure(server, api_key="wrong") as client, pytest.raises(openai.AuthenticationError) as caught:
        client.audio.transcriptions.create(file=("a.wav", wav()), model="whisper-1")
    assert caught.value.code == "invalid_api_key"
    with azure(server) as client, pytest.raises(openai.BadRequestError) as caught:
        client.audio.translations.create(file=("a.wav", wav()), model="whisper-1")
    assert caught.value.code == "translation_not_offered"


@pytest.mark.parametrize(
    ("deployment", "fields", "usage"),
    [
        ("whisper-1", (), "duration"),
        ("gpt-4o-transcribe", (), "tokens"),
        ("GPT-4o-Transcribe", (("model", ""),), "tokens"),
        ("gpt-4o-transcribe", (("model", "whisper-1"),), "duration"),
        ("whisper-1", (("model[]", "gpt-4o-transcribe"),), "tokens"),
        ("our-own", (), "duration"),
        ("our-own", (("model", "our-own"),), "duration"),
        ("our-own", (("model[]", "our-own"),), "duration"),
        ("our-own", (("model", "gpt-4o-transcribe"),), "tokens"),
    ],
)
def test_the_deployment_counts_where_the_form_names_no_model(server, deployment, fields, usage):
    answer = post(server, *fields, url=DEPLOYMENTS.format(deployment), headers={"api-key": KEY}).json()
    assert (answer["text"], answer["usage"]["type"]) == (SAID, usage)


def test_a_model_in_the_form_that_nobody_offers_is_refused(server):
    answer = post(server, ("model", "none"), url=DEPLOYMENTS.format("whisper-1"), headers={"api-key": KEY})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_azures_newer_paths(server):
    assert post(server, url="/openai/v1/audio/transcriptions", headers={"api-key": KEY}).json()["text"] == SAID
    for path in ("/openai/v1/audio/translations", "/openai/deployments/x/audio/translations"):
        assert post(server, url=path, headers={"api-key": KEY}).json()["error"]["code"] == "translation_not_offered"
    with openai.OpenAI(base_url=f"{server.url}/openai/v1", api_key=KEY, max_retries=0) as client:
        assert client.audio.transcriptions.create(file=("a.wav", wav()), model="whisper-1").text == SAID
        assert client.models.retrieve("whisper-1").id == "whisper-1"


# ---- sessions


@pytest.mark.parametrize("deployment", [None, "gpt-4o-realtime-preview"])
def test_the_official_clients_realtime_url_is_served(server, deployment):
    with azure(server, azure_deployment=deployment) as client:
        url, headers = client._configure_realtime("gpt-4o-realtime-preview", {}, api_key=KEY)
    assert url.path == "/openai/realtime"
    with server.socket(url.raw_path.decode(), additional_headers=headers) as wire:
        created = wire.receive()
    assert created["type"] == "session.created"
    assert created["session"]["object"] == "realtime.session"
    assert created["session"]["model"] == "gpt-4o-realtime-preview"
    assert "input_audio_format" in created["session"], "a preview speaks the beta dialect"


@pytest.mark.parametrize(
    ("target", "headers", "dialect", "kind"),
    [
        ("/openai/realtime?api-version=2025-04-01-preview&intent=transcription", {}, "beta", "transcription"),
        ("/openai/realtime?api-version=2025-04-01-preview&deployment=whisper-1", {}, "beta", "transcription"),
        ("/openai/realtime?api-version=2025-04-01-preview&deployment=our-own", {}, "beta", "transcription"),
        ("/openai/realtime?api-version=2025-04-01-preview&deployment=gpt-realtime", {}, "beta", "realtime"),
        ("/openai/realtime?api-version=2025-08-28&deployment=gpt-realtime", {}, "ga", "realtime"),
        ("/openai/realtime?api-version=2025-08-28&deployment=gpt-realtime", BETA, "beta", "realtime"),
        ("/openai/v1/realtime?intent=transcription", {}, "ga", "transcription"),
        ("/openai/v1/realtime?intent=transcription", BETA, "beta", "transcription"),
        ("/openai/v1/realtime?model=gpt-realtime", {}, "ga", "realtime"),
        ("/openai/v1/realtime?model=gpt-realtime&intent=transcription", {}, "ga", "transcription"),
        ("/openai/v1/realtime?model=gpt-4o-transcribe", {}, "ga", "transcription"),
        ("/openai/v1/realtime?api-version=preview&model=gpt-realtime", {}, "ga", "realtime"),
    ],
)
def test_azures_sessions(server, target, headers, dialect, kind):
    with server.socket(target, additional_headers={"api-key": KEY} | headers) as wire:
        created = wire.receive()
        said = wire.hear("alpha", rate=24_000)
    flat = "input_audio_format" in created["session"]
    assert ("beta" if flat else "ga") == dialect
    transcription = created["type"].startswith("transcription") or created["session"].get("type") == "transcription"
    assert ("transcription" if transcription else "realtime") == kind
    assert said == "alpha"


def test_azures_secrets_open_azures_sessions(server):
    path = "/openai/realtimeapi/transcription_sessions?api-version=2025-04-01-preview"
    minted = httpx.post(server.url + path, headers={"api-key": KEY}, json={}).json()
    secret = minted["client_secret"]["value"]
    for target in ("/openai/realtime?api-version=2025-04-01-preview", "/openai/v1/realtime", "/v1/realtime"):
        with server.socket(target, subprotocols=["realtime", f"openai-insecure-api-key.{secret}"]) as wire:
            assert wire.receive()["type"] == "transcription_session.created"
