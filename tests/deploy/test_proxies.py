"""deploy/nginx.conf and deploy/Caddyfile as they stand, but for ports and certificates, before a real server: what
clients send and what they are told pass through."""

import io
import shutil
import subprocess
import time
import wave
from contextlib import contextmanager

import httpx
import pytest

from deploying import ANYONE, free_port, session_at, words
from documents import ROOT
from hark.edge import tls
from hark.models.files.pull import models_folder
from serving import COMPLETED, PATIENCE_S, Server, base64, speech

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
        ("127.0.0.1:8000", to),
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
        ("127.0.0.1:8000", to),
        ("speech.example.org {", f"https://127.0.0.1:{port} {{\n\tbind 127.0.0.1\n\ttls {made.chain} {made.key}"),
    )
    (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + site)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", folder / "Caddyfile"]


@contextmanager
def proxying(make, folder, url):
    made = tls.Certificate(folder / "chain.pem", folder / "key.pem")
    tls._make(made, list(tls.NAMES))
    port = free_port()
    process = subprocess.Popen(
        make(folder, port, url.removeprefix("http://"), made), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={"HOME": str(folder), "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
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


@pytest.fixture(scope="module", params=[nginx, caddy], ids=lambda make: make.__name__)
def proxy(request, server, tmp_path_factory):
    """The address of a proxy before the server."""
    if not shutil.which(request.param.__name__, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"):
        pytest.skip("it is not installed")
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
