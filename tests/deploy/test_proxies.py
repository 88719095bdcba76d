"""deploy/nginx.conf, deploy/Caddyfile and deploy/haproxy.cfg as they stand, but for ports and certificates, before
a real server: what clients send and what they are told pass through."""

import asyncio
import io
import shutil
import subprocess
import time
import wave
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from calling import Caller
from deploying import ANYONE, free_port, session_at, words
from documents import ROOT
from hark.auth.signing import SigningKeys
from hark.edge import homes, tls
from hark.models.files.pull import models_folder
from serving import COMPLETED, PATIENCE_S, Server, base64, speech

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEY = "sk-behind-a-proxy"
MIB = 2**20


def changed(text, *changes):
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx(folder, port, to, made):
    site = changed(
        (ROOT / "deploy" / "nginx.conf").read_text(),
        ("server 127.0.0.1:8000;", "".join(f"server {each};" for each in to)),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/letsencrypt/live/speech.example.org/fullchain.pem", str(made.chain)),
        ("/etc/letsencrypt/live/speech.example.org/privkey.pem", str(made.key)),
    )
    paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {folder}/{name};" for name in paths)
    frame = f"pid {folder}/pid; daemon off; error_log {folder}/log; worker_processes 1; user root;"
    (folder / "nginx.conf").write_text(f"{frame} events {{}} http {{ access_log off; {temporary}\n{site} }}")
    return ["nginx", "-p", folder, "-c", folder / "nginx.conf"]


def caddy(folder, port, to, made):
    site = changed(
        (ROOT / "deploy" / "Caddyfile").read_text(),
        ("127.0.0.1:8000", " ".join(to)),
        ("speech.example.org {", f"https://127.0.0.1:{port} {{\n\tbind 127.0.0.1\n\ttls {made.chain} {made.key}"),
    )
    (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + site)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", folder / "Caddyfile"]


def haproxy(folder, port, to, made):
    both = folder / "both.pem"
    both.write_bytes(made.chain.read_bytes() + made.key.read_bytes())
    site = changed(
        (ROOT / "deploy" / "haproxy.cfg").read_text(),
        ("server one 127.0.0.1:8000", "\n    ".join(f"server n{n} {each}" for n, each in enumerate(to))),
        ("bind :443 ssl crt /etc/haproxy/speech.example.org.pem", f"bind 127.0.0.1:{port} ssl crt {both}"),
        ("maxconn 20000", "maxconn 100"),
    )
    (folder / "haproxy.cfg").write_text(site)
    return ["haproxy", "-db", "-f", folder / "haproxy.cfg"]


def skip_without(make):
    if not shutil.which(make.__name__, path=PATH):
        pytest.skip("it is not installed")


@contextmanager
def proxying(make, folder, *urls):
    made = tls.Certificate(folder / "chain.pem", folder / "key.pem")
    tls._make(made, list(tls.NAMES))
    port = free_port()
    process = subprocess.Popen(
        make(folder, port, [url.removeprefix("http://") for url in urls], made),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"HOME": str(folder), "PATH": PATH},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                httpx.get(f"https://127.0.0.1:{port}/health", verify=ANYONE).raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline, "the proxy does not answer"
                assert process.poll() is None, "the proxy has ended"
                time.sleep(0.05)
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(
        api_key=KEY, model="moonshine-tiny-en", voice_model="silero-vad", max_sessions=2, aliases="toy=scripted",
        forwarded_allow_ips="127.0.0.1",
        data_dir=tmp_path_factory.mktemp("data"),
    )  # fmt: skip
    yield made
    made.stop()


@pytest.fixture(scope="module", params=[nginx, caddy, haproxy], ids=lambda make: make.__name__)
def proxy(request, server, tmp_path_factory):
    """The address of a proxy before the server."""
    skip_without(request.param)
    with proxying(request.param, tmp_path_factory.mktemp("proxy"), server.url) as url:
        yield url


@pytest.fixture
def client(proxy):
    with httpx.Client(base_url=proxy, verify=ANYONE, timeout=60, headers={"Authorization": f"Bearer {KEY}"}) as made:
        yield made


def session(proxy):
    return session_at(proxy, KEY)


def recording(audio, rate=16_000):
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, rate, 0, "NONE", ""))
        written.writeframes(audio)
    return file.getvalue()


def upload(client, content, **fields):
    files = {"file": ("a.wav", content)}
    return client.post("/v1/audio/transcriptions", files=files, data={"model": "whisper-1"} | fields)


