"""Programs that no package index has, or that need another system: what they send, frame for frame, and wait for.

Rule: a replay does what its program does, with the program's limits; addresses come from the recipe's page, so a page
cannot name one that is not tried. Each hears a real recording, and ends as its program ends.
"""

import json

import httpx
import pytest

from hark.audio.formats import encode
from pages import address, target
from recipes import check_words
from replays import dotnet, natively, openwhispr, others, typewhisper, voxinput
from replays.line import DELTA, Closed

LAST = "better"
MINI, LIVE = "gpt-4o-mini-transcribe", "gpt-live-transcribe"


def tried(name, what, **more):
    return pytest.mark.client(name, "WebSocket, replayed", what, **more)


@pytest.fixture(scope="module")
def audio(recording):
    """As a microphone of 24 kHz gives it, with the pause that a speaker makes at the end."""
    return encode(recording("beckett", 24_000), "pcm16") + bytes(48_000)


@pytest.fixture(scope="module")
def mint(hark, key):
    """Gives a client secret that carries these settings."""

    def minted(session):
        answer = httpx.post(
            f"{hark.url}/v1/realtime/client_secrets",
            json={"session": session},
            headers={"Authorization": f"Bearer {key}"},
        )
        return answer.json()["value"]

    return minted


def check(text, line):
    check_words(text)
    assert line.end == Closed(1000, "")
    assert "error" not in line.kinds


# ---- .NET


@tried(".NET SDK, GA", "transcription session with server_vad")
def test_dotnet_ga(hark, key, audio):
    text, line = dotnet.ga(hark, target("dotnet", "/v1/realtime"), key, audio, last_word=LAST)
    check(text, line)
    assert line.kinds.count("session.updated") == 1
    assert len(line.transcripts) > 1


@tried(".NET SDK, GA", "a client secret that carries the settings")
def test_dotnet_secret(hark, mint, audio):
    text, line = dotnet.ga(
        hark, target("dotnet", "/v1/realtime"), mint(dotnet.SETTINGS), audio, last_word=LAST, carried=True
    )
    check(text, line)
    heard = line.events[0]["session"]["audio"]["input"]
    assert heard["transcription"]["model"] == "gpt-4o-transcribe"
    assert heard["noise_reduction"]["type"] == "near_field"
    assert heard["turn_detection"]["type"] == "server_vad"
    assert "session.updated" not in line.kinds


@tried(".NET SDK, beta", "`transcription_session.update` with server_vad")
def test_dotnet_beta(hark, key, audio):
    text, line = dotnet.beta(hark, target("dotnet", "/v1/realtime"), key, audio, last_word=LAST)
    check(text, line)
    assert line.kinds.count("transcription_session.updated") == 1


@tried("PSOpenAI", "no subprotocol, both dialects, key in either header")
@pytest.mark.parametrize("beta", [False, True], ids=["GA", "beta"])
@pytest.mark.parametrize("header", ["Authorization: Bearer <token>", "api-key: <token>"])
def test_psopenai(hark, key, audio, header, beta):
    where = target("dotnet", "/v1/realtime")
    check(*others.psopenai(hark, where, key, audio, header=header, beta=beta))


@tried("Azure's sample of the beta", "`/openai/realtime`, `api-version`, `api-key`")
def test_azure_sample(hark, key, audio):
    text, line = others.azure_sample(hark, target("dotnet", "/openai/"), key, audio, LAST)
    check(text, line)
    assert line.kinds[:2] == ["transcription_session.created", "transcription_session.updated"]


# ---- dictation


@tried("OpenWhispr", "server_vad, and one turn by a live model; audio before the greeting")
@pytest.mark.parametrize(("model", "last"), [(MINI, LAST), (LIVE, None)])
def test_openwhispr(hark, key, audio, model, last):
    base = address("openwhispr", "http://")
    text, line = openwhispr.dictate(hark, base, key, audio, model=model, last_word=last)
    check(text, line)
    assert openwhispr.url(base, MINI) == target("openwhispr", "ws://")


@tried("OpenWhispr", "a client secret that carries the settings")
def test_openwhispr_with_a_secret(hark, mint, audio):
    base, secret = address("openwhispr", "http://"), mint(openwhispr.settings(LIVE))
    text, line = openwhispr.dictate(hark, base, secret, audio, model=LIVE, preconfigured=True)
    check(text, line)
    assert "session.updated" not in line.kinds


def test_openwhispr_knows_the_error_of_a_dictation_too_short(hark, key):
    text, line = openwhispr.dictate(hark, address("openwhispr", "http://"), key, bytes(2_400))
    assert (text, line.kinds[-1], line.end) == ("", "error", Closed(1000, ""))
    error = line.events[-1]["error"]
    assert error["code"] == "input_audio_buffer_commit_empty"
    assert "buffer too small" in error["message"]


@tried("TypeWhisper", "one turn, by a model that takes a language, and by one that takes context")
@pytest.mark.parametrize(("model", "hints"), [("gpt-4o-transcribe", None), (LIVE, typewhisper.LIVE)])
def test_typewhisper(hark, key, audio, model, hints):
    where = target("typewhisper", "api-version").partition("&")[0]
    text, line = typewhisper.dictate(hark, where, key, audio, model=model, hints=hints)
    check(text, line)
    assert line.updated["session"]["audio"]["input"]["turn_detection"] is None


@tried("TypeWhisper", "`api-version`, key in `api-key`")
def test_typewhisper_with_an_api_version(hark, key, audio):
    check(*typewhisper.dictate(hark, target("typewhisper", "api-version"), key, audio, header="api-key: <token>"))


@tried("VoxInput", "a realtime session turned into a transcription, with and without a model")
@pytest.mark.parametrize(
    "transcription", [None, {"model": "whisper-1", "language": "English"}, {"model": "whisper-1", "prompt": "A play."}]
)
def test_voxinput(hark, key, audio, transcription):
    where = target("voxinput", "model=")
    text, line = voxinput.speak(hark, where, key, audio, last_word=LAST, transcription=transcription)
    check(text, line)
    assert line.kinds[:2] == ["session.created", "session.updated"]
    assert line.events[0]["session"]["type"] == "realtime"
    assert line.events[1]["session"]["type"] == "transcription"


@tried("go-openai-realtime", "its example: one append, a commit, a response")
def test_go_openai_realtime(hark, key, audio):
    check(*others.go_example(hark, target("voxinput", "intent="), key, audio, LAST))


# ---- meetings


@tried("Natively", "the socket of May 2026, with GA's settings in the beta dialect, and of later releases")
@pytest.mark.parametrize("release", ["May 2026", "later"])
def test_natively(hark, key, audio, release):
    line = natively.listen(hark, key, audio, release=release, last_word=LAST)
    check(" ".join(line.transcripts), line)
    assert DELTA in line.kinds


@pytest.mark.client("Natively", "HTTP, replayed", "the upload that it makes to a base URL")
def test_natively_uploads(hark, key, file):
    status, body = natively.upload(hark, target("natively", "/v1/audio"), key, file.read_bytes())
    assert status == 200, body
    check_words(json.loads(body)["text"])


@tried("a diarizing client", "`gpt-4o-transcribe-diarize`, a commit when all is over")
def test_diarizing(hark, key, audio):
    check(*others.diarizing(hark, "/v1/realtime?intent=transcription", key, audio))
