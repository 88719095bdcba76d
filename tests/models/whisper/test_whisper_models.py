"""faster-whisper's models: what is on offer, under which names, and what happens when one is loaded."""

import shutil
import subprocess
import sys

import ctranslate2
import numpy as np
import pytest
import tiny_whisper

from hark.errors import OperatorError
from hark.models import scripted
from hark.models.base import LoadOptions, Utterance
from hark.models.catalog import Catalog
from hark.models.files import hub_table
from hark.models.whisper import network
from hark.models.whisper import plugin as faster_whisper
from hark.models.whisper.engine import Whisper

NAME = "whisper-tiny"
MODELS = {model.spec.name: model for model in faster_whisper.plugin()}
HELLO, QUIET = "hello world.", np.zeros(16_000, np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny_whisper.make(folder / NAME)
    return folder


# ---- loading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["config.json", "model.bin", "tokenizer.json", "vocabulary.json"])
def test_a_missing_file_is_named(folder, tmp_path, file):
    shutil.copytree(folder / NAME, tmp_path / NAME)
    (tmp_path / NAME / file).unlink()
    with pytest.raises(OperatorError, match=rf"{file}.* was expected in .*{NAME}.*`hark pull {NAME}`"):
        Whisper(NAME, LoadOptions(tmp_path))


@pytest.mark.parametrize("file", ["model.bin", "tokenizer.json", "vocabulary.json"])
def test_a_damaged_file_is_no_crash(folder, tmp_path, file):
    shutil.copytree(folder / NAME, tmp_path / NAME)
    path = tmp_path / NAME / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(OperatorError, match=rf"cannot be read.*{NAME}.*`hark pull {NAME}`"):
        Whisper(NAME, LoadOptions(tmp_path))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OperatorError, match=r"A model file is missing: .*`hark pull whisper-tiny`"):
        Whisper(NAME, LoadOptions(tmp_path))


def test_without_the_package_the_mend_is_told(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(OperatorError, match=r"needs the package faster-whisper.*pip install 'hark\[faster-whisper\]'"):
        Whisper(NAME, LoadOptions(folder))


def test_listing_the_models_imports_nothing_heavy():
    code = (
        "import sys; from hark.models.catalog import installed; installed();"
        "sys.exit(any(name in sys.modules for name in ('ctranslate2', 'faster_whisper', 'tokenizers', 'onnxruntime')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_gpu_that_cannot_be_used_is_told_and_done_without(folder, monkeypatch, caplog):
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 1)
    monkeypatch.setattr(network, "_on_gpu", no_cublas)
    whisper = Whisper(NAME, LoadOptions(folder))
    assert "Library libcublas.so.12 is not found" in caplog.text
    assert whisper.transcribe([Utterance(QUIET)])[0].text == HELLO


def no_cublas(folder):
    raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")


def test_a_gpu_gets_large_batches_in_one_process_and_a_processor_small_ones(monkeypatch):
    monkeypatch.setattr(faster_whisper, "gpu_expected", lambda: True)
    spec = faster_whisper.plugin()[0].spec
    assert (spec.max_batch, spec.threads) == (network.GPU_BATCH, None)
    monkeypatch.setattr(faster_whisper, "gpu_expected", lambda: False)
    assert [model.spec.threads for model in faster_whisper.plugin()[:9:2]] == [1, 2, 4, 8, 8]
    assert {model.spec.max_batch for model in faster_whisper.plugin()} == {network.CPU_BATCH}


@pytest.mark.parametrize(("devices", "there"), [(None, True), ("0", True), ("", False), ("-1", False)])
def test_a_gpu_may_be_hidden(monkeypatch, tmp_path, devices, there):
    monkeypatch.setattr(network, "DRIVERS", (str(tmp_path),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if devices is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    assert network.gpu_expected() is there


# ---- names ---------------------------------------------------------------------------------------------------------


def test_every_size_has_its_files_and_is_offered():
    for size in faster_whisper.SIZES:
        assert MODELS[size.name].spec.files == (size.name,)
        assert size.name in hub_table.HUB_FILES


def test_a_folder_with_a_whisper_is_a_model_of_its_name(folder, tmp_path):
    shutil.copytree(folder / NAME, tmp_path / "my-whisper")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.bin").touch()
    (tmp_path / "broken").mkdir()
    for name in ("model.bin", "config.json", "vocabulary.json"):
        (tmp_path / "broken" / name).write_text("[")
    own = {model.spec.name: model for model in faster_whisper.found_in(tmp_path)}
    assert own.keys() == {"my-whisper"}
    assert own["my-whisper"].spec.files == ()
    engine = own["my-whisper"].load(LoadOptions(tmp_path))
    assert engine.transcribe([Utterance(QUIET)])[0].text == HELLO


def test_a_name_that_many_use_may_be_mapped_to_another_engine():
    models = {model.spec.name: model for model in (*scripted.plugin(), MODELS[NAME])}
    catalog = Catalog(models, "scripted", "scripted-vad", "none", aliases={NAME: "scripted"})
    assert catalog.find("Whisper-Tiny").engine == "scripted"
