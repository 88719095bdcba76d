"""Moonshine by its makers' own library: the suite, on the files of tiny-en that Hark pulls for itself; what is said
where files or the library are missing; loops and times."""

import sys
from functools import partial
from types import SimpleNamespace

import pytest
from engine_suite import EngineSuite, Subject, recorded
from msgspec import structs

from hark.compute.cores import usable_cores
from hark.core.work import SAMPLE_RATE
from hark.errors import OperatorError
from hark.models.base import EngineModel, LoadOptions, Utterance
from hark.models.files.pull import models_folder
from hark.models.moonshine import voice as moonshine_voice
from hark.models.moonshine.voice import FOR_WORDS, KINDS, Kind, MoonshineVoice

TINY = Kind("tiny-en", "en", 0, "")


@pytest.fixture(scope="session")
def library():
    return pytest.importorskip("moonshine_voice", reason='pip install "hark[moonshine]" brings the library')


class TestTiny(EngineSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, library, samples):
        spec = structs.replace(moonshine_voice.plugin()[0].spec, traits=())  # tiny-en lacks the files for times
        options = LoadOptions(models_folder(), usable_cores())
        return Subject(EngineModel(spec, partial(MoonshineVoice, TINY)), options, recorded())


def test_every_model_is_the_library_s(library):
    offered = {
        (info["model_name"], language, info["model_arch"].value)
        for language, models in sys.modules["moonshine_voice.download"].MODEL_INFO.items()
        for info in models["models"]
    }
    assert {(kind.name, kind.language, kind.arch) for kind in (*KINDS, TINY)} == offered


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_files_that_are_missing_are_fetched_by_the_library_s_own_command(library, kind, tmp_path, monkeypatch):
    monkeypatch.setenv("MOONSHINE_VOICE_CACHE", str(tmp_path))
    with pytest.raises(OperatorError, match=rf"--stt --language {kind.language} --model-arch {kind.arch}$") as caught:
        MoonshineVoice(kind, LoadOptions(tmp_path))
    assert str(tmp_path / f"moonshine-{kind.name}") in caught.value.message


def test_files_are_taken_from_the_library_s_cache(library, samples, tmp_path, monkeypatch):
    monkeypatch.setenv("MOONSHINE_VOICE_CACHE", str(tmp_path))
    folder = tmp_path / "download.moonshine.ai/model/tiny-en/quantized"
    folder.mkdir(parents=True)
    (folder / "tiny-en").symlink_to(models_folder() / "moonshine-tiny-en")
    engine = MoonshineVoice(TINY, LoadOptions(tmp_path / "nothing"))
    assert engine.transcribe([Utterance(recorded()[0])])[0].text
    engine.close()


def test_a_file_that_cannot_be_done_without(library, tmp_path, monkeypatch):
    monkeypatch.setenv("MOONSHINE_VOICE_CACHE", str(tmp_path))
    (tmp_path / "moonshine-tiny-en").mkdir()
    for name in ("encoder_model.ort", "tokenizer.bin", *FOR_WORDS):
        (tmp_path / "moonshine-tiny-en" / name).touch()
    with pytest.raises(OperatorError, match="The files of the model 'moonshine-tiny-en' are neither in"):
        MoonshineVoice(TINY, LoadOptions(tmp_path))


def test_without_the_library(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "moonshine_voice", None)
    with pytest.raises(OperatorError, match=r"needs the package moonshine-voice.*hark\[moonshine\]"):
        MoonshineVoice(TINY, LoadOptions(tmp_path))


class Says:
    """The library's Transcriber, as far as an answer goes."""

    def __init__(self, *lines):
        self.lines = [SimpleNamespace(text=text, words=words) for text, words in lines]

    def transcribe_without_streaming(self, audio, rate):
        return self


def heard(*lines):
    engine = MoonshineVoice.__new__(MoonshineVoice)
    engine._transcriber, engine._language = Says(*lines), "en"
    audio = recorded()[0][: 2 * SAMPLE_RATE]
    return engine.transcribe([Utterance(audio)])[0]


def test_times_are_taken_where_there_is_one_for_each_word(samples):
    words = [SimpleNamespace(start=0.5, end=0.75), SimpleNamespace(start=0.25, end=9.0)]
    tokens = heard(("One two.", words), ("Three four", words[:1])).tokens
    assert [(token.text, token.start, token.end) for token in tokens] == [
        (" One", 8_000, 12_000),
        (" two.", 8_000, 32_000),
        (" Three", None, None),
        (" four", None, None),
    ]


def test_a_loop_is_cut(samples):
    hypothesis = heard(("Try again. " + "Fail better. " * 20, None))
    assert hypothesis.text == "Try again. Fail better."
    assert hypothesis.cut
    assert heard(("No, no, no.", None)).text == "No, no, no."
