"""The whole way with another server as engine: a client, Hark, and behind it Hark once more or a stand-in.

Rule: where two servers meet, both are `hark serve` as processes of their own.
"""

import subprocess

import httpx
import numpy as np
import pytest

import upstreams
from gateways import Gateways, started, until
from hark.edge.tls import own_path
from hark.errors import ModelError
from hark.models.base import LoadOptions, Utterance
from hark.models.upstream import engine as upstream
from hark.models.upstream.rest import wav
from serving import COMPLETED, PATIENCE_S, speech
from upstreams import KEY, StandIn

DELTA = "conversation.item.input_audio_transcription.delta"
FAILED = "conversation.item.input_audio_transcription.failed"
LOGPROBS = ["item.input_audio_transcription.logprobs"]
WORDS = ("alpha", "bravo", "charlie", "delta")


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """Starts `hark serve` with these variables."""
    running = []

    def start(**variables):
        running.append(Gateways(tmp_path_factory.mktemp("home"), workers=1, HARK_LOG_LEVEL="debug", **variables))
        return running[-1]

    yield start
    for server in running:
        server.kill()


@pytest.fixture(scope="module")
def behind(process):
    return process(HARK_API_KEY=KEY)


@pytest.fixture(scope="module", params=["http", "ws"])
def front(request, process, behind):
    url = f"{request.param}{behind.url.removeprefix('http')}/v1"
    return process(HARK_MODEL="upstream", HARK_UPSTREAM=url, HARK_UPSTREAM_KEY=KEY)


@pytest.fixture
def stand_in():
    server = StandIn()
    yield server
    server.stop()


@pytest.fixture
def before(serve):
    """Starts a server, in this process, before a stand-in; stops it at the end of the test."""
    made = []

    def start(stand_in, **options):
        told = {"model": "upstream", "upstream": stand_in.url, "upstream_key": KEY}
        made.append(serve(**told, **options))
        return made[-1]

    yield start
    for server in made:
        server.stop()


def test_a_session_has_deltas_words_and_probabilities(front, behind):
    with front.session() as wire:
        session = {"type": "transcription", "include": LOGPROBS}
        wire.send("session.update", session=session)
        wire.until("session.updated")
        for _ in range(2):
            wire.append(speech(*WORDS, *WORDS))
            events = wire.until(COMPLETED)
            deltas = [event for event in events if event["type"] == DELTA]
            text = " ".join(WORDS * 2)
            assert events[-1]["transcript"] == "".join(event["delta"] for event in deltas) == text
            assert len(events[-1]["logprobs"]) == 8
            words = events[-1]["words"]
            assert [word["word"] for word in words] == text.split()
            starts = [word["start_ms"] for word in words]
            assert starts == sorted(starts)
            assert words[0]["start_ms"] >= events[-1]["start_ms"]
            assert words[-1]["end_ms"] <= events[-1]["end_ms"]
    assert KEY not in front.log + behind.log
    assert not any(word in front.log for word in WORDS)


def test_an_upload_goes_the_same_way(front):
    audio = np.frombuffer(speech(*WORDS, rate=16_000), "<i2") / np.float32(32_768)
    answer = httpx.post(
        f"{front.url}/v1/audio/transcriptions",
        data={"model": "whisper-1", "response_format": "verbose_json"},
        files={"file": ("speech.wav", wav(audio.astype(np.float32)))},
        timeout=PATIENCE_S,
    )
    assert answer.json()["text"] == " ".join(WORDS)


def test_a_server_behind_that_is_gone_fails_items_and_ends_nothing(process):
    behind = process()
    front = process(HARK_MODEL="upstream", HARK_UPSTREAM=f"{behind.url}/v1", HARK_UPSTREAM_TIMEOUT_S="0.5")
    with front.session() as wire:
        assert wire.hear("alpha") == "alpha"
        behind.stop()
        wire.append(speech("alpha", "bravo"))
        assert "upstream server" in wire.until(FAILED)[-1]["error"]["message"]
        with front.session() as other:
            assert other.created["type"] == "session.created"


def test_a_server_without_an_address_says_so_at_once(tmp_path):
    server, log = started(tmp_path, HARK_MODEL="upstream")
    try:
        assert server.wait(PATIENCE_S) == 1
    except subprocess.TimeoutExpired:
        server.kill()
        raise
    finally:
        server.stdout.close()
    assert "--model upstream needs the address of another server" in log.read_text()


def test_without_partials_each_turn_is_asked_about_once(before, stand_in):
    with before(stand_in, upstream_partials=False).session() as wire:
        for _ in range(3):
            # Pauses too short to end the turn: each would be a request on speculation.
            for words in (WORDS, WORDS):
                wire.append(speech(*words, pause_s=0.1))
            wire.append(speech(pause_s=0.6))
            assert wire.until(COMPLETED)[-1]["transcript"] == (", ".join(WORDS * 2) + ".").capitalize()
    assert len(stand_in.requests) == 3


def test_with_partials_text_comes_before_the_turn_ends(before, stand_in):
    with before(stand_in, upstream_partials=True).session() as wire:
        for word in WORDS * 2:
            wire.append(speech(word, pause_s=0)[2_400 * 2 // 2 :])
            until(lambda: stand_in.at_once == 0)
        wire.until(DELTA)
        wire.append(speech(pause_s=0.6))
        wire.until(COMPLETED)
    assert len(stand_in.requests) > 1


def test_what_lasts_is_not_asked_again(before, stand_in):
    with before(stand_in, upstream_partials=False).session() as wire:
        stand_in.mishaps = [upstreams.refuse(401, "No.")] * 9
        wire.append(speech("alpha"))
        assert "HTTP 401 and said: No." in wire.until(FAILED)[-1]["error"]["message"]
    assert len(stand_in.requests) == 1


def test_no_more_at_once_than_allowed(before, stand_in):
    stand_in.slow_s = 0.1
    server = before(stand_in, upstream_concurrency=2, upstream_partials=False)
    with server.session() as one, server.session() as two, server.session() as three:
        wires = (one, two, three)
        for wire in wires:
            wire.append(speech("alpha", pause_s=0.6))
        for wire in wires:
            assert wire.until(COMPLETED)[-1]["transcript"] == "Alpha."
    assert stand_in.most_at_once == 2


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_a_certificate_is_checked(process, tmp_path, monkeypatch, scheme):
    behind = process(HARK_TLS_SELF_SIGNED="true")
    url = f"{scheme}{behind.url.removeprefix('https')}/v1"
    speech_16 = np.frombuffer(speech("alpha", rate=16_000), "<i2") / np.float32(32_768)
    options = LoadOptions(tmp_path, options={"upstream": url})
    with pytest.raises(ModelError, match=r"shows a certificate that is not trusted: .* SSL_CERT_FILE\.$") as caught:
        upstream.Upstream(options).transcribe([Utterance(speech_16)])
    assert caught.value.lasting
    monkeypatch.setenv("SSL_CERT_FILE", str(own_path(behind.data)))
    ear = upstream.Upstream(options)
    assert [ear.transcribe([Utterance(speech_16)])[0].text for _ in range(2)] == ["alpha"] * 2
    ear.close()