def test_a_session_with_speech(proxy):
    with wave.open(str(models_folder() / "samples" / "beckett.wav")) as file, session(proxy) as wire:
        assert wire.receive()["type"] == "session.created"
        audio = {"format": {"type": "audio/pcm", "rate": file.getframerate()}, "turn_detection": None}
        wire.send("session.update", session={"type": "transcription", "audio": {"input": audio}})
        while chunk := file.readframes(file.getframerate() // 10):
            wire.send("input_audio_buffer.append", audio=base64(chunk))
        wire.send("input_audio_buffer.commit")
        events = wire.until(COMPLETED)
    assert {"ever", "tried", "failed", "no", "matter", "again", "better"} <= words(events[-1]["transcript"])
    assert any(event["type"].endswith("transcription.delta") for event in events)


def test_a_file_of_25_mib_and_one_that_is_larger(client):
    least = recording(b"")
    silence = bytes(25 * MIB - len(least))
    whole = recording(silence)
    assert len(whole) == 25 * MIB
    answer = upload(client, whole, model="toy")
    assert (answer.status_code, answer.json()["text"]) == (200, "")
    larger = upload(client, whole + bytes(MIB // 2))
    assert larger.status_code == 413
    assert "Maximum content size limit" in larger.json()["error"]["message"], "the server itself says so"
    assert upload(client, whole + bytes(4 * MIB)).status_code == 413


def test_limits_and_when_to_come_again(client, proxy):
    with session(proxy) as one, session(proxy) as two:
        assert {one.receive()["type"], two.receive()["type"]} == {"session.created"}
        answer = upload(client, recording(bytes(3_200)))
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "server_overloaded")
        assert answer.headers["retry-after"] == "10"
        with session(proxy) as third:
            (event,), code, _ = third.ending()
            assert (event["error"]["code"], code) == ("server_overloaded", 1013)


def test_a_stream_of_text_comes_in_pieces(client):
    turn = speech("alpha", "bravo", rate=16_000, pause_s=1.2)
    content = recording(turn * 40)
    with client.stream(
        "POST", "/v1/audio/transcriptions", files={"file": ("a.wav", content)}, data={"model": "toy", "stream": "true"}
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        pieces = list(answer.iter_raw())
    assert len(pieces) > 1
    assert pieces[-1].endswith(b"data: [DONE]\n\n")


def test_where_things_are_is_told_as_they_were_reached(client, proxy):
    index = client.get("/", headers={"Accept": "application/json"}).json()
    assert index["realtime"] == f"wss{proxy[5:]}/v1/realtime?intent=transcription"


def test_a_client_that_goes_away_ends_its_session(proxy):
    for _ in range(3):
        with session(proxy) as one, session(proxy) as two:
            assert {one.receive()["type"], two.receive()["type"]} <= {"session.created", "error"}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with session(proxy) as wire:
            if wire.receive()["type"] == "session.created":
                return
        assert time.monotonic() < deadline, "sessions are left behind"
        time.sleep(0.05)


# ---- several nodes -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def nodes(data):
    made = []
    for port in (free_port(), free_port()):
        address = f"127.0.0.1:{port}"
        made.append(
            Server(api_key=KEY, port=port, node_address=address, data_dir=data, forwarded_allow_ips="127.0.0.1")
        )
    yield made
    for each in made:
        each.stop()


@pytest.fixture(params=[nginx, caddy, haproxy], ids=lambda make: make.__name__)
def balancer(request, nodes, tmp_path):
    """The address of a load balancer before both."""
    skip_without(request.param)
    with proxying(request.param, tmp_path, *(each.url for each in nodes)) as url:
        yield url


def test_behind_a_balancer_all_that_belongs_to_a_session_finds_its_node(balancer, nodes, data):
    signing = SigningKeys(data)
    bearer = {"Authorization": f"Bearer {KEY}"}

    def answers(path, method="GET"):
        """Of both nodes, as a rule: they take turns."""
        return [httpx.request(method, balancer + path, headers=bearer, verify=ANYONE, timeout=60) for _ in range(4)]

    with ExitStack() as stack:
        wires = [stack.enter_context(session(balancer)) for _ in range(6)]
        ids = [wire.receive()["session"]["id"] for wire in wires]
        at = [str(homes.unseal(each, signing.to_verify()).address) for each in ids]
        assert {url: at.count(url) for url in at} == {each.url: 3 for each in nodes}, "by least connections"
        for wire in wires:
            assert wire.hear("alpha") == "alpha"
            wire.socket.socket.close()
        for session_id in ids:
            assert [answer.status_code for answer in answers(f"/v1/realtime/sessions/{session_id}/transcript")] == [
                200
            ] * 4
            with session_at(balancer, KEY, f"resume={session_id}") as wire:
                assert wire.receive()["session"]["id"] == session_id
                assert wire.hear("bravo") == "bravo"
                wire.send("session.close")
                wire.ending()

    async def call():
        async with Caller(balancer) as caller:
            await caller.call(headers=bearer)
            await caller.receive()
            call_id = caller.location.rpartition("/")[2]
            return await asyncio.to_thread(beside, call_id)

    def beside(call_id):
        for _ in range(4):
            with session_at(balancer, KEY, f"call_id={call_id}") as wire:
                assert wire.receive()["type"] == "session.created"
        return [answer.status_code for answer in answers(f"/v1/realtime/calls/{call_id}/hangup", "POST")]

    for _ in range(2):
        assert asyncio.run(asyncio.wait_for(call(), 2 * PATIENCE_S)) == [200, 404, 404, 404]
    assert {answer.status_code for answer in answers("/relay")} == {404}
