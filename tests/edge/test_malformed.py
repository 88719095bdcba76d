"""Whatever is wrong with a request, its sender is told in the envelope of an error, and the server goes on."""

import json

import httpx
import pytest

from malformed import KEY, MINT, UPLOAD, everything, request
from rawsocket import Connection

CASES = everything()


@pytest.fixture(scope="module")
def strict(serve):
    return serve(api_key=KEY, max_file_mb=5)


def test_there_are_many_and_each_is_another():
    assert len(CASES) >= 1_000
    assert len({data for _, data in CASES}) >= 0.98 * len(CASES)


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in CASES])
def test_it_is_refused_in_words(strict, data, caplog):
    with Connection(strict) as connection:
        status, headers, body = connection.exchange(data)
        if status == 101:
            told = json.loads(connection.recv())
            assert told["type"] == "error"
        else:
            assert 400 <= status < 500, body
            assert headers["content-type"] == "application/json"
            told = json.loads(body)
    error = told["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    assert error["type"] in ("invalid_request_error", "server_error")
    assert len(error["message"]) > 15
    assert KEY not in json.dumps(told)
    goes_on(strict, caplog)


@pytest.mark.parametrize("target", [*MINT, *UPLOAD])
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
@pytest.mark.parametrize("kept", [0, 1, 5_000])
def test_who_hangs_up_in_the_middle_is_forgotten(strict, target, kind, kept, caplog):
    with Connection(strict) as connection:
        connection.hang_up_after(request("POST", target, b"--b" + bytes(10_000), kind=kind)[: -10_003 + kept])
    goes_on(strict, caplog)


def goes_on(server, caplog):
    assert httpx.get(f"{server.url}/health", verify=False).json() == {"status": "ok"}
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
