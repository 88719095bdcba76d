"""A hub's model from this machine, without the hub; the disk that it lands on; pulls at the same time."""

import hashlib
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from toy_files import CONFIG, CONTENT, REPO, TOY, WEIGHTS, content, fetch, parts

from hark.errors import OperatorError
from hark.models.files import hub as pulling
from hark.models.files.pull import missing
from hub import git_sha1

pytestmark = pytest.mark.usefixtures("environment")

# ---- from this machine


def test_from_a_copied_models_folder(hub, folder, tmp_path):
    fetch(folder)
    hub.seen.clear()
    pulled = fetch(tmp_path / "second", folder)
    assert content(tmp_path / "second") == CONTENT
    assert {item.origin for item in pulled} == {f"folder {folder}"}
    assert hub.seen == []
    assert missing([TOY.name], tmp_path / "second") == []


def test_a_copy_that_was_damaged_on_the_way_is_refused(hub, folder, tmp_path):
    fetch(folder)
    (folder / TOY.name / "model.bin").write_bytes(WEIGHTS[:-1] + b"?")
    with pytest.raises(OperatorError, match=r"model\.bin has SHA-256 .*, expected .*"):
        fetch(tmp_path / "second", folder)


@pytest.mark.parametrize("within", ["", "whisper-toy"])
def test_from_a_clone(folder, tmp_path, within):
    clone = tmp_path / "clones" / within
    clone.mkdir(parents=True)
    for name, data in CONTENT.items():
        (clone / name).write_bytes(data)
    fetch(folder, tmp_path / "clones")
    assert content(folder) == CONTENT
    assert missing([TOY.name], folder) == []


def test_a_clone_without_its_large_files_says_so(folder, tmp_path):
    (tmp_path / "config.json").write_bytes(CONFIG)
    (tmp_path / "model.bin").write_bytes(pulling.POINTER + b"\noid sha256:00\nsize 1\n")
    with pytest.raises(OperatorError, match=r"model\.bin only stands for the file; run `git lfs pull` in the clone"):
        fetch(folder, tmp_path)


def test_a_folder_without_the_file_says_what_it_lacks(folder, tmp_path):
    with pytest.raises(OperatorError, match=r"holds no toy-hub/config\.json, and no config\.json\. Without a network"):
        fetch(folder, tmp_path)


def cached_by_hugging_face(home: Path, contents=CONTENT, commit="c0ffee") -> Path:
    """The layout of huggingface_hub: blobs by their checksum, links to them by commit."""
    repo = home / "hub" / f"models--{REPO.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    (repo / "blobs").mkdir()
    (repo / "snapshots" / commit).mkdir(parents=True)
    for name, data in contents.items():
        blob = repo / "blobs" / (git_sha1(data) if len(data) < 100 else hashlib.sha256(data).hexdigest())
        blob.write_bytes(data)
        (repo / "snapshots" / commit / name).symlink_to(blob)
    return repo


@pytest.mark.parametrize("offline", ["", "1"])
def test_what_hugging_face_s_tools_have_fetched_is_taken(folder, tmp_path, monkeypatch, offline):
    repo = cached_by_hugging_face(tmp_path / "hf")
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody is there for the optional file
    assert {item.origin for item in fetch(folder)} == {"Hugging Face cache"}
    assert content(folder) == CONTENT
    assert missing([TOY.name], folder) == []
    shutil.rmtree(repo)
    assert content(folder) == CONTENT
    monkeypatch.delenv("HF_HOME")
    cached_by_hugging_face(tmp_path / "other")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "other" / "hub"))
    assert {item.origin for item in fetch(tmp_path / "second")} == {"Hugging Face cache"}


def test_a_damaged_cache_of_theirs_is_passed_over(hub, folder, tmp_path):
    repo = cached_by_hugging_face(tmp_path / "hf")
    hub.commit = "c0ffee"
    for blob in (repo / "blobs").iterdir():
        blob.write_bytes(blob.read_bytes()[::-1])
    assert {item.origin for item in fetch(folder)} == {hub.url.removeprefix("http://")}
    assert content(folder) == CONTENT


# ---- the disk, and each other


def test_no_room_is_said_before_an_hour_is_spent(hub, folder, monkeypatch):
    full = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(pulling.shutil, "disk_usage", lambda _: full)
    with pytest.raises(
        OperatorError, match=rf"No room for toy-hub in .*: {len(WEIGHTS):,} bytes are wanted, and 1,000"
    ):
        fetch(folder)
    assert hub.gets("model.bin") == []


def test_a_disk_that_fills_up_meanwhile_keeps_what_came(hub, folder):
    limit = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        "from pathlib import Path\nfrom hark.models.files import hub_table\n"
        "from hark.models.files.hub_table import HubFiles\nfrom hark.models.files.pull import pull\n"
        f"hub_table.HUB_FILES['toy-hub'] = HubFiles('toy-hub', '', 'MIT', {REPO!r}, ('model.bin',), 1)\n"
        f"pull(['toy-hub'], Path({str(folder)!r}), progress=lambda *_: None)\n"
    )
    ended = subprocess.run([sys.executable, "-c", limit], capture_output=True, text=True, check=False)
    assert "Cannot write" in ended.stderr
    assert "Make room, or name another folder with HARK_MODELS_DIR" in ended.stderr
    assert [part.stat().st_size for part in parts(folder)] == [500_000]
    fetch(folder)
    assert content(folder) == CONTENT


def test_pulls_at_the_same_time_fetch_once(hub, folder):
    hub.gate.clear()
    done, waiting = [], threading.Event()

    def second(what, *_):
        if "another pull is at it" in what:
            waiting.set()

    threads = [threading.Thread(target=lambda: done.append(fetch(folder))) for _ in range(2)]
    threads[0].start()
    until = time.monotonic() + 20
    while not hub.gets("model.bin"):
        assert time.monotonic() < until
        time.sleep(0.005)
    threads[1] = threading.Thread(target=lambda: done.append(fetch(folder, progress=second)))
    threads[1].start()
    assert waiting.wait(20)
    hub.gate.set()
    for thread in threads:
        thread.join()
    assert len(done) == 2
    assert len(hub.gets("model.bin")) == 1
    assert content(folder) == CONTENT
