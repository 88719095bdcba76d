"""Models from the hub to a transcript: pulled, listed, chosen, loaded, missing and mended, in real processes."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import wave
from pathlib import Path

import httpx
import pytest

from gateways import LINUX, until
from hark.bench.processes import PROGRAM
from hark.compute import memory, worker
from hark.models.catalog import installed
from hark.models.files import hub_table
from hark.models.files.pull import models_folder, pull
from hub import standing
from serving import PATIENCE_S, Server, speech

PLUGINS = Path(__file__).parents[1] / "plugins"
WORDS = b"words of the hub"
WEIGHTS = bytes(range(256)) * 8192  # 2 MiB
FAILED = "conversation.item.input_audio_transcription.failed"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with standing() as hub:
        hub.repos["somebody/hub-toy"] = {"words.txt": WORDS, "model.bin": WEIGHTS}
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        yield hub


@pytest.fixture
def plugin(monkeypatch):
    """The plug-in of tests/plugins is installed, for this process and for those that it starts."""
    monkeypatch.syspath_prepend(PLUGINS)
    installed()  # which makes its files known
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(PLUGINS), *filter(None, sys.path))))
    yield
    hub_table.HUB_FILES.pop("hub-toy", None)
    sys.modules.pop("hub_toy", None)


@pytest.fixture
def serving(plugin, tmp_path):
    """A server with the plug-in, in this process."""
    servers = []

    def made(**options):
        servers.append(Server(models_dir=tmp_path / "models", data_dir=tmp_path / "data", **options))
        return servers[-1]

    (tmp_path / "models").mkdir(exist_ok=True)
    yield made
    for server in servers:
        server.stop()


def hark(*arguments, **variables):
    """The command as a process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HARK_")}
    return subprocess.Popen(
        [*PROGRAM, *arguments], env=kept | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process):
    out, error = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, error


def asking(server, model):
    """A session that asks for this model; the greeting has come."""
    return server.session(target=f"/v1/realtime?intent=transcription&model={model}")


def heard(wire):
    """How one turn ended: the transcript, or the error's message."""
    wire.append(speech("alpha", "bravo"))
    while True:
        event = wire.receive()
        if event["type"] == FAILED:
            return event["error"]["message"]
        if event["type"].endswith("transcription.completed"):
            return event["transcript"]


