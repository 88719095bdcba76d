"""What compute notes of models: batches as they were run, failures, and what became of processes, with real ones."""

import asyncio
import os
import signal
import threading
import time

import numpy as np
import pytest
from apart_engines import Mortal, model
from prometheus_client import CollectorRegistry

from hark.compute import process
from hark.compute import worker as worker_module
from hark.compute.batching import Limits
from hark.compute.scheduler import LocalCompute
from hark.compute.worker import Worker
from hark.core.work import Hypothesis, Ran, ScoreVoice, Transcribe, Transcribed, Urgency, VoiceScored, WorkFailed
from hark.errors import ModelError
from hark.models import scripted
from hark.telemetry.models import Models

PATIENCE_S = 30


class Notes:
    def __init__(self):
        self.registry = CollectorRegistry()
        self.models = Models(self.registry)

    def __call__(self, name, **labels):
        for each in ("echo", "parrot"):
            self.models.of(each).settle()
        return self.registry.get_sample_value(f"hark_{name}", labels)


@pytest.fixture
def notes():
    return Notes()


def work(number, seconds=1.0, urgency=Urgency.ENDED):
    return Transcribe(number, "echo", np.zeros(round(seconds * 16_000), np.float32), urgency)


def answered(run, asked, notes, *, explains=False, load=None):
    """The results of `asked`, submitted at once to a worker that begins when all have been."""

    async def scenario():
        gate = threading.Event()

        def gated(batch):
            assert gate.wait(PATIENCE_S)
            return run(batch)

        of = notes.models.of("echo")
        limits = Limits(4, any_length=True)
        worker = Worker("echo", load or (lambda stack: gated), limits, notes=of, explains=explains)
        results, came = [], asyncio.Event()

        def deliver(result):
            results.append(result)
            came.set()

        worker.submit_all([(each, deliver) for each in asked])
        gate.set()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while len(results) < len(asked):
                    came.clear()
                    await came.wait()
        finally:
            await asyncio.to_thread(worker.stop)  # after which all has been noted
        return results

    return asyncio.run(scenario())


def echo(batch):
    return [Transcribed(each.id, Hypothesis(())) for each in batch]


def test_a_batch_is_noted_with_its_size_its_times_and_its_audio(notes):
    answered(echo, [work(1, 2.0), work(2, 1.0), work(3, 0.5)], notes)
    assert notes("batch_size_sum", model="echo") == 3
    assert notes("batch_audio_seconds_total", model="echo") == 3.5
    batches = notes("batch_size_count", model="echo")
    assert 1 <= batches <= 2  # the thread may have taken the first one alone
    for name in ("queue", "batch"):
        assert notes(f"{name}_seconds_count", model="echo", urgency="ended") == batches
        assert notes(f"{name}_seconds_sum", model="echo", urgency="ended") >= 0
    assert notes("model_loads_total", model="echo", result="loaded") == 1
    assert notes("model_failures_total", model="echo") == 0


def test_a_batch_is_noted_under_its_urgency(notes):
    answered(echo, [work(1, urgency=Urgency.PAUSED), work(2, urgency=Urgency.GROWING)], notes)
    for urgency, batches in (("paused", 1), ("growing", 1), ("ended", None), ("now", None)):
        assert notes("batch_seconds_count", model="echo", urgency=urgency) == batches


def test_scores_are_wanted_now(notes):
    asked = ScoreVoice(1, np.zeros(512, np.float32), None)
    answered(lambda batch: [VoiceScored(each.id, np.zeros(1, np.float32), None) for each in batch], [asked], notes)
    assert notes("queue_seconds_count", model="echo", urgency="now") == 1


def test_requests_that_fail_are_counted(notes):
    def poisoned(batch):
        if any(each.id == 2 for each in batch):
            raise ZeroDivisionError
        return echo(batch)

    results = answered(poisoned, [work(1), work(2), work(3)], notes)
    assert [type(each) for each in sorted(results, key=lambda each: each.id)] == [Transcribed, WorkFailed, Transcribed]
    assert notes("model_failures_total", model="echo") == 1


def test_who_asks_is_told_how_it_was_run_if_somebody_wants_to_know(notes):
    (plain,) = answered(echo, [work(1)], notes)
    assert plain == Transcribed(1, Hypothesis(()))
    (explained,) = answered(echo, [work(1)], notes, explains=True)
    assert isinstance(explained.ran, Ran)
    assert explained.ran.batch == 1
    assert explained.ran.waited_s >= 0
    assert explained.ran.ran_s > 0


def test_a_model_that_cannot_be_loaded_is_counted(notes, monkeypatch):
    monkeypatch.setattr(worker_module, "AGAIN_S", 3600)

    def load(stack):
        raise ModelError("its files are not there")

    (result,) = answered(None, [work(1)], notes, load=load)
    assert isinstance(result, WorkFailed)
    assert notes("model_loads_total", model="echo", result="failed") == 1
    assert notes("model_loads_total", model="echo", result="loaded") is None


@pytest.mark.skipif(not process.can_run_apart(), reason="engines run in threads on this system")
def test_processes_are_counted_and_looked_at(notes, tmp_path):
    async def scenario():
        models = {each.spec.name: each for each in scripted.plugin()} | {"parrot": model(Mortal, threads=2)}
        compute = LocalCompute(models, scorer="scripted-vad", folder=tmp_path, threads=2, notes=notes.models)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await compute.start("parrot")
                await lose(compute)
        finally:
            await asyncio.to_thread(compute.stop)

    async def lose(compute):
        until(compute, lambda: notes("model_loaded", model="parrot"))
        seen = {name: notes(name, model="parrot") for name in ("model_loaded", "engine_processes", "model_callers")}
        assert seen == {"model_loaded": 1, "engine_processes": 1, "model_callers": 1}
        assert notes("model_memory_bytes", model="parrot") > 1e6
        assert notes("engine_open_fds", model="parrot") >= 3
        cpu = notes("engine_cpu_seconds_total", model="parrot")
        assert cpu > 0
        first = await heard(compute, 1)
        os.kill(first, signal.SIGKILL)
        until(compute, lambda: not notes("engine_processes", model="parrot"))
        assert await heard(compute, 2) != first
        compute.look()
        assert notes("engine_starts_total", model="parrot") == 2
        assert notes("engine_processes", model="parrot") == 1
        assert notes("engine_cpu_seconds_total", model="parrot") >= cpu, "what only grows never shrinks"

    def until(compute, holds):
        deadline = time.monotonic() + PATIENCE_S
        while not (compute.look() or holds()):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    async def heard(compute, number):
        answer = asyncio.get_running_loop().create_future()
        compute.submit(Transcribe(number, "parrot", np.zeros(1_600, np.float32)), answer.set_result)
        return int((await answer).hypothesis.text.split()[0])

    asyncio.run(scenario())


@pytest.mark.skipif(not process.can_run_apart(), reason="engines run in threads on this system")
def test_a_process_that_is_lost_at_work_is_counted(notes, tmp_path):
    engine = process.EngineProcess(model(Mortal), process.LoadOptions(tmp_path, 1), notes.models.of("parrot"))
    try:
        with pytest.raises(process.EngineLostError):
            engine.transcribe([process.Utterance(np.full(1_600, 0.75, np.float32))])
    finally:
        engine.close()
    assert notes("engine_losses_total", model="parrot", why="ended") == 1
