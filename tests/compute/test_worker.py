"""A worker with a real thread, around models that the test defines."""

import asyncio
import threading
import time

import numpy as np
import pytest

from hark.compute import worker as worker_module
from hark.compute.batching import Limits
from hark.compute.worker import Worker
from hark.core.work import Hypothesis, Transcribe, Transcribed, Urge, Urgency, WorkFailed
from hark.errors import ModelError, OperatorError

PATIENCE_S = 20
POISON = 7


def work(number, length=100):
    return Transcribe(id=number, engine="any", audio=np.zeros(length, np.float32))


class Echo:
    """A model that says which work it got; it waits at its gate, and dies of poison."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def load(self):
        return self.run

    def run(self, batch):
        self.batches.append([asked.id for asked in batch])
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        if any(asked.id == POISON for asked in batch):
            raise ZeroDivisionError("poisonous")
        return [Transcribed(asked.id, Hypothesis(())) for asked in batch]


class Answers:
    """Results as they come, each with the thread that brought it."""

    def __init__(self):
        self.results = []
        self.threads = set()
        self._came = asyncio.Event()

    def deliver(self, result):
        self.results.append(result)
        self.threads.add(threading.get_ident())
        self._came.set()

    async def wait(self, count):
        async with asyncio.timeout(PATIENCE_S):
            while len(self.results) < count:
                self._came.clear()
                await self._came.wait()
        return {result.id: result for result in self.results}


def with_worker(load, scenario, max_batch=8, callers=1):
    async def run():
        worker = Worker("echo", lambda stack: load(), Limits(max_batch, callers=callers))
        try:
            return await scenario(worker)
        finally:
            await asyncio.to_thread(worker.stop)

    return asyncio.run(run())


async def held(worker, model, answers):
    """The model is busy with work 0, so that what is submitted next has to wait."""
    model.gate.clear()
    worker.submit(work(0), answers.deliver)
    assert await asyncio.to_thread(model.entered.wait, PATIENCE_S)


def test_results_come_on_the_callers_loop():
    async def scenario(worker):
        answers = Answers()
        worker.submit(work(1), answers.deliver)
        assert await answers.wait(1) == {1: Transcribed(1, Hypothesis(()))}
        assert answers.threads == {threading.get_ident()}

    with_worker(Echo().load, scenario)


def test_what_came_while_the_model_was_busy_goes_together():
    model = Echo()

    async def scenario(worker):
        answers = Answers()
        await held(worker, model, answers)
        for number in (1, 2, 3, 4):
            worker.submit(work(number), answers.deliver)
        assert worker.waiting == 4
        model.gate.set()
        await answers.wait(5)
        assert worker.waiting == 0

    with_worker(model.load, scenario, max_batch=3)
    assert model.batches == [[0], [1, 2, 3], [4]]


def test_a_poisonous_request_fails_alone(caplog):
    model = Echo()

    async def scenario(worker):
        answers = Answers()
        await held(worker, model, answers)
        for number in (6, POISON, 8):
            worker.submit(work(number), answers.deliver)
        model.gate.set()
        results = await answers.wait(4)
        assert isinstance(results[POISON], WorkFailed)
        assert results[POISON].error.message == "The model 'echo' failed on this audio."
        assert all(isinstance(results[number], Transcribed) for number in (0, 6, 8))
        worker.submit(work(9), answers.deliver)
        assert isinstance((await answers.wait(5))[9], Transcribed)

    with_worker(model.load, scenario)
    assert model.batches == [[0], [6, POISON, 8], [6], [POISON], [8], [9]]
    assert "model echo failed on a request" in caplog.text


def test_an_error_that_explains_itself_is_passed_on(caplog):
    def load():
        def run(batch):
            raise ModelError("This model takes no Klingon.", code="no_klingon")

        return run

    async def scenario(worker):
        answers = Answers()
        worker.submit(work(1), answers.deliver)
        assert (await answers.wait(1))[1].error.code == "no_klingon"

    with_worker(load, scenario)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OperatorError("Run hark pull."), OperatorError, "Run hark pull."),
        (ZeroDivisionError("no memory"), ModelError, "Model 'echo' did not load: no memory"),
    ],
)
def test_a_model_that_does_not_load_fails_all_work(error, kind, message):
    def load():
        raise error

    async def scenario(worker):
        answers = Answers()
        for number in (1, 2):
            worker.submit(work(number), answers.deliver)
        with pytest.raises(kind, match=message):
            await asyncio.wrap_future(worker.loaded)
        worker.submit(work(3), answers.deliver)
        results = await answers.wait(3)
        assert {result.error.message for result in results.values()} == {message}

    with_worker(load, scenario)


def test_a_model_that_did_not_load_is_tried_again_after_a_while(monkeypatch, caplog):
    model, errors = Echo(), [OperatorError("Run hark pull."), OperatorError("Run it to its end."), None]
    tries, clock = [], Clock()
    monkeypatch.setattr(worker_module, "time", clock)

    def load():
        tries.append(True)
        if error := errors.pop(0):
            raise error
        return model.run

    async def scenario(worker):
        answers = Answers()
        worker.submit(work(1), answers.deliver)
        assert (await answers.wait(1))[1].error.message == "Run hark pull."
        worker.submit(work(2), answers.deliver)  # at once: nothing has changed
        assert (await answers.wait(2))[2].error.message == "Run hark pull."
        assert len(tries) == 1
        clock.later()
        worker.submit(work(3), answers.deliver)
        assert (await answers.wait(3))[3].error.message == "Run it to its end."
        clock.later()
        worker.submit(work(4), answers.deliver)
        assert isinstance((await answers.wait(4))[4], Transcribed)
        assert len(tries) == 3

    with_worker(load, scenario)
    assert [record.getMessage() for record in caplog.records] == [
        "model echo cannot be loaded: Run hark pull.",
        "model echo cannot be loaded: Run it to its end.",
    ]


class Clock:
    def __init__(self):
        self.ahead_s = 0.0

    def monotonic(self):
        return time.monotonic() + self.ahead_s

    def later(self):
        self.ahead_s += worker_module.AGAIN_S


def test_what_waited_for_the_load_fails_with_it_and_the_threads_end():
    gate = threading.Event()

    def load():
        assert gate.wait(PATIENCE_S)
        raise OperatorError("Run hark pull.")

    async def scenario(worker):
        answers = Answers()
        for number, length in enumerate((100, 1_000, 10_000)):  # three batches
            worker.submit(work(number, length), answers.deliver)
        gate.set()
        assert len(await answers.wait(3)) == 3

    with_worker(load, scenario, callers=3)
    assert not any(thread.name == "hark-echo" for thread in threading.enumerate())


def test_only_who_has_nothing_to_do_retires():
    model = Echo()

    async def scenario(worker):
        answers = Answers()
        await asyncio.wrap_future(worker.loaded)
        await held(worker, model, answers)
        assert worker.idle_s() is None
        assert not worker.retire()
        model.gate.set()
        await answers.wait(1)
        async with asyncio.timeout(PATIENCE_S):
            while worker.idle_s() is None:
                await asyncio.sleep(0)
        assert worker.idle_s() < PATIENCE_S
        assert worker.retire()
        async with asyncio.timeout(PATIENCE_S):
            while any(thread.name == "hark-echo" for thread in threading.enumerate()):
                await asyncio.sleep(0)

    with_worker(model.load, scenario, callers=2)


def test_who_no_longer_waits_for_the_load_does_no_harm():
    model = Echo()
    loading = threading.Event()

    def load():
        assert loading.wait(PATIENCE_S)
        return model.run

    async def scenario(worker):
        waiter = asyncio.wrap_future(worker.loaded)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        loading.set()
        answers = Answers()
        worker.submit(work(1), answers.deliver)
        assert isinstance((await answers.wait(1))[1], Transcribed)

    with_worker(load, scenario)


def test_withdrawn_work_is_never_run():
    model = Echo()

    async def scenario(worker):
        gone, stays = Answers(), Answers()
        await held(worker, model, stays)
        for number in (1, 2, 3):
            worker.submit(work(number), gone.deliver)
        worker.submit(work(4), stays.deliver)
        worker.withdraw(gone.deliver)
        model.gate.set()
        await stays.wait(2)
        assert gone.results == []

    with_worker(model.load, scenario)
    assert model.batches == [[0], [4]]


def test_what_has_ended_does_not_wait_for_what_its_session_asked_before():
    model = Echo()
    model.gate.clear()

    async def scenario(worker):
        answers = Answers()
        worker.submit(Transcribe(0, "any", np.zeros(100, np.float32), Urgency.GROWING), answers.deliver)
        assert await asyncio.to_thread(model.entered.wait, PATIENCE_S)
        worker.submit(Transcribe(1, "any", np.zeros(100, np.float32), Urgency.GROWING, replaces=0), answers.deliver)
        worker.submit(Transcribe(2, "any", np.zeros(100, np.float32), Urgency.PAUSED, replaces=1), answers.deliver)
        worker.urge(Urge(2, Urgency.ENDED), answers.deliver)
        async with asyncio.timeout(PATIENCE_S):
            while [2] not in model.batches:
                await asyncio.sleep(0)
        model.gate.set()
        await answers.wait(2)

    with_worker(model.load, scenario, callers=2)
    assert model.batches == [[0], [2]]


def test_a_model_is_loaded_once_for_all_its_callers():
    model, loads = Echo(), []
    model.gate.clear()

    def load():
        loads.append(threading.get_ident())
        return model.run

    async def scenario(worker):
        answers = Answers()
        for number, length in enumerate((100, 1_000, 10_000)):  # too unlike for one batch
            worker.submit(work(number, length), answers.deliver)
        async with asyncio.timeout(PATIENCE_S):
            while len(model.batches) < 3:
                await asyncio.sleep(0)
        model.gate.set()
        await answers.wait(3)

    with_worker(load, scenario, callers=3)
    assert len(loads) == 1


def test_stop_ends_the_thread_after_the_batch_that_runs():
    model = Echo()

    async def scenario(worker):
        answers = Answers()
        await held(worker, model, answers)
        worker.submit(work(1), answers.deliver)
        stopping = asyncio.create_task(asyncio.to_thread(worker.stop))
        while worker.waiting:
            await asyncio.sleep(0)
        model.gate.set()
        await stopping
        await answers.wait(1)
        assert not any(thread.name == "hark-echo" for thread in threading.enumerate())

    with_worker(model.load, scenario)
    assert model.batches == [[0]]


def test_a_loop_that_has_closed_is_nobody_s_loss():
    model = Echo()
    workers = []

    async def leave():
        worker = Worker("echo", lambda stack: model.load(), Limits())
        workers.append(worker)
        await held(worker, model, Answers())

    asyncio.run(leave())
    model.gate.set()

    async def come_back():
        answers = Answers()
        workers[0].submit(work(1), answers.deliver)
        assert 1 in await answers.wait(1)
        await asyncio.to_thread(workers[0].stop)

    asyncio.run(come_back())
