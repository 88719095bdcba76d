"""deploy/nginx-workers.conf as it stands, but for ports and certificates, before workers: a gateway reaches them by
rays://, takes nobody else for them, and streams are what they are without it."""

import asyncio
import shutil
import socket
import subprocess
import time

import grpc
import grpc.aio
import pytest

from deploying import free_port
from documents import ROOT
from hark.compute.cluster import remote, wire
from hark.edge import tls
from hark.errors import OperatorError
from serving import PATIENCE_S, Server
from workers import Workers

SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STREAMS = 200  # more than nginx lets through over one connection by its own default

pytestmark = pytest.mark.skipif(not shutil.which("nginx", path=SBIN), reason="nginx is not installed")


@pytest.fixture(scope="module")
def workers():
    made = Workers("scripted")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def ending_tls(workers, tmp_path_factory):
    """An address at which TLS ends before the workers, and the certificate that is shown there."""
    folder, port = tmp_path_factory.mktemp("proxy"), free_port()
    made = tls.Certificate(folder / "chain.pem", folder / "key.pem")
    tls._make(made, list(tls.NAMES))
    site = (ROOT / "deploy" / "nginx-workers.conf").read_text()
    for old, new in [
        ("server 127.0.0.1:9000", f"server 127.0.0.1:{workers.port}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/letsencrypt/live/workers.example.org/fullchain.pem", str(made.chain)),
        ("/etc/letsencrypt/live/workers.example.org/privkey.pem", str(made.key)),
    ]:
        assert old in site, old
        site = site.replace(old, new)
    frame = f"pid {folder}/pid; daemon off; error_log {folder}/log; worker_processes 1; user root;"
    paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {folder}/{name};" for name in paths)
    (folder / "nginx.conf").write_text(f"{frame} events {{}} http {{ access_log off; {temporary}\n{site} }}")
    process = subprocess.Popen(["nginx", "-p", folder, "-c", folder / "nginx.conf"], env={"PATH": SBIN})
    try:
        _wait_until_it_listens(process, port)
        yield f"localhost:{port}", made.chain
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_listens(process, port):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None, "the proxy has ended"
            assert time.monotonic() < deadline, "the proxy does not answer"
            time.sleep(0.05)


def test_a_gateway_is_understood_by_workers_behind_it(ending_tls, workers):
    address, chain = ending_tls
    gateway = Server(compute=f"rays://{address}", compute_ca=chain)
    try:
        with gateway.session() as session:
            assert session.hear("alpha", "echo", "golf") == "alpha echo golf"
            workers.lose()
            assert session.hear("hotel", "india") == "hotel india"
    finally:
        gateway.stop()


@pytest.mark.parametrize("scheme", ["ray", "rays"])
def test_who_is_not_trusted_or_does_not_speak_tls_is_no_worker(ending_tls, scheme, monkeypatch):
    monkeypatch.setattr(remote, "START_S", 1.5)
    address, _ = ending_tls
    with pytest.raises(OperatorError, match="UNAVAILABLE"):
        Server(compute=f"{scheme}://{address}").stop()


def test_one_connection_carries_as_many_streams_as_a_gateway_puts_there(ending_tls):
    address, chain = ending_tls

    async def greeted():
        async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(chain.read_bytes())) as channel:
            calls = [
                channel.stream_stream(f"/{wire.SERVICE}/{wire.METHOD}")(
                    metadata=((wire.APPLICATION, wire.application("scripted")),)
                )
                for _ in range(STREAMS)
            ]
            async with asyncio.timeout(PATIENCE_S):
                said = await asyncio.gather(*(call.read() for call in calls))
            for call in calls:
                call.cancel()
            return [wire.answered(each) for each in said]

    assert all(isinstance(each, wire.Hello) for each in asyncio.run(greeted()))
