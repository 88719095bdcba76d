"""Compute on this machine: a worker for the voice scorer, one for the turn judge, one for each transcription model.

Cores are shared out by what was measured (docs/performance.md): a model that says so runs several batches at once, each
with threads of its own, since a second thread for one batch makes it hardly faster. Each of these runs in a process of
its own (process.py) if the model can; voice scores and judgements, which are short, stay in threads of this one.

Rule: `start` loads what every session needs, so that a server that accepts sessions can serve them; any other model is
loaded by its first request, and `session.created` never waits for it. Sessions can do without the judge, so one that
cannot be loaded is a warning.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, assert_never

from msgspec import structs
from prometheus_client import CollectorRegistry

from hark.compute.batching import Limits
from hark.compute.cores import usable_cores
from hark.compute.memory import Tenant, resident, to_let_go
from hark.compute.process import EngineProcess, can_run_apart
from hark.compute.ticks import Ticks
from hark.compute.worker import Run, Worker
from hark.core.work import (
    EmbedSpeaker,
    JudgeTurn,
    Result,
    ScoreVoice,
    SpeakerEmbedded,
    Strain,
    Transcribe,
    Transcribed,
    TurnJudged,
    Urge,
    VoiceScored,
    Work,
    WorkFailed,
)
from hark.errors import ModelError
from hark.models.base import (
    NO_OPTIONS,
    Engine,
    EngineModel,
    JudgeModel,
    LoadOptions,
    Model,
    Options,
    ScorerModel,
    SpeakerModel,
    Utterance,
)
from hark.models.files.pull import size_there
from hark.models.files.table import lookup
from hark.models.ready import lacking
from hark.telemetry.models import Models, State

LOOK_EVERY_S: Final = 1.0
NO_SPEAKERS: Final = "no --speaker-model is in use (docs/diarization.md)"
log = logging.getLogger("hark.compute")


class LocalCompute:
    """`models` by name, from the catalog; `scorer` names the voice scorer, `judge` the turn judge and `speaker` the
    model of voices, if there are any (a worker for gateways has none of them); `folder` holds the pulled model files;
    `options`: what models may be told, each what its spec names. `memory`: how many bytes engines may hold before those
    that `start` did not load, and nobody uses, are dropped; None: none ever is. `notes`: what is noted of models;
    `explains` as in Worker."""

    def __init__(
        self,
        models: dict[str, Model],
        *,
        folder: Path,
        scorer: str | None = None,
        judge: str | None = None,
        speaker: str | None = None,
        threads: int | None = None,
        memory: int | None = None,
        options: Options = NO_OPTIONS,
        notes: Models | None = None,
        explains: bool = False,
    ) -> None:
        self._notes = notes or Models(CollectorRegistry())
        self._explains = explains
        self._models = models
        self._options = options
        self._scorer = scorer
        self._judge = judge
        self._speaker = speaker
        self._told_of_speakers = False
        self._folder = folder
        self._threads = threads or usable_cores()
        self._workers: dict[str, Worker] = {}
        self._memory = memory
        self._stays: set[str] = set()
        self._apart: list[tuple[str, EngineProcess]] = []
        self._voices = Ticks(lambda asked: self._worker(str(self._scorer)).submit_all(asked))

    async def start(self, *engines: str) -> None:
        """Load the judge, the scorer and the engines of these names. Raises OperatorError or ModelError if one of
        the latter cannot be."""
        self._stays |= {*engines}
        judge = [] if self._judge is None else [self._worker(self._judge)]
        speaker = [] if self._speaker is None else [self._worker(self._speaker)]
        workers = [self._worker(name) for name in (self._scorer, *engines) if name is not None]
        await asyncio.gather(*(asyncio.wrap_future(worker.loaded) for worker in workers))
        for failure in await asyncio.gather(*(asyncio.wrap_future(w.loaded) for w in judge), return_exceptions=True):
            if failure is not None:
                log.warning("semantic_vad goes by silence alone, as the model of turns cannot be used: %s", failure)
        for failure in await asyncio.gather(*(asyncio.wrap_future(w.loaded) for w in speaker), return_exceptions=True):
            if failure is not None:
                log.warning("speakers are not told apart, as the model of voices cannot be used: %s", failure)

    def submit(self, work: Work, deliver: Callable[[Result], None]) -> None:
        name = self._model_of(work)
        if name is None or name not in self._models:
            error = ModelError(self._lack(work) if name is None else f"No installed plug-in offers the model '{name}'.")
            asyncio.get_running_loop().call_soon(deliver, WorkFailed(work.id, error))
            return
        if isinstance(work, ScoreVoice):
            self._voices.submit(work, deliver)
            return
        worker = self._worker(name)
        if isinstance(work, JudgeTurn):
            worker.withdraw(deliver)  # its session has given up what it asked before: a busy judge's queue stays short
        worker.submit(work, deliver)

    def _lack(self, work: Work) -> str:
        if not isinstance(work, EmbedSpeaker):
            return f"No model of {'turns' if isinstance(work, JudgeTurn) else 'voice activity'} is in use."
        if not self._told_of_speakers:
            self._told_of_speakers = True
            log.warning("speakers are not told apart and are all called A: %s", NO_SPEAKERS)
        return "No model of voices is in use."

    def _model_of(self, work: Work) -> str | None:
        match work:
            case Transcribe():
                return work.engine
            case ScoreVoice():
                return self._scorer
            case JudgeTurn():
                return self._judge
            case EmbedSpeaker():
                return self._speaker
            case _:
                assert_never(work)

    def urge(self, urge: Urge, deliver: Callable[[Result], None]) -> None:
        for worker in self._workers.values():
            worker.urge(urge, deliver)

    def strain(self) -> Strain:
        """That of the engine with most to do, and the wait for the voice scorer."""
        strains = {name: worker.strain() for name, worker in self._workers.items()}
        engines = [strain for name, strain in strains.items() if isinstance(self._models[name], EngineModel)]
        hardest = max(engines, key=lambda strain: strain.final, default=Strain())
        scores = strains.get(self._scorer or "", Strain())
        return structs.replace(hardest, scores_wait_s=scores.wait_s)

    def withdraw(self, deliver: Callable[[Result], None]) -> None:
        self._voices.withdraw(deliver)
        for worker in self._workers.values():
            worker.withdraw(deliver)

    @property
    def waiting(self) -> int:
        """How many requests wait for a model."""
        return self._voices.waiting + sum(worker.waiting for worker in self._workers.values())

    def look(self) -> None:
        """Note how each model is now."""
        sizes = {tenant.name: tenant.size for tenant in self._tenants()}
        self._notes.show(
            State(
                name,
                worker.ready,
                worker.waiting + (self._voices.waiting if name == self._scorer else 0),
                worker.callers,
                sizes.get(name, 0) if worker.ready else 0,
                tuple(process.pid for owner, process in self._apart[:] if owner == name),
            )
            for name, worker in self._workers.items()
        )

    async def leave(self) -> None:
        """Nothing is elsewhere."""

    def stop(self) -> None:
        self._voices.stop()
        for worker in self._workers.values():
            worker.stop()
        for _, process in self._apart[:]:  # those that would not end
            process.close()

    async def keep_within_memory(self) -> None:
        """Drop engines, for as long as nobody cancels this."""
        while self._memory is not None:
            self.make_room()
            await asyncio.sleep(LOOK_EVERY_S)

    def make_room(self) -> list[str]:
        """Drop the engines that have to go by now; their names."""
        going = to_let_go(self._tenants(), self._memory) if self._memory is not None else []
        for name in going:
            if self._workers[name].retire():
                del self._workers[name]
                self._notes.of(name).dropped()
                log.info("model %s was dropped to keep within --models-memory-mb; its next request loads it", name)
        return going

    def _tenants(self) -> Iterator[Tenant]:
        for name, worker in self._workers.items():
            if isinstance(model := self._models[name], EngineModel):
                held = [resident(process.pid) for owner, process in self._apart[:] if owner == name]
                known = [size for size in held if size is not None]
                # Where the system does not say what a process holds, and for those in this one.
                files = sum(size_there(entry, self._folder) for entry in lookup(model.spec.files))
                yield Tenant(name, sum(known) or files, worker.idle_s(), name in self._stays)

    def _worker(self, name: str) -> Worker:
        if name not in self._workers:
            model = self._models[name]
            callers, threads = self._share(model)
            limits = Limits(model.spec.max_batch, model.spec.max_batch_s, model.spec.any_length, callers)
            self._workers[name] = Worker(
                name,
                lambda stack: self._load(model, threads, stack),
                limits,
                apart=_runs_apart(model),
                notes=self._notes.of(name),
                explains=self._explains,
            )
        return self._workers[name]

    def _share(self, model: Model) -> tuple[int, int]:
        """How many threads call a model, and how many it has for each call."""
        if not isinstance(model, EngineModel):
            return 1, 1
        each = min(model.spec.threads or self._threads, self._threads)
        return model.spec.callers or self._threads // each, each

    def _load(self, model: Model, threads: int, stack: ExitStack) -> Run:
        named = {name: self._options[name] for name in model.spec.options if name in self._options}
        options = LoadOptions(self._folder, threads, named)
        match model:
            case ScorerModel():
                return _scoring(model, options)
            case JudgeModel():
                return _judging(model, options)
            case SpeakerModel():
                return _embedding(model, options)
            case EngineModel():
                if reason := lacking(model.spec, self._folder):
                    raise ModelError(reason)
                if _runs_apart(model):
                    process = EngineProcess(model, options, self._notes.of(model.spec.name))
                    self._apart.append(entry := (model.spec.name, process))
                    stack.callback(self._apart.remove, entry)
                    stack.callback(process.close)
                    return _transcribing(process)
                engine = model.load(options)
                stack.callback(getattr(engine, "close", lambda: None))
                return _transcribing(engine)
            case _:
                assert_never(model)


def _runs_apart(model: Model) -> bool:
    return isinstance(model, EngineModel) and model.spec.own_process and can_run_apart()


def _scoring(model: ScorerModel, options: LoadOptions) -> Run:
    scorer = model.load(options)

    def run(batch: Sequence[Work]) -> list[Result]:
        asked = [work for work in batch if isinstance(work, ScoreVoice)]
        scored = scorer.score([(work.audio, work.state) for work in asked])
        return [VoiceScored(work.id, scores, state) for work, (scores, state) in zip(asked, scored, strict=True)]

    return run


def _judging(model: JudgeModel, options: LoadOptions) -> Run:
    judge = model.load(options)

    def run(batch: Sequence[Work]) -> list[Result]:
        asked = [work for work in batch if isinstance(work, JudgeTurn)]
        judged = judge.judge([work.audio for work in asked])
        return [TurnJudged(work.id, probability) for work, probability in zip(asked, judged, strict=True)]

    return run


def _embedding(model: SpeakerModel, options: LoadOptions) -> Run:
    encoder = model.load(options)

    def run(batch: Sequence[Work]) -> list[Result]:
        asked = [work for work in batch if isinstance(work, EmbedSpeaker)]
        vectors = encoder.embed([work.audio for work in asked])
        return [SpeakerEmbedded(work.id, vector) for work, vector in zip(asked, vectors, strict=True)]

    return run


def _transcribing(engine: Engine) -> Run:
    def run(batch: Sequence[Work]) -> list[Result]:
        asked = [work for work in batch if isinstance(work, Transcribe)]
        heard = engine.transcribe(
            [Utterance(w.audio, w.language, w.languages, w.prompt, w.keywords, w.final, w.draft) for w in asked]
        )
        return [Transcribed(work.id, hypothesis) for work, hypothesis in zip(asked, heard, strict=True)]

    return run
