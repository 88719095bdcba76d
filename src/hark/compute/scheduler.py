"""Compute on this machine: a worker for the voice scorer, and one for each transcription model that is in use.

Rule: `start` loads what every session needs, so that a server that accepts sessions can serve them; any other model is
loaded by its first request, and `session.created` never waits for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from hark.compute.worker import Run, Worker
from hark.core.work import Result, ScoreVoice, Transcribe, Transcribed, VoiceScored, Work, WorkFailed
from hark.errors import ModelError
from hark.models.base import EngineModel, LoadOptions, Model, ScorerModel, Utterance


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalCompute:
    """`models` by name, from the catalog; `scorer` names the voice scorer; `folder` holds the pulled model files."""

    def __init__(self, models: dict[str, Model], *, scorer: str, folder: Path, threads: int | None = None) -> None:
        self._models = models
        self._scorer = scorer
        self._folder = folder
        self._threads = threads or usable_cores()
        self._workers: dict[str, Worker] = {}

    async def start(self, *engines: str) -> None:
        """Load the scorer and the engines of these names. Raises OperatorError or ModelError if one cannot be."""
        workers = [self._worker(name) for name in (self._scorer, *engines)]
        await asyncio.gather(*(asyncio.wrap_future(worker.loaded) for worker in workers))

    def submit(self, work: Work, deliver: Callable[[Result], None]) -> None:
        name = work.engine if isinstance(work, Transcribe) else self._scorer
        if name not in self._models:
            error = ModelError(f"No installed plug-in offers the model '{name}'.")
            asyncio.get_running_loop().call_soon(deliver, WorkFailed(work.id, error))
            return
        self._worker(name).submit(work, deliver)

    def withdraw(self, deliver: Callable[[Result], None]) -> None:
        for worker in self._workers.values():
            worker.withdraw(deliver)

    @property
    def waiting(self) -> int:
        """How many requests wait for a model."""
        return sum(worker.waiting for worker in self._workers.values())

    def stop(self) -> None:
        for worker in self._workers.values():
            worker.stop()

    def _worker(self, name: str) -> Worker:
        if name not in self._workers:
            model = self._models[name]
            self._workers[name] = Worker(name, lambda: self._load(model), model.spec.max_batch)
        return self._workers[name]

    def _load(self, model: Model) -> Run:
        if isinstance(model, ScorerModel):
            return _scoring(model, LoadOptions(self._folder, threads=1))
        return _transcribing(model, LoadOptions(self._folder, threads=self._threads))


def _scoring(model: ScorerModel, options: LoadOptions) -> Run:
    scorer = model.load(options)

    def run(batch: Sequence[Work]) -> list[Result]:
        asked = [work for work in batch if isinstance(work, ScoreVoice)]
        scored = scorer.score([(work.audio, work.state) for work in asked])
        return [VoiceScored(work.id, scores, state) for work, (scores, state) in zip(asked, scored, strict=True)]

    return run


def _transcribing(model: EngineModel, options: LoadOptions) -> Run:
    engine = model.load(options)

    def run(batch: Sequence[Work]) -> list[Result]:
        asked = [work for work in batch if isinstance(work, Transcribe)]
        heard = engine.transcribe([Utterance(w.audio, w.language, w.prompt, w.keywords) for w in asked])
        return [Transcribed(work.id, hypothesis) for work, hypothesis in zip(asked, heard, strict=True)]

    return run
