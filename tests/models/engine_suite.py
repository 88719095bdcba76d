"""What every engine has to do, Hark's own and anyone's: one suite, run against the engine as the server runs it.

For an engine that is installed beside Hark:

    HARK_ENGINE=toy pytest tests/models/engine_suite.py

Inside a test file, for an engine that needs files made first: derive a class from EngineSuite and give it a `subject`.
"""

from __future__ import annotations

import gc
import math
import os
import signal
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hark.audio.files import read_audio
from hark.compute.process import EngineLostError, EngineProcess, can_run_apart
from hark.core.work import SAMPLE_RATE, Audio, Hypothesis
from hark.models.base import Engine, EngineModel, LoadOptions, Utterance
from hark.models.catalog import installed
from hark.models.files.pull import models_folder

PATIENCE_S = 30
MIB = 1 << 20


@dataclass
class Subject:
    """The engine, what it is loaded with, and `speech`: pieces of audio of different length in which it hears different
    words. `same`: whether two hypotheses are the same to it; models whose sums depend on the batch by rounding may say
    something more lenient than equality. `hints`: what it is told besides, of which no word may come back."""

    model: EngineModel
    options: LoadOptions
    speech: list[Audio]
    same: Callable[[Hypothesis, Hypothesis], bool] = lambda one, other: one.text == other.text
    hints: dict[str, object] = field(default_factory=lambda: {"prompt": "A prompt.", "keywords": ("Hark", "kiosk")})

    @property
    def traits(self) -> tuple[str, ...]:
        return self.model.spec.traits

    @property
    def apart(self) -> bool:
        return self.model.spec.own_process and can_run_apart()

    def load(self) -> Engine:
        return EngineProcess(self.model, self.options) if self.apart else self.model.load(self.options)


@contextmanager
def loaded(subject: Subject) -> Iterator[Engine]:
    engine = subject.load()
    try:
        yield engine
    finally:
        getattr(engine, "close", lambda: None)()


