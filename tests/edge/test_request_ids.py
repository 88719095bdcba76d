"""The id of each request, from the headers of its answer to the log, and the other headers that clients look at."""

import logging
import re
import time

import httpx
import openai
import pytest

from hark.edge.requests import EXPOSED
from serving import BETA, PATIENCE_S
from uploading import post, wav

KEY = "sk-one-two-three"
ID = re.compile(r"req_[0-9a-f]{20}")
ORIGIN = {"Origin": "http://localhost:5173"}


def check(headers):
    assert ID.fullmatch(headers["x-request-id"])
    assert headers["openai-version"] == "2020-10-01"
    assert headers["openai-processing-ms"].isdecimal()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200), ("GET", "/health", 200), ("HEAD", "/health", 200), ("GET", "/v1/models", 200),
        ("GET", "/v1/models/none", 404), ("POST", "/v1/realtime/client_secrets", 200), ("GET", "/v1/realtime", 426),
        ("GET", "/nowhere", 404), ("DELETE", "/health", 405), ("POST", "/v1/audio/transcriptions", 415),
        ("POST", "/v1/audio/translations", 400), ("OPTIONS", "/v1/models", 405),
    ],
)  # fmt: skip
def test_every_answer_has_them(server, method, path, status):
    answer = httpx.request(method, server.url + path, headers=ORIGIN)
    assert answer.status_code == status
    check(answer.headers)
    assert set(EXPOSED) <= set(answer.headers["access-control-expose-headers"].split(", "))


@pytest.mark.parametrize(("origin", "status"), [("http://localhost:5173", 200), ("https://evil.example", 401)])
def test_preflights_have_them(server, origin, status):
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = httpx.options(f"{server.url}/v1/audio/transcriptions", headers=asked)
    assert answer.status_code == status
    check(answer.headers)


@pytest.mark.parametrize("fields", [(), (("stream", "true"),), (("model", "none"),)])
def test_uploads_have_them(server, fields):
    check(post(server, *fields).headers)


def test_no_two_are_the_same(server):
    with httpx.Client() as client:  # which keeps the connection
        assert len({client.get(f"{server.url}/health").headers["x-request-id"] for _ in range(10)}) == 10


@pytest.mark.parametrize("target", ["/v1/realtime", "/nowhere", "/v1/realtime?model=gpt-5"])
def test_a_handshake_has_its_id(server, target, caplog):
    caplog.set_level(logging.INFO, "hark")
    with server.socket(target, additional_headers=BETA) as wire:
        wire.receive()
        request_id = wire.socket.response.headers["x-request-id"]
    assert ID.fullmatch(request_id)
    assert sum(f"({request_id})" in record.getMessage() for record in caplog.records) == 1


def test_the_log_has_the_id_and_no_query(server, caplog):
    caplog.set_level(logging.INFO, "hark.http")
    answer = httpx.get(f"{server.url}/v1/m%0Aodels/x?api-key={KEY}")
    quiet = httpx.get(f"{server.url}/health")
    logged = [record.getMessage() for record in caplog.records]
    (line,) = [line for line in logged if answer.headers["x-request-id"] in line]
    assert re.fullmatch(r"GET /v1/m%0Aodels/x: 404 unknown_url in \d+ ms \(req_\w+\)", line)
    assert KEY not in "".join(logged)
    assert not any(quiet.headers["x-request-id"] in line for line in logged)


def test_openais_sdk_shows_the_id(serve, caplog):
    caplog.set_level(logging.INFO, "hark.http")
    with openai.OpenAI(base_url=f"{serve(api_key=KEY).url}/v1", api_key=KEY, max_retries=0) as client:
        transcript = client.audio.transcriptions.create(file=("a.wav", wav()), model="whisper-1")
        assert ID.fullmatch(transcript._request_id)
        assert ID.fullmatch(client.realtime.client_secrets.create()._request_id)
        assert ID.fullmatch(client.models.list()._request_id)
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve("none")
    assert ID.fullmatch(caught.value.request_id)
    logged = " ".join(record.getMessage() for record in caplog.records)
    assert "POST /v1/audio/transcriptions: 200 in " in logged
    assert transcript._request_id in logged


def test_a_refusal_stands_in_the_log_by_its_code(serve, caplog):
    caplog.set_level(logging.INFO, "hark.http")
    server = serve(api_key=KEY, max_file_mb=1)
    url, headers = f"{server.url}/v1/audio/transcriptions", {"Authorization": f"Bearer {KEY}"}
    httpx.post(url, headers={"Authorization": "Bearer another"})
    httpx.post(url, headers=headers, files={"file": ("a.wav", bytes(1 << 21))}, data={"model": "whisper-1"})
    httpx.post(url, headers=headers, files={"file": ("a.wav", wav())}, data={"model": "none"})
    deadline = time.monotonic() + PATIENCE_S  # a line is written once its answer is out
    while len(caplog.records) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    logged = " ".join(record.getMessage() for record in caplog.records)
    for said in ("401 invalid_api_key in ", "413 request_too_large in ", "404 model_not_found in "):
        assert f"POST /v1/audio/transcriptions: {said}" in logged
