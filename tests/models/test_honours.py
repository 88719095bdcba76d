"""Each row of the table "Engines" in docs/api.md, proven with an engine of that row.

Honoured: what the engine makes of the same audio differs with the hint. Ignored: it is the same to the last bit. What
the transcripts carry is what the table says. An engine that is installed and has no proof in PROOFS fails; a proof is a
context that gives a Proof, with the engine itself or one of its kind that the tests make.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import tiny_whisper
from engine_suite import recorded

import sherpa_standins
from hark.core.work import Hypothesis
from hark.models import honours
from hark.models.base import EngineModel, LoadOptions, ModelSpec, Utterance
from hark.models.catalog import installed
from hark.models.files.pull import models_folder
from hark.models.honours import HINTS, cells, family_of
from hark.models.moonshine.voice import FOR_WORDS
from hark.models.scripted import WORD_SAMPLES, amplitude
from hark.models.sherpa import plugin as sherpa
from upstreams import KEY, StandIn


@dataclass
class Proof:
    """`transcribe` is the engine's; `audio` a piece of speech in which it hears words. `hints`: values that would sway
    it, if it took them. `seen`: what, besides the hypothesis, shows what it was told, such as a request to a server."""

    transcribe: Callable[[list[Utterance]], list[Hypothesis]]
    audio: np.ndarray
    spec: ModelSpec
    hints: dict[str, object] = field(
        default_factory=lambda: {
            "language": "de",
            "languages": ("de", "fr"),
            "prompt": "It was the worst of crimes, said the bishop of Worms.",
            "keywords": ("crimes", "Worms"),
        }
    )
    seen: Callable[[], object] = lambda: None

    def hear(self, **hints: object) -> tuple[Hypothesis, object]:
        [hypothesis] = self.transcribe([Utterance(self.audio, **hints)])
        return hypothesis, self.seen()


@contextmanager
def itself(model: EngineModel, folder: Path) -> Iterator[Proof]:
    """An engine whose files are here."""
    yield Proof(model.load(LoadOptions(models_folder(None))).transcribe, recorded()[0], model.spec)


@contextmanager
def scripted(model: EngineModel, folder: Path) -> Iterator[Proof]:
    yield Proof(model.load(LoadOptions(folder)).transcribe, _scripted_words(), model.spec)


def _scripted_words() -> np.ndarray:
    words = [np.full(WORD_SAMPLES, amplitude(word), np.float32) for word in ("alpha", "echo", "golf")]
    return np.concatenate([*words, np.zeros(4_800, np.float32)])


@contextmanager
def whisper(model: EngineModel, folder: Path) -> Iterator[Proof]:
    """The Whisper that the tests make says the same whatever comes before it: what it is told is seen on the way."""
    tiny_whisper.make(folder / model.spec.name, multilingual=model.spec.languages != ("en",))
    engine = model.load(LoadOptions(folder))
    asked = tiny_whisper.watched(engine)
    audio = np.random.default_rng(1).standard_normal(16_000).astype(np.float32) * 1e-4  # quiet, so English
    yield Proof(engine.transcribe, audio, model.spec, seen=lambda: asked[-1][0])


@contextmanager
def moonshine_voice(model: EngineModel, folder: Path) -> Iterator[Proof]:
    """In place of the library something that hears two words, and times them where the files for that are there."""
    (kind,) = model.load.args
    own = folder / model.spec.name
    own.mkdir()
    needed = FOR_WORDS if "words" in model.spec.traits else ()
    for name in needed:
        (own / name).touch()
    words = [SimpleNamespace(start=0.1 * at, end=0.1 * at + 0.1) for at in (1, 2)] if needed else None

    class Transcriber:
        def __init__(self, folder: str, arch: int, options: dict[str, str]) -> None:
            assert options["word_timestamps"] == ("true" if needed else "false")

        def transcribe_without_streaming(self, audio: np.ndarray, rate: int) -> SimpleNamespace:
            return SimpleNamespace(lines=[SimpleNamespace(text="One two.", words=words)])

    info = {"model_name": kind.name, "download_url": "https://nowhere.example/files"}
    download = SimpleNamespace(
        MODEL_INFO={kind.language: {"models": [info]}},
        get_components_for_model_info=lambda info: needed,
        get_cache_dir=lambda: folder,
    )
    library = SimpleNamespace(Transcriber=Transcriber, ModelArch=int)
    with patch.dict(sys.modules, {"moonshine_voice": library, "moonshine_voice.download": download}):
        engine = model.load(LoadOptions(folder))
    yield Proof(engine.transcribe, _scripted_words(), model.spec)


@contextmanager
def upstream(model: EngineModel, folder: Path) -> Iterator[Proof]:
    """A server that tells all there is to tell, and shows what it was asked."""
    server = StandIn("words")
    engine = model.load(LoadOptions(folder, options={"upstream": server.url, "upstream_key": KEY}))
    try:
        yield Proof(engine.transcribe, _scripted_words(), model.spec, seen=lambda: server.fields)
    finally:
        engine.close()
        server.stop()


@contextmanager
def sherpa_onnx(model: EngineModel, folder: Path) -> Iterator[Proof]:
    """A stand-in of its kind, whose beam search and languages are real."""
    kind = next(kind for name, kind, *_ in sherpa.LISTED if name == model.spec.name)
    sherpa_standins.KINDS[kind](folder / model.spec.name)
    engine = model.load(LoadOptions(folder))
    hints = {"language": "fr", "languages": ("fr", "es"), "prompt": "Again and again.", "keywords": ("Again",)}
    yield Proof(engine.transcribe, sherpa_standins.noise(1.92), model.spec, hints)


# By the module of what loads them (honours.family_of). The context gets the model of the row, and an empty folder.
PROOFS: dict[str, Callable[[EngineModel, Path], AbstractContextManager[Proof]]] = {
    "hark.models.moonshine.engine": itself,
    "hark.models.moonshine.voice": moonshine_voice,
    "hark.models.scripted": scripted,
    "hark.models.sherpa.plugin": sherpa_onnx,
    "hark.models.upstream.engine": upstream,
    "hark.models.whisper.engine": whisper,
}


def rows():
    """An engine for each row of the table."""
    found = {}
    for model in installed().values():
        if isinstance(model, EngineModel) and family_of(model).startswith("hark."):
            found.setdefault((family_of(model), *cells(model.spec)), model)
    return list(found.values())


ROWS = pytest.mark.parametrize("model", rows(), ids=lambda model: model.spec.name)


@pytest.fixture
def proof(model, samples, tmp_path):
    family = family_of(model)
    assert family in PROOFS, f"{model.spec.name}: write a proof of what it honours, in PROOFS under '{family}'"
    with PROOFS[family](model, tmp_path) as proof:
        assert tuple(cells(proof.spec)) == tuple(cells(model.spec)), "the proof is of another row"
        yield proof


def exactly(heard):
    """All of it: text, probabilities, times, language, and what was seen."""
    hypothesis, seen = heard
    return hypothesis.tokens, hypothesis.language, seen


@ROWS
@pytest.mark.parametrize("hint", HINTS)
def test_a_hint_is_honoured_or_ignored_as_the_table_says(proof, hint):
    plain, told = proof.hear(), proof.hear(**{hint: proof.hints[hint]})
    fate = tuple(cells(proof.spec))[HINTS.index(hint)]
    assert (exactly(plain) != exactly(told)) == (fate == "honoured"), (plain[0].text, told[0].text)


@ROWS
def test_it_carries_what_the_table_says(proof):
    hypothesis, _ = proof.hear()
    *_, logprobs, times, language = cells(proof.spec)
    assert hypothesis.tokens
    for token in hypothesis.tokens:
        assert (token.logprob is not None) == (logprobs == "of each token")
        assert (token.start is not None and token.end is not None) == (times == "as heard")
    if language == "as heard":
        assert hypothesis.language
    elif language == "as asked for":
        asked = (*proof.spec.languages, "de")[0]
        assert proof.hear(language=asked)[0].language in (None, asked)
    else:
        assert f"`{hypothesis.language}`" == language


@ROWS
def test_what_tokens_say_joins_to_the_text_byte_by_byte(proof):
    hypothesis, _ = proof.hear()
    whole = b"".join(token.text.encode() for token in hypothesis.tokens)
    assert whole.decode().strip() == hypothesis.text


def test_every_row_of_the_table_is_proven():
    names = {name for name, model in installed().items() if isinstance(model, EngineModel)}
    written = [line for line in honours.section(installed()).splitlines() if line.startswith("| `")]
    assert len(written) == len(rows())
    assert {name for line in written for name in line.split("|")[1].strip(" `").split("`, `")} <= names
    families = {family_of(model) for model in rows()}
    assert families - set(PROOFS) == set(), "engines without a proof"


def test_a_spec_that_promises_too_much_is_found_out():
    """So would one that promises too little be: the proof compares both ways."""
    model = installed()["scripted"]
    with scripted(model, Path()) as proof:
        assert exactly(proof.hear()) == exactly(proof.hear(prompt="alpha"))
        swayed = Proof(lambda batch: [Hypothesis((), language=batch[0].prompt)], proof.audio, proof.spec)
        assert exactly(swayed.hear()) != exactly(swayed.hear(prompt="alpha"))


def test_the_table_says_what_a_spec_says():
    everything = ModelSpec("x", "", "", traits=(*HINTS, "logprobs", "words", "detects_language"))
    assert list(cells(everything)) == ["honoured"] * 4 + ["of each token", "as heard", "as heard"]
    nothing = ModelSpec("x", "", "", languages=("de", "en"))
    assert list(cells(nothing)) == ["ignored"] * 4 + [
        "an empty list",
        "estimates, in `verbose_json` alone",
        "as asked for",
    ]
