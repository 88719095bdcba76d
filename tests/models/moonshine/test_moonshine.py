"""Moonshine on real speech: the pulled model and its sample recordings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hark.audio.files import read_audio
from hark.core.work import SAMPLE_RATE, Audio, Hypothesis, Token
from hark.errors import OperatorError
from hark.models.base import LoadOptions, Utterance
from hark.models.files.pull import models_folder
from hark.models.moonshine import graphs as making_graphs
from hark.models.moonshine.decoding import Decoding
from hark.models.moonshine.engine import Moonshine, exact_signed, plugin
from hark.models.moonshine.tokens import join_pieces, read_pieces, repeated_tail
from hark.models.onnx.opening import open_graph
from hark.models.onnx.ortfile import read_graph

BEST = "it was the best of times it was the worst of times"


@pytest.fixture(scope="module")
def engine() -> Moonshine:
    return Moonshine(LoadOptions(folder=models_folder(None)))


@pytest.fixture(scope="module")
def speech() -> Audio:
    """Half a minute of "A Tale of Two Cities"."""
    return read_audio(models_folder(None) / "samples" / "two_cities.wav")[: 30 * SAMPLE_RATE]


def words(sentence: str) -> list[str]:
    return [word.strip(".,").lower() for word in sentence.split()]


def test_speech_comes_out_as_text(engine: Moonshine, speech: Audio) -> None:
    hypothesis = engine.transcribe([Utterance(speech[: 5 * SAMPLE_RATE])])[0]
    assert words(hypothesis.text)[:12] == words(BEST)
    assert not hypothesis.cut
    assert hypothesis.language == "en"
    assert hypothesis.tokens[0].text == " It"
    assert all(token.logprob <= 0 for token in hypothesis.tokens)
    assert sum(token.logprob for token in hypothesis.tokens) / len(hypothesis.tokens) > -0.3


def test_a_batch_of_copies_equals_a_single_run(engine: Moonshine, speech: Audio) -> None:
    utterance = Utterance(speech[: 4 * SAMPLE_RATE])
    single = engine.transcribe([utterance])[0]
    assert engine.transcribe([utterance] * 3) == [single] * 3


def test_a_batch_of_different_lengths_keeps_order_and_words(engine: Moonshine, speech: Audio) -> None:
    pieces = [speech[second * SAMPLE_RATE :][: length * SAMPLE_RATE] for second, length in ((0, 9), (10, 2), (4, 5))]
    batch = [hypothesis.text for hypothesis in engine.transcribe([Utterance(piece) for piece in pieces])]
    for together, piece in zip(batch, pieces, strict=True):
        alone = set(words(engine.transcribe([Utterance(piece)])[0].text))
        assert len(alone & set(words(together))) >= 0.7 * len(alone), (together, alone)


def decoder_runs(engine: Moonshine, monkeypatch: pytest.MonkeyPatch, utterance: Utterance) -> tuple[Hypothesis, int]:
    """What is heard, and how many runs of the decoder it takes."""
    runs = 0
    advance = Decoding.advance

    def counted(decoding: Decoding, outputs: Sequence[NDArray[np.float32]]) -> None:
        nonlocal runs
        runs += 1
        advance(decoding, outputs)

    monkeypatch.setattr(Decoding, "advance", counted)
    hypothesis = engine.transcribe([utterance])[0]
    monkeypatch.undo()
    return hypothesis, runs


def test_a_draft_saves_runs_and_changes_no_word(
    engine: Moonshine, speech: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = speech[: 5 * SAMPLE_RATE]
    plain, steps = decoder_runs(engine, monkeypatch, Utterance(audio))
    assert steps == len(plain.draft) + 1
    early = engine.transcribe([Utterance(audio[: 4 * SAMPLE_RATE])])[0]
    drafted, runs = decoder_runs(engine, monkeypatch, Utterance(audio, draft=early.draft))
    assert drafted.draft == plain.draft
    assert drafted.text == plain.text
    assert [token.logprob for token in drafted.tokens] == pytest.approx(
        [token.logprob for token in plain.tokens], abs=0.1
    )
    assert runs < steps
    again, runs = decoder_runs(engine, monkeypatch, Utterance(audio, draft=plain.draft))
    assert (again.draft, runs) == (plain.draft, 1)


@pytest.mark.parametrize("draft", [(9,), (9,) * 40, (2, 2), tuple(range(300, 900))])
def test_a_wrong_draft_changes_no_word(engine: Moonshine, speech: Audio, draft: tuple[int, ...]) -> None:
    audio = speech[: 5 * SAMPLE_RATE]
    plain = engine.transcribe([Utterance(audio)])[0]
    wrong = engine.transcribe([Utterance(audio, draft=draft)])[0]
    assert (wrong.draft, wrong.text) == (plain.draft, plain.text)


def test_rows_with_drafts_and_without_keep_to_themselves(engine: Moonshine, speech: Audio) -> None:
    pieces = [speech[: length * SAMPLE_RATE] for length in (5, 2, 9, 4)]
    plain = [engine.transcribe([Utterance(piece)])[0] for piece in pieces]
    drafts = [plain[0].draft, (), plain[2].draft[:9], (77, 78, 79)]
    batch = [Utterance(piece, draft=draft) for piece, draft in zip(pieces, drafts, strict=True)]
    assert [words(heard.text) for heard in engine.transcribe(batch)] == [words(alone.text) for alone in plain]


def test_signed_weights_give_the_same_memory(speech: Audio) -> None:
    if not exact_signed():
        pytest.skip("this processor adds signed products up in 16 bits")
    folder = models_folder(None) / "moonshine-tiny-en"
    graphs = [read_graph(folder / f"{name}.ort") for name in ("encoder_model", "decoder_model_merged")]
    samples = {"samples": speech[None, : 3 * SAMPLE_RATE]}
    plain, signed = (
        open_graph(making_graphs.encoder(*graphs, signed=signed), 1).run(None, samples)[0] for signed in (False, True)
    )
    assert plain.shape == (12, 8, 123, 36)
    assert np.array_equal(plain, signed)


def test_the_decoder_of_older_processors_hears_the_same(speech: Audio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hark.models.moonshine.engine.exact_blockwise", lambda: False)
    monkeypatch.setattr("hark.models.moonshine.engine.exact_signed", lambda: False)
    older = Moonshine(LoadOptions(folder=models_folder(None)))
    plain, short = older.transcribe([Utterance(speech[: 5 * SAMPLE_RATE]), Utterance(speech[: 2 * SAMPLE_RATE])])
    assert words(plain.text)[:12] == words(BEST)
    assert words(short.text)[:3] == words(BEST)[:3]
    drafted = older.transcribe([Utterance(speech[: 5 * SAMPLE_RATE], draft=short.draft)])[0]
    assert words(drafted.text)[:12] == words(BEST)


@pytest.mark.parametrize("samples", [0, 1, 894, 895, 1600])
def test_hardly_any_audio_is_no_failure(engine: Moonshine, speech: Audio, samples: int) -> None:
    short, whole = engine.transcribe([Utterance(speech[:samples]), Utterance(speech[: 5 * SAMPLE_RATE])])
    assert len(short.tokens) <= 7
    assert words(whole.text)[:12] == words(BEST)


def test_an_empty_batch_is_no_failure(engine: Moonshine) -> None:
    assert engine.transcribe([]) == []


def test_the_token_limit_cuts(engine: Moonshine, speech: Audio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hark.models.moonshine.decoding.TOKENS_PER_SECOND", 0)
    hypothesis = engine.transcribe([Utterance(speech[: 5 * SAMPLE_RATE])])[0]
    assert hypothesis.cut
    assert words(hypothesis.text) == words(BEST)[:6]


@pytest.mark.parametrize(
    ("tokens", "repeated"),
    [
        ([7] * 15, 0),
        ([7] * 16, 15),
        ([1, 2, *[8, 9] * 8], 14),
        ([8, 9] * 7, 0),
        ([5, *[1, 2, 3, 4, 5, 6] * 4], 18),
        ([1, 2, 3, 4, 5, 6] * 3, 0),
        (list(range(80)), 0),
        ([], 0),
    ],
)
def test_a_loop_is_found_at_the_end(tokens: list[int], repeated: int) -> None:
    assert repeated_tail(tokens) == repeated


def test_bytes_of_one_character_make_one_token() -> None:
    pieces = [(b" caf", -0.5), (b"\xc3", -1.0), (b"\xa9", -0.25), (b"", -9.0), (b" ok", -0.125)]
    assert list(join_pieces(pieces)) == [Token(" caf", -0.5), Token("é", -1.25), Token(" ok", -0.125)]


def test_broken_characters_are_left_out() -> None:
    assert [token.text for token in join_pieces([(b"a", 0.0), (b"\xe2", 0.0), (b"b", 0.0), (b"\xe2\x99", 0.0)])] == [
        "a",
        "b",
    ]


def test_the_vocabulary_has_spaces_and_no_special_tokens() -> None:
    pieces = read_pieces(models_folder(None) / "moonshine-tiny-en" / "tokenizer.bin")
    assert len(pieces) == 32_768
    assert pieces[:3] == [b"", b"", b""]
    assert pieces[32_000:] == [b""] * 768
    assert pieces[260] == b" t"
    assert not any("\u2581".encode() in piece for piece in pieces)


@pytest.mark.parametrize("damage", [b"", b"\x05<unk>", b"\x7f<unk>"])
def test_a_damaged_vocabulary_is_refused(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(damage)
    with pytest.raises(OperatorError, match="hark pull"):
        read_pieces(path)


def test_missing_and_damaged_graphs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"missing.*hark pull"):
        Moonshine(LoadOptions(folder=tmp_path))
    folder = tmp_path / "moonshine-tiny-en"
    folder.mkdir()
    (folder / "encoder_model.ort").write_bytes(b"not a graph")
    with pytest.raises(OperatorError, match=r"cannot be read.*hark pull"):
        Moonshine(LoadOptions(folder=tmp_path))


def test_listing_the_models_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hark.models.moonshine import engine; from hark.models.silero import scorer; "
        "engine.plugin(); scorer.plugin(); "
        "assert 'onnxruntime' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert [model.spec.name for model in plugin()] == ["moonshine-tiny-en"]
