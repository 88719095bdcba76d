"""https and wss: a certificate of one's own, or one that the server makes."""

import json
import ssl
import stat
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from websockets.sync.client import connect

from hark.edge import tls
from hark.errors import OperatorError
from serving import COMPLETED, Server, base64, speech


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    server = Server(data_dir=folder, tls_self_signed=True)
    yield server, folder
    server.stop()


def test_a_certificate_that_the_server_makes(secure):
    server, folder = secure
    assert server.url.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=tls.own_path(folder))
    port = server.url.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost"):
        index = httpx.get(f"https://{host}:{port}/", verify=trusting).json()
        assert index["realtime"].startswith(f"wss://{host}:{port}/")
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)
    with connect(f"wss{server.url[5:]}/v1/realtime", ssl=trusting, compression=None) as socket:
        socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": base64(speech("alpha", "hotel"))}))
        while (event := json.loads(socket.recv(20)))["type"] != COMPLETED:
            pass
        assert event["transcript"] == "alpha hotel"


def test_it_stays_until_it_expires_or_lacks_a_name(tmp_path, monkeypatch):
    first = tls.self_signed(tmp_path)
    content = first.chain.read_bytes()
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    assert tls.self_signed(tmp_path).chain.read_bytes() == content
    monkeypatch.setattr(tls, "_addresses", lambda: ["203.0.113.5"])
    second = tls.self_signed(tmp_path).chain.read_bytes()
    assert second != content

    class Later(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime.now(UTC) + timedelta(days=tls.VALID_DAYS - tls.RENEWED_DAYS_BEFORE + 1)

    monkeypatch.setattr(tls, "datetime", Later)
    assert tls.self_signed(tmp_path).chain.read_bytes() != second
    assert sorted(path.name for path in (tmp_path / tls.FOLDER).iterdir()) == ["self-signed.key", "self-signed.pem"]


def test_one_of_ones_own_is_looked_at_before_serving(tmp_path):
    made = tls.self_signed(tmp_path)
    with pytest.raises(OperatorError, match="cannot be used"):
        Server(tls_cert=made.chain, tls_key=made.chain)
    with pytest.raises(OperatorError, match="cannot be used"):
        Server(tls_cert=tmp_path / "none.pem", tls_key=made.key)
    server = Server(tls_cert=made.chain, tls_key=made.key)
    try:
        assert (
            httpx.get(f"{server.url}/health", verify=ssl.create_default_context(cafile=made.chain)).status_code == 200
        )
    finally:
        server.stop()