class EngineSuite:
    """Derive a class whose name begins with Test, with a fixture `subject` of class scope."""

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls) -> Subject:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, subject: Subject) -> Iterator[Engine]:
        with loaded(subject) as engine:
            yield engine

    @pytest.fixture(scope="class")
    @classmethod
    def alone(cls, subject: Subject, engine: Engine) -> list[Hypothesis]:
        """Each piece of speech by itself."""
        return [engine.transcribe([Utterance(audio)])[0] for audio in subject.speech]

    # ---- what is heard

    def test_pieces_of_speech_give_words_that_differ(self, alone: list[Hypothesis]) -> None:
        texts = [heard.text for heard in alone]
        assert len(texts) >= 3, "the suite needs three pieces of speech at least"
        assert all(texts)
        assert len(set(texts)) > 1

    def test_a_batch_equals_one_by_one(self, subject: Subject, engine: Engine, alone: list[Hypothesis]) -> None:
        order = [*range(len(alone)), *reversed(range(len(alone)))][: subject.model.spec.max_batch]
        together = engine.transcribe([Utterance(subject.speech[place]) for place in order])
        assert len(together) == len(order)
        for place, heard in zip(order, together, strict=True):
            assert subject.same(heard, alone[place]), (heard.text, alone[place].text)

    def test_hearing_it_again_gives_the_same(self, subject: Subject, engine: Engine, alone: list[Hypothesis]) -> None:
        for audio, heard in zip(subject.speech, alone, strict=True):
            assert subject.same(engine.transcribe([Utterance(audio.copy())])[0], heard)

    def test_an_empty_batch_is_answered(self, engine: Engine) -> None:
        assert engine.transcribe([]) == []

    # ---- what a hypothesis holds

    def test_tokens_are_words_with_a_space_in_front(self, alone: list[Hypothesis]) -> None:
        for heard in alone:
            whole = "".join(token.text for token in heard.tokens)
            assert whole.strip() == heard.text
            assert whole == whole.rstrip()
            assert "\ufffd" not in whole
            if " " in heard.text:
                assert sum(token.text.startswith(" ") for token in heard.tokens) >= heard.text.count(" ")

    def test_probabilities_are_there_if_promised_and_possible(self, subject: Subject, alone: list[Hypothesis]) -> None:
        for heard in alone:
            for token in heard.tokens:
                assert (token.logprob is not None) == ("logprobs" in subject.traits)
                assert token.logprob is None or (math.isfinite(token.logprob) and token.logprob <= 0)

    def test_times_are_there_if_promised_and_possible(self, subject: Subject, alone: list[Hypothesis]) -> None:
        for audio, heard in zip(subject.speech, alone, strict=True):
            timed = [token for token in heard.tokens if token.start is not None and token.end is not None]
            assert bool(timed) == ("words" in subject.traits)
            for token in timed:
                assert 0 <= token.start <= token.end <= len(audio)
            assert all(one.start <= other.start for one, other in pairwise(timed))

    def test_a_language_that_it_names_is_one_of_its_own(self, subject: Subject, alone: list[Hypothesis]) -> None:
        known = subject.model.spec.languages
        for heard in alone:
            assert heard.language is None or not known or heard.language in known
            if "detects_language" in subject.traits:
                assert heard.language is not None

    # ---- what goes in and comes out

    def test_growing_audio_ends_with_the_same_words(
        self, subject: Subject, engine: Engine, alone: list[Hypothesis]
    ) -> None:
        """As a session asks while somebody speaks: partial, partial, final; each with the draft of the one before."""
        for audio, heard in zip(subject.speech, alone, strict=True):
            draft: tuple[int, ...] = ()
            for part in (0.4, 0.7):
                partial = engine.transcribe([Utterance(audio[: int(len(audio) * part)], final=False, draft=draft)])
                draft = partial[0].draft
            assert subject.same(engine.transcribe([Utterance(audio, draft=draft)])[0], heard)

    def test_a_draft_of_other_audio_changes_no_word(
        self, subject: Subject, engine: Engine, alone: list[Hypothesis]
    ) -> None:
        drafts = [engine.transcribe([Utterance(audio, final=False)])[0].draft for audio in subject.speech]
        shifted = [*drafts[1:], drafts[0]]
        for audio, heard, draft in zip(subject.speech, alone, shifted, strict=True):
            assert subject.same(engine.transcribe([Utterance(audio, draft=draft)])[0], heard)
            assert subject.same(engine.transcribe([Utterance(audio, draft=(7, 1_000_000, 3))])[0], heard)

    def test_a_draft_may_be_used_by_another_process(self, subject: Subject, alone: list[Hypothesis]) -> None:
        audio, heard = subject.speech[0], alone[0]
        with loaded(subject) as one:
            draft = one.transcribe([Utterance(audio[: len(audio) // 2], final=False)])[0].draft
        with loaded(subject) as other:
            assert subject.same(other.transcribe([Utterance(audio, draft=draft)])[0], heard)

    def test_hints_are_taken_or_ignored_and_never_refused(self, subject: Subject, engine: Engine) -> None:
        code = (subject.model.spec.languages or ("en",))[0]
        for hints in ({}, {"language": code}, {"languages": (code, "xx")}, {"language": "xx"}):
            [heard] = engine.transcribe([Utterance(subject.speech[0], **hints, **subject.hints)])  # type: ignore[arg-type]
            assert heard.text

    # ---- audio that is no speech

    @pytest.mark.parametrize("length", [0, 1, 159, 512, 1_600])
    def test_audio_too_short_for_a_word_harms_nobody(
        self, subject: Subject, engine: Engine, alone: list[Hypothesis], length: int
    ) -> None:
        short = Utterance(np.zeros(length, np.float32))
        assert len(engine.transcribe([short])) == 1
        beside = engine.transcribe([Utterance(subject.speech[0]), short][: subject.model.spec.max_batch])
        assert subject.same(beside[0], alone[0])

    @pytest.mark.parametrize("kind", ["silence", "noise", "clipped", "steady"])
    def test_what_is_no_speech_is_answered(self, engine: Engine, kind: str) -> None:
        chance = np.random.default_rng(1)
        audio = {
            "silence": np.zeros(SAMPLE_RATE * 3),
            "noise": chance.normal(0, 0.1, SAMPLE_RATE * 3),
            "clipped": np.sign(chance.normal(0, 1, SAMPLE_RATE)),
            "steady": np.ones(SAMPLE_RATE),
        }[kind].astype(np.float32)
        [heard] = engine.transcribe([Utterance(audio)])
        assert isinstance(heard.text, str)

    def test_audio_longer_than_a_session_asks_for_is_answered(self, subject: Subject, engine: Engine) -> None:
        long = np.resize(np.concatenate(subject.speech), 45 * SAMPLE_RATE).astype(np.float32)
        [heard] = engine.transcribe([Utterance(long)])
        assert heard.text or heard.cut

    # ---- what it takes of the machine

    def test_it_keeps_to_its_threads(self, subject: Subject, engine: Engine) -> None:
        """By the CPU time of its process: other work on the machine can only make that less."""
        if not subject.apart:
            pytest.skip("its time is not told apart from the test's")
        audio = max(subject.speech, key=len)
        engine.transcribe([Utterance(audio)])
        began, cpu = time.monotonic(), cpu_s(engine.pid)
        while time.monotonic() - began < 1.0:
            engine.transcribe([Utterance(audio)])
        busy = (cpu_s(engine.pid) - cpu) / (time.monotonic() - began)
        assert busy <= subject.options.threads * 1.15 + 0.1

    def test_hearing_much_takes_no_more_memory(self, subject: Subject, engine: Engine) -> None:
        if not subject.apart:
            pytest.skip("its memory is not told apart from the test's")

        def hear(times: int) -> int:
            for _ in range(times):
                engine.transcribe([Utterance(audio) for audio in subject.speech][: subject.model.spec.max_batch])
            return memory(engine.pid)

        hear(10)
        before = hear(5)
        assert hear(20) - before < 24 * MIB

    def test_closing_it_frees_what_it_held(self, subject: Subject) -> None:
        engine = subject.load()
        engine.transcribe([Utterance(subject.speech[0])])
        close = getattr(engine, "close", lambda: None)
        if isinstance(engine, EngineProcess):
            pid = engine.pid
            close()
            assert not Path(f"/proc/{pid}").exists()
            return
        close()
        held = weakref.ref(engine)
        del engine, close
        gc.collect()
        assert held() is None

    # ---- being ended in the middle

    def test_ended_in_the_middle_it_hears_the_next(self, subject: Subject, alone: list[Hypothesis]) -> None:
        """As when memory runs out. What was asked is lost, and asked again of the process that comes after."""
        if not subject.apart:
            pytest.skip("it runs in the server's own process")
        with loaded(subject) as engine:
            assert isinstance(engine, EngineProcess)
            os.kill(engine.pid, signal.SIGKILL)
            try:
                heard = engine.transcribe([Utterance(subject.speech[0])])[0]
            except EngineLostError:
                heard = engine.transcribe([Utterance(subject.speech[0])])[0]
            assert subject.same(heard, alone[0])


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def recorded() -> list[Audio]:
    """Pieces of a recording that `hark pull` fetches: a man reads English."""
    audio = read_audio(models_folder(None) / "samples" / "two_cities.wav")
    return [audio[int(first * SAMPLE_RATE) : int(last * SAMPLE_RATE)] for first, last in ((0, 2), (2.3, 5.4), (0, 9))]


if NAMED := os.environ.get("HARK_ENGINE"):

    class TestInstalledEngine(EngineSuite):
        @pytest.fixture(scope="class")
        @classmethod
        def subject(cls, samples: Path) -> Subject:
            model = installed()[NAMED]
            assert isinstance(model, EngineModel), f"{NAMED} is no engine"
            return Subject(model, LoadOptions(models_folder(None)), recorded())