def wav():
    """A second of tone, as a file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(speech("alpha", "bravo", rate=16_000))
    return out.getvalue()


# ---- pull


def test_a_pull_that_is_interrupted_goes_on(hub, plugin, tmp_path):
    folder = tmp_path / "models"
    command = ("pull", "hub-toy", "--models-dir", str(folder))
    hub.hold["model.bin"] = 700_000
    process = hark(*command)
    until(lambda: [part for part in folder.glob("*/*.part") if part.stat().st_size == 700_000])
    process.send_signal(signal.SIGINT)
    code, out, error = ended(process)
    assert (code, out) == (130, "")
    assert error == "Stopped. The same command goes on with what came of a hub's file.\n"
    hub.release()
    hub.seen.clear()
    code, out, error = ended(hark(*command))
    assert (code, error) == (0, "")
    assert [seen.range for seen in hub.gets("model.bin")] == ["bytes=700000-"]
    assert (folder / "hub-toy" / "model.bin").read_bytes() == WEIGHTS
    assert " ".join(out.split()).startswith("name what licence MB from hub-toy a toy's words MIT 2.1 cache, 127.0.0.1:")
    assert ended(hark(*command, "--quiet")) == (0, "", "")


@pytest.mark.skipif(not LINUX, reason="needs a pseudo-terminal")
def test_a_terminal_shows_how_far_each_file_is(hub, plugin, tmp_path):
    hub.hold["model.bin"] = 700_000
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "pull", "hub-toy", "--models-dir", tmp_path], env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
        stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    with process, os.fdopen(ours, "rb", 0) as terminal:
        while b"0.7/2.1 MB" not in said:
            said += terminal.read(4096)
        hub.release()
        with contextlib.suppress(OSError):  # the terminal's end
            while chunk := terminal.read(4096):
                said += chunk
    assert process.returncode == 0
    assert b"hub-toy/model.bin" in said
    assert b"2.1/2.1 MB" in said


def test_what_goes_wrong_is_told_in_one_line(hub, plugin, tmp_path):
    hub.lies["words.txt"] = b"other words here"
    code, out, error = ended(hark("pull", "hub-toy", "--models-dir", str(tmp_path / "models")))
    assert (code, out) == (1, "")
    assert error.startswith("hark: Cannot get hub-toy/words.txt. Tried: 127.0.0.1:")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    code, _, error = ended(hark("pull", "hub-toy", "--models-dir", str(tmp_path / "m"), HF_HUB_OFFLINE="1"))
    assert code == 1
    assert "HF_HUB_OFFLINE is set, so no connection is made. Without a network: put" in error


# ---- models


def test_each_model_has_its_row_and_what_it_lacks(hub, plugin, tmp_path):
    folder = tmp_path / "models"

    def listing():
        code, out, error = ended(hark("models", "--json", "--models-dir", str(folder)))
        assert (code, error) == (0, "")
        return json.loads(out)

    before = {model["name"]: model for model in listing()["models"]}
    toy = before["hub-toy"]
    assert (toy["bytes"], toy["pulled"], toy["pull"]) == (2_000_000, False, "hark pull hub-toy")
    assert toy["problem"] == "The files of the model 'hub-toy' are not on this machine. Run `hark pull hub-toy`."
    assert toy["languages"] == ["en", "de"]
    bare = before["bare-toy"]
    assert (toy["installed"], bare["installed"]) == (True, False)
    assert bare["install"] == "pip install 'toy[all]'"
    assert bare["problem"] == (
        "The model 'bare-toy' needs Python modules that are not installed: no_such_module. "
        "Run `pip install 'toy[all]'`."
    )
    pull(["hub-toy"], folder, progress=lambda *_: None)
    found = listing()
    after = {model["name"]: model for model in found["models"]}["hub-toy"]
    assert (after["bytes"], after["pulled"], after["problem"]) == (len(WORDS) + len(WEIGHTS), True, None)
    assert found["chosen"].startswith("hub-toy: the best that is pulled for a CPU with ")
    names = {name["id"] for name in found["data"]}
    assert "hub-toy" in names
    assert "bare-toy" not in names
    _, out, _ = ended(hark("models", "--models-dir", str(folder), COLUMNS="200"))
    assert re.search(r"^bare-toy +pip install 'toy\[all\]'$", out, re.MULTILINE)
    assert re.search(r"^hub-toy \* +2\.1  pulled\n  .* Licence: MIT\. Languages: en, de\.$", out, re.MULTILINE)


# ---- serve


@pytest.mark.parametrize("pulled", [False, True])
def test_serve_says_what_it_took_and_why(hub, plugin, samples, tmp_path, pulled):
    folder = tmp_path / "models"
    for name in ("moonshine-tiny-en", "silero-vad", "smart-turn"):
        (folder / name).mkdir(parents=True)
        for file in (models_folder() / name).iterdir():
            (folder / name / file.name).symlink_to(file)
    if pulled:
        ended(hark("pull", "hub-toy", "--models-dir", str(folder)))
    process = hark(
        "serve", "--port", "0", "--models-dir", str(folder), "--data-dir", str(tmp_path / "data"), PYTHONUNBUFFERED="1"
    )
    try:
        said = process.stdout.readline() + process.stdout.readline()
    finally:
        process.send_signal(signal.SIGTERM)
        ended(process)
    name = "hub-toy" if pulled else "moonshine-tiny-en"
    why = r"the best that is pulled for a CPU with \d+ GiB" if pulled else "small and quick on a CPU"
    assert re.fullmatch(
        rf"Hark listens at http://127\.0\.0\.1:\d+ with {name}\. Ctrl-C stops it\.\n"
        rf"{name} is {why}\. --model takes another\.\n",
        said,
    )
    assert (folder / "hub-toy" / "model.bin").exists() == pulled  # which nobody asked for


def test_a_model_without_its_package_is_refused_with_the_command(plugin, tmp_path):
    code, _, error = ended(hark("serve", "--model", "bare-toy", "--port", "0"))
    assert code == 1
    assert error == (
        "hark: --model bare-toy cannot be used. The model 'bare-toy' needs Python modules that are not installed: "
        "no_such_module. Run `pip install 'toy[all]'`.\n"
    )


def test_a_model_that_loads_slowly_delays_no_greeting_and_nobody_else(serving, tmp_path):
    server = serving()
    with asking(server, "slow-toy") as slow:
        assert slow.created["session"]["audio"]["input"]["transcription"]["model"] == "slow-toy"
        slow.append(speech("alpha"))
        until((tmp_path / "models" / "loading").exists)
        with asking(server, "slow-toy") as second, asking(server, "scripted") as other:
            assert second.created["type"] == "session.created"
            assert heard(other) == "alpha bravo"
        (tmp_path / "models" / "open").touch()
        assert slow.until("conversation.item.input_audio_transcription.completed")[-1]["transcript"] == "at last"


def test_a_model_without_files_fails_its_items_until_they_are_pulled(serving, hub, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "AGAIN_S", 0.05)
    server = serving(aliases="fast=scripted")
    missing = "The files of the model 'hub-toy' are not on this machine. Run `hark pull hub-toy`."
    with asking(server, "HUB-toy") as wire, asking(server, "fast") as other:
        assert heard(wire) == missing
        assert heard(wire) == missing
        assert heard(other) == "alpha bravo"
        file = {"file": ("a.wav", wav(), "audio/wav")}
        answer = httpx.post(f"{server.url}/v1/audio/transcriptions", files=file, data={"model": "hub-toy"})
        assert (answer.status_code, answer.json()["error"]["message"]) == (503, missing)
        pull(["hub-toy"], tmp_path / "models", progress=lambda *_: None)
        until(lambda: heard(wire) == WORDS.decode())


def test_an_alias_may_stand_for_a_model_of_the_hub(serving, hub, tmp_path):
    pull(["hub-toy"], tmp_path / "models", progress=lambda *_: None)
    server = serving(aliases="gpt-4o-transcribe=hub-toy")
    with asking(server, "gpt-4o-transcribe") as wire, asking(server, "whisper-1") as other:
        assert heard(wire) == WORDS.decode()
        assert heard(other) == "alpha bravo"


@pytest.mark.skipif(not LINUX, reason="processes are looked at in /proc")
def test_a_server_with_little_memory_drops_who_is_not_used(serving, hub, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(memory, "IDLE_S", 0.0)
    caplog.set_level("INFO", "hark.compute")
    pull(["hub-toy"], tmp_path / "models", progress=lambda *_: None)
    server = serving(models_memory_mb=1)
    with asking(server, "hub-toy") as wire:
        assert heard(wire) == WORDS.decode()
        until(lambda: "model hub-toy was dropped to keep within --models-memory-mb" in caplog.text)
        assert heard(wire) == WORDS.decode()
