"""sherpa-onnx's models: each kind through the suite of every engine, on graphs that are made here."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pytest
from engine_suite import EngineSuite, Subject

import sherpa_standins as standins
from hark.compute.process import EngineProcess
from hark.core.work import Hypothesis
from hark.errors import HarkError, OperatorError
from hark.models.base import LoadOptions, Utterance
from hark.models.catalog import Catalog
from hark.models.scripted import plugin as scripted
from hark.models.sherpa import plugin as sherpa
from hark.models.sherpa import streaming as sherpa_streaming
from sherpa_standins import noise


def model(kind):
    return sherpa.model("tiny", kind, "of this test", licence="MIT", pulled=False)


def loaded(kind, folder: Path):
    standins.KINDS[kind](folder / "tiny")
    return model(kind).load(LoadOptions(folder, 1))


def hear(engine, audio, **hints) -> Hypothesis:
    return engine.transcribe([Utterance(audio, **hints)])[0]


class TestEveryKind(EngineSuite):
    @pytest.fixture(scope="class", params=standins.KINDS)
    @classmethod
    def subject(cls, request, tmp_path_factory) -> Subject:
        folder = tmp_path_factory.mktemp(request.param)
        standins.KINDS[request.param](folder / "tiny")
        return Subject(model(request.param), LoadOptions(folder, 1), [noise(1.28), noise(1.92), noise(3.84)])


# ---- streams


@pytest.fixture
def streaming(tmp_path):
    return loaded("streaming-transducer", tmp_path)


def pieces(audio, seconds=0.3):
    ends = [*range(int(seconds * 16_000), len(audio), int(seconds * 16_000)), len(audio)]
    return [audio[:end] for end in ends]


def test_a_growing_utterance_is_fed_once(streaming, monkeypatch):
    audio, fed = noise(4), []
    made = streaming._plain.create_stream

    def create():
        stream = made()
        accept = stream.accept_waveform
        return _Counting(stream, accept, fed)

    whole = hear(streaming, audio)
    monkeypatch.setattr(streaming._plain, "create_stream", create)
    monkeypatch.setattr(streaming._plain, "is_ready", lambda s, real=streaming._plain.is_ready: real(s.stream))
    monkeypatch.setattr(
        streaming._plain,
        "decode_streams",
        lambda streams, real=streaming._plain.decode_streams: real([s.stream for s in streams]),
    )
    monkeypatch.setattr(
        streaming._plain, "get_result_all", lambda s, real=streaming._plain.get_result_all: real(s.stream)
    )
    draft, texts = (), []
    for part in pieces(audio):
        heard = hear(streaming, part, final=False, draft=draft)
        draft = heard.draft
        texts.append(heard.text)
    final = hear(streaming, audio, draft=draft)
    assert final == whole
    assert sum(fed) == len(audio) + len(streaming._tail)
    assert all(later.startswith(text) for text, later in zip(texts, [*texts[1:], final.text], strict=True))
    assert texts[3], "there are words before the end"
    assert streaming.streams == 0


class _Counting:
    def __init__(self, stream, accept, fed):
        self.stream, self._accept, self._fed = stream, accept, fed

    def accept_waveform(self, rate, audio):
        self._fed.append(len(audio))
        self._accept(rate, audio)

    def input_finished(self):
        self.stream.input_finished()


@pytest.mark.parametrize(
    "change", ["the draft of nobody", "audio before it", "less audio", "other keywords", "evicted"]
)
def test_a_stream_that_does_not_fit_changes_no_word(streaming, monkeypatch, change):
    audio = np.concatenate((noise(1, level=1e-4), noise(3)))
    draft = hear(streaming, audio[:40_000], final=False).draft
    hints = {}
    match change:
        case "the draft of nobody":
            draft = (3, 1, 4)
        case "audio before it":
            audio = np.concatenate((noise(2, seed=1), audio))
        case "less audio":
            audio = audio[:30_000]
        case "other keywords":
            hints["keywords"] = ("hello",)
        case _:
            monkeypatch.setattr(sherpa_streaming, "MAX_STREAMS", 1)
            hear(streaming, noise(1, seed=2), final=False)
            assert streaming.streams == 1
    assert hear(streaming, audio, draft=draft, **hints).text == hear(streaming, audio, **hints).text != ""


def test_streams_are_bounded_and_the_one_unused_for_longest_goes(streaming, monkeypatch):
    monkeypatch.setattr(sherpa_streaming, "MAX_STREAMS", 3)
    drafts = [hear(streaming, noise(1, seed=seed), final=False).draft for seed in range(3)]
    again = hear(streaming, noise(1, seed=0), final=False, draft=drafts[0]).draft
    assert again == drafts[0], "the same stream is used"
    hear(streaming, noise(1, seed=9), final=False)
    assert streaming.streams == 3
    assert drafts[1][0] not in streaming._kept
    assert drafts[0][0] in streaming._kept


def test_sessions_of_a_batch_each_go_on_with_their_own_stream(streaming):
    talks = [noise(3), np.concatenate((noise(1, level=1e-4), noise(2))), noise(2.5), noise(3, level=1e-4)]
    drafts: list[tuple[int, ...]] = [()] * len(talks)
    for end in (16_000, 24_000, 40_000):
        heard = streaming.transcribe(
            [Utterance(talk[:end], final=False, draft=draft) for talk, draft in zip(talks, drafts, strict=True)]
        )
        drafts = [each.draft for each in heard]
    together = streaming.transcribe([Utterance(talk, draft=draft) for talk, draft in zip(talks, drafts, strict=True)])
    assert [each.text for each in together] == [hear(streaming, talk).text for talk in talks]
    assert together[-1].text == ""


# ---- hints


@pytest.mark.parametrize("kind", ["streaming-transducer", "transducer"])
def test_keywords_are_hotwords(tmp_path, kind):
    engine = loaded(kind, tmp_path)
    audio = noise(1.92)
    assert hear(engine, audio).text.startswith("hello world")
    biased = hear(engine, audio, keywords=("Again", "日本 nobody's letters"))
    assert biased.text.startswith("again hello world")
    assert all(token.logprob is not None and token.logprob < 0 for token in biased.tokens)
    # Beside others in a batch, and afterwards, nobody else has them.
    mixed = engine.transcribe([Utterance(audio), Utterance(audio, keywords=("again",)), Utterance(audio)])
    assert [heard.text.split()[0] for heard in mixed] == ["hello", "again", "hello"]


@pytest.mark.parametrize(
    ("kind", "told", "found"), [("whisper", "en", "de"), ("sense-voice", "en", "zh"), ("canary", "fr", "en")]
)
def test_a_language_can_be_told_and_else_is_found(tmp_path, kind, told, found):
    engine = loaded(kind, tmp_path)
    audio = noise(1.92)
    asked = [Utterance(audio), Utterance(audio, language=told), Utterance(audio, language="xx"), Utterance(audio)]
    heard = engine.transcribe(asked)
    assert [each.language for each in heard] == [found, told, found, found]
    if kind != "sense-voice":  # whose text here does not depend on it
        assert heard[0].text != heard[1].text
        assert heard[0].text == heard[2].text == heard[3].text


def test_words_lie_where_it_was_loud(tmp_path):
    audio = np.concatenate((noise(1.28, level=1e-4), noise(1.28), noise(1.28, level=1e-4)))
    for kind in ("streaming-transducer", "nemo-transducer", "nemo-ctc"):
        tokens = hear(loaded(kind, tmp_path / kind), audio).tokens
        assert len(tokens) >= 3
        for token in tokens:
            assert 1.0 * 16_000 <= token.start < token.end <= 2.9 * 16_000


# ---- files


def test_any_folder_of_the_kind_is_a_model_of_its_name(tmp_path):
    standins.nemo_ctc(tmp_path / "my-own-model")
    (tmp_path / "moonshine-tiny-en").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tokens.txt").write_text("a 0\n")
    (tmp_path / "broken" / "model.onnx").write_bytes(b"no graph")
    (tmp_path / "a-file").write_text("x")
    [found] = sherpa.found_in(tmp_path)
    assert found.spec.name == "my-own-model"
    assert found.load(LoadOptions(tmp_path, 1)).transcribe([Utterance(noise(1))])[0].text.startswith("hello")
    models = {each.spec.name: each for each in (*scripted(), found)}
    catalog = Catalog(models, "my-own-model", "scripted-vad", "scripted-turns")
    assert catalog.find("whisper-1").engine == "my-own-model"
    assert sherpa.found_in(tmp_path / "nowhere") == []


def no_joiner(folder):
    (folder / "joiner.int8.onnx").unlink()


def no_vocabulary(folder):
    (folder / "tokens.txt").write_text("a b c\n")


def holes_in_the_vocabulary(folder):
    (folder / "tokens.txt").write_text("a 0\nb 7\n")


def no_graph(folder):
    (folder / "encoder.int8.onnx").write_bytes(b"<html>404</html>")


def cut_short(folder):
    path = folder / "encoder.int8.onnx"
    path.write_bytes(path.read_bytes()[:400])


def no_metadata(folder):
    path = folder / "encoder.int8.onnx"
    path.write_bytes(path.read_bytes().replace(b"normalize_type", b"normalize_tipe"))


def empty(folder):
    (folder / "encoder.int8.onnx").write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_joiner, "holds no model that Hark can run"),
        (no_vocabulary, r"tokens\.txt; expected a symbol and its number"),
        (holes_in_the_vocabulary, r"tokens\.txt; expected a symbol and its number"),
        (no_graph, "it cannot be read as ONNX"),
        (cut_short, "it cannot be read as ONNX"),
        (empty, "it cannot be read as ONNX"),
        (no_metadata, "sherpa-onnx needs normalize_type in its metadata"),
    ],
)
def test_wrong_files_are_told_and_nobody_s_process_ends(tmp_path, spoil, said):
    spoil(standins.nemo_transducer(tmp_path / "tiny"))
    with pytest.raises(OperatorError, match=said):
        model("nemo-transducer").load(LoadOptions(tmp_path, 1))
    with pytest.raises(OperatorError, match=said):
        EngineProcess(model("nemo-transducer"), LoadOptions(tmp_path, 1))


def test_what_no_check_finds_ends_the_engine_s_process_alone(tmp_path):
    folder = standins.nemo_transducer(tmp_path / "tiny")
    path = folder / "encoder.int8.onnx"
    path.write_bytes(path.read_bytes().replace(b"vocab_size\x12\x014", b"vocab_size\x12\x01x"))
    with pytest.raises(HarkError, match=r"ended .* while it loaded|cannot open the model"):
        EngineProcess(model("nemo-transducer"), LoadOptions(tmp_path, 1))


def test_a_missing_folder_is_to_be_pulled(tmp_path):
    with pytest.raises(OperatorError, match="Run `hark pull`"):
        model("whisper").load(LoadOptions(tmp_path, 1))


def test_without_the_package_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    real = builtins.__import__

    def fails(name, *rest):
        if name == "sherpa_onnx":
            raise ModuleNotFoundError("No module named 'sherpa_onnx'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", fails)
    with pytest.raises(OperatorError, match=r"pip install sherpa-onnx==\d"):
        loaded("whisper", tmp_path)
