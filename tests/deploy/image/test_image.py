"""The image of deploy/Dockerfile: built from the lock, and run as the manifests run it. `make test-deploy`.

HARK_BASE names a folder with the root file system of its base; without it Debian's is made by debootstrap, which has
the same Python 3.11. Needs root, and Linux.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from deploying import free_port, session_at, words
from dockerfile import Container, build
from hark.models.files.pull import models_folder

pytestmark = [
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="a root file system needs root"),
    pytest.mark.timeout(900),
]
KEY = "sk-in-a-container"
START_S = 30


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    work = tmp_path_factory.mktemp("image")
    base = Path(os.environ.get("HARK_BASE") or work / "base")
    if not base.exists():
        if not shutil.which("debootstrap"):
            pytest.fail("make test-deploy needs debootstrap (Debian: apt install debootstrap), or HARK_BASE")
        include = "--include=python3,python3-venv,ca-certificates"
        subprocess.run(["debootstrap", "--variant=minbase", include, "bookworm", base], check=True, stdout=-3)
    yield build(work, base)
    shutil.rmtree(work)


@pytest.fixture
def container(image, tmp_path):
    """Gives one that runs, with /data and /settings of this machine; its address comes with it."""
    made = []
    data, settings = tmp_path / "data", tmp_path / "settings"
    data.mkdir()
    settings.mkdir()
    (image.root / "settings").mkdir(exist_ok=True)
    os.chown(data, 10001, 10001)
    tmp_path.chmod(0o755)

    def running(*arguments, **environment):
        port = free_port()
        settings.joinpath("hark.env").write_text(f"HARK_API_KEY={KEY}\n")
        told = {"HARK_PORT": str(port), "HARK_HOST": "127.0.0.1", "HARK_ENV_FILE": "/settings/hark.env"} | environment
        made.append(Container(image, *arguments, mounts=[(data, "/data"), (settings, "/settings")], environment=told))
        deadline = time.monotonic() + START_S
        while not made[-1].healthy():
            assert made[-1].process.poll() is None, made[-1].process.stdout.read()
            assert time.monotonic() < deadline, "it does not become healthy"
            time.sleep(0.5)
        return made[-1], f"http://127.0.0.1:{port}", settings / "hark.env"

    yield running
    for each in made:
        each.kill()


def transcript(url):
    sample = models_folder() / "samples" / "beckett.wav"
    with sample.open("rb") as file:
        answer = httpx.post(
            f"{url}/v1/audio/transcriptions", headers={"Authorization": f"Bearer {KEY}"},
            files={"file": file}, data={"model": "whisper-1"}, timeout=60,
        )  # fmt: skip
    return words(answer.json()["text"])


def test_it_serves_without_privileges_on_a_tree_that_nobody_can_write(container):
    running, url, _ = container()
    status = Path(f"/proc/{running.pid}/status").read_text()
    assert re.search(r"^NSpid:\s+\d+\s+1$", status, re.MULTILINE), "hark should be process 1"
    assert re.search(r"^Uid:(\s+10001){4}$", status, re.MULTILINE)
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert "Read-only file system" in running.shell("touch /opt/hark/x /models/x /etc/x")
    assert {"ever", "tried", "failed", "again", "better"} <= transcript(url)
    assert running.stop(signal.SIGTERM)[0] == 0


def test_models_are_baked_in(image):
    there = {path.name for path in (image.root / "models").iterdir()}
    assert len(there) >= 3
    assert not list((image.root / "models").rglob("*.whl"))


def test_nothing_of_the_build_is_in_the_image(image):
    for path in ("src", "wheels", "opt/build"):
        assert not (image.root / path).exists()
    files = (path for path in (image.root / "opt/hark").rglob("*") if not path.is_symlink())
    assert not [path for path in files if path.stat().st_mode & 0o002], "anyone may write these"


def test_sigterm_reaches_it_and_ends_sessions_in_order(container):
    running, url, _ = container("serve", "--workers", "2")
    with session_at(url, KEY) as wire:
        assert wire.receive()["type"] == "session.created"
        code, said = running.stop(signal.SIGTERM)
        _, close, _ = wire.ending()
    assert (code, close) == (0, 1012)
    assert "Stopping." in said
    assert "Traceback" not in said


def test_a_reload_from_inside(container):
    running, url, settings = container()
    with session_at(url, KEY) as wire:
        wire.receive()
        settings.write_text("HARK_API_KEY=sk-another\n")
        running.shell("kill -HUP 1")
        deadline = time.monotonic() + 20
        while httpx.get(f"{url}/v1/models", headers={"Authorization": "Bearer sk-another"}).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        wire.send("input_audio_buffer.clear")
        assert wire.receive()["type"] == "input_audio_buffer.cleared"
    assert running.stop(signal.SIGTERM)[0] == 0


def test_health_is_checked_over_tls_too(container):
    running, url, _ = container(HARK_TLS_SELF_SIGNED="true")
    assert running.healthy()
    with pytest.raises(httpx.TransportError):
        httpx.get(url + "/health")
