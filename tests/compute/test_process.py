"""An engine in a process of its own, with real processes and real signals."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import apart_engines
import numpy as np
import pytest
from apart_engines import POISON, Clinging, Moody, Mortal, Parrot, Patient, PatientAndTidy, Tidy, alive, model

from hark.compute import process
from hark.compute.process import EngineLostError, EngineProcess
from hark.compute.scheduler import LocalCompute
from hark.core.work import Transcribe, Transcribed, WorkFailed
from hark.errors import ModelError, OperatorError
from hark.models import scripted
from hark.models.base import LoadOptions, Utterance

PATIENCE_S = 30
AUDIO = np.linspace(-1, 1, 170_001, dtype=np.float32)  # more than a socket holds at once
pytestmark = pytest.mark.skipif(not process.can_run_apart(), reason="engines run in threads on this system")


@contextmanager
def running(load, folder, threads=1):
    engine = EngineProcess(model(load), LoadOptions(folder, threads))
    try:
        yield engine
    finally:
        engine.close()
        wait_for(lambda: not alive(engine.pid))


def wait_for(holds):
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def words(hypothesis):
    return hypothesis.text.split(" ", 3)


def test_an_engine_is_closed_once_when_nobody_needs_it(tmp_path):
    with running(Tidy, tmp_path) as engine:
        assert engine.transcribe([Utterance(AUDIO)])
        assert not (tmp_path / "closed").exists()
    assert (tmp_path / "closed").read_text() == "x"


def test_an_engine_that_does_not_close_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "END_S", 0.1)
    with running(Clinging, tmp_path) as engine:
        pid = engine.pid
    assert not alive(pid)


def test_an_engine_that_works_is_not_waited_for(tmp_path):
    failures = []

    def ask(engine):
        try:
            engine.transcribe([Utterance(AUDIO)])
        except ModelError as error:
            failures.append(error.message)

    with running(PatientAndTidy, tmp_path) as engine:
        asking = threading.Thread(target=ask, args=(engine,))
        asking.start()
        wait_for(lambda: list(tmp_path.glob("here-*")))
    asking.join(PATIENCE_S)
    assert failures == ["The model 'parrot' is no longer in use."]
    assert not (tmp_path / "closed").exists()


def test_audio_and_hints_arrive_and_hypotheses_come_back_as_they_were(tmp_path, capfd):
    batch = [
        Utterance(AUDIO, "en", ("en", "de"), "A prompt.", ("Hark", "kiosk"), False, (1, 2)),
        Utterance(AUDIO[::2]),  # not in one piece of memory
        Utterance(AUDIO[:0]),
    ]
    with running(Parrot, tmp_path, threads=3) as engine:
        heard = engine.transcribe(batch)
        told = f"{engine.pid} {tmp_path} 3 float32"
    assert heard == [
        apart_engines.said(
            f"{told} 170001 {float(AUDIO.sum())} en ('en', 'de') A prompt. ('Hark', 'kiosk') False (1, 2)"
        ),
        apart_engines.said(f"{told} 85001 {float(np.ascontiguousarray(AUDIO[::2]).sum())} None () None () True ()"),
        apart_engines.said(f"{told} 0 0.0 None () None () True ()"),
    ]
    assert engine.pid != os.getpid()
    shown = capfd.readouterr()
    assert shown.out == "", "the server's own output is left alone"
    assert "a library that prints" in shown.err


def test_a_failed_request_leaves_the_process_as_it_is(tmp_path):
    with running(Moody, tmp_path) as engine:
        pid = engine.pid
        with pytest.raises(ModelError, match=r"^The model sulks\. Ask again\.$"):
            engine.transcribe([Utterance(AUDIO, prompt="sulk")])
        with pytest.raises(ModelError, match=r"^The model 'parrot' failed on this audio\.$"):
            engine.transcribe([Utterance(AUDIO, prompt="stumble")])
        with pytest.raises(ModelError, match=r"failed on this audio"):  # it answers what cannot be sent
            engine.transcribe([Utterance(AUDIO, prompt="odd")])
        assert words(engine.transcribe([Utterance(AUDIO)])[0])[0] == str(pid)


def test_a_process_without_memory_gives_way_to_the_next(tmp_path):
    with running(Moody, tmp_path) as engine:
        pid = engine.pid
        with pytest.raises(EngineLostError, match="exit status 71"):
            engine.transcribe([Utterance(AUDIO, prompt="starve")])
        assert words(engine.transcribe([Utterance(AUDIO)])[0])[0] == str(engine.pid) != str(pid)


@pytest.mark.parametrize(
    ("load", "kind", "message"),
    [
        (apart_engines.refuses, OperatorError, r"^The files are not there\. Run hark pull\.$"),
        (apart_engines.stumbles, ModelError, r"^Model 'parrot' did not load: of its own$"),
        (
            apart_engines.dies,
            ModelError,
            r"^The process of the model 'parrot' ended with exit status 3 while it loaded",
        ),
        (lambda options: None, ModelError, r"has to say own_process=False\.$"),
    ],
)
def test_what_cannot_be_loaded_is_told(tmp_path, load, kind, message):
    with pytest.raises(kind, match=message):
        EngineProcess(model(load), LoadOptions(tmp_path, 1))


def test_after_a_killed_process_the_next_request_has_another(tmp_path):
    with running(Parrot, tmp_path) as engine:
        first = engine.pid
        os.kill(first, signal.SIGKILL)
        with suppress(EngineLostError):  # unless it was noticed before
            engine.transcribe([Utterance(AUDIO)])
        assert words(engine.transcribe([Utterance(AUDIO)])[0])[0] == str(engine.pid) != str(first)


def test_a_stopped_process_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "SILENT_S", 2.5)  # more than the time between two signs of life
    with running(Parrot, tmp_path) as engine:
        first = engine.pid
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(EngineLostError, match="gave no sign of life"):
            engine.transcribe([Utterance(AUDIO)])
        assert not alive(first)
        assert words(engine.transcribe([Utterance(AUDIO)])[0])[0] == str(engine.pid)


def test_a_process_that_works_on_after_everybody_has_given_up_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "GIVEN_UP_S", 0.5)
    with running(Moody, tmp_path) as engine:
        first = engine.pid
        with pytest.raises(ModelError, match="took too long") as failed:
            engine.transcribe([Utterance(AUDIO, prompt="hang")])
        assert not isinstance(failed.value, EngineLostError), "it is not asked again"
        assert not alive(first)
        assert engine.transcribe([Utterance(AUDIO)])


def test_what_a_terminal_or_a_service_manager_sends_is_left_to_the_server(tmp_path):
    with running(Parrot, tmp_path) as engine:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(engine.pid, number)
        assert words(engine.transcribe([Utterance(AUDIO)])[0])[0] == str(engine.pid)


@pytest.mark.parametrize("engine", ["Parrot", "Patient"])
def test_no_process_outlives_its_server(tmp_path, engine):
    """Neither one that waits for work nor one that is at it."""
    program = (
        "import pathlib, sys, threading, numpy\n"
        "from apart_engines import *\nfrom hark.compute.process import *\n"
        f"engine = EngineProcess(model({engine}), LoadOptions(pathlib.Path(sys.argv[1]), 1))\n"
        "print(engine.pid, flush=True)\n"
        "engine.transcribe([Utterance(numpy.zeros(9, numpy.float32))])\n"
        "threading.Event().wait()\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with server:
        pid = int(server.stdout.readline())
        if engine == "Patient":
            wait_for((tmp_path / f"here-{pid}").exists)
        assert alive(pid)
        server.kill()
    wait_for(lambda: not alive(pid))


# Behind the scheduler: nothing is lost with a process.


def played(tmp_path, load, scenario, **spec):
    async def run():
        models = {model.spec.name: model for model in scripted.plugin()} | {"parrot": model(load, **spec)}
        compute = LocalCompute(models, scorer="scripted-vad", folder=tmp_path, threads=2)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await compute.start("parrot")
                return await scenario(compute)
        finally:
            await asyncio.to_thread(compute.stop)

    return asyncio.run(run())


def ask(compute, number, first=0.0):
    answer = asyncio.get_running_loop().create_future()
    audio = np.full(1_600, first, np.float32)
    compute.submit(Transcribe(number, "parrot", audio), answer.set_result)
    return answer


def pid_of(result):
    assert isinstance(result, Transcribed)
    return int(words(result.hypothesis)[0])


def here(folder):
    return [int(path.name.partition("-")[2]) for path in folder.glob("here-*")]


async def until(holds):
    while not holds():
        await asyncio.sleep(0.01)


def test_what_a_killed_process_had_is_asked_of_another(tmp_path):
    async def scenario(compute):
        answer = ask(compute, 1)
        await until(lambda: here(tmp_path))
        (first,) = here(tmp_path)
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(here(tmp_path)) == 2)
        (tmp_path / "open").touch()
        assert pid_of(await answer) in set(here(tmp_path)) - {first}

    played(tmp_path, Patient, scenario)


def test_poison_fails_alone_and_the_others_are_heard(tmp_path):
    async def scenario(compute):
        answers = [ask(compute, number, POISON if number == 3 else 0.0) for number in range(6)]
        results = await asyncio.gather(*answers)
        assert [type(result) for result in results] == [Transcribed] * 3 + [WorkFailed] + [Transcribed] * 2
        assert "was ended by signal 11" in results[3].error.message
        assert 2 <= len((tmp_path / "deaths").read_text()) <= 3, "alone it is tried twice"
        assert pid_of(await ask(compute, 7))

    played(tmp_path, Mortal, scenario)


def test_a_second_process_comes_with_work_for_it_and_all_go_in_the_end(tmp_path):
    async def scenario(compute):
        first = [ask(compute, 1)]
        await until(lambda: len(here(tmp_path)) == 1)
        later = [ask(compute, number) for number in (2, 3)]
        await until(lambda: len(here(tmp_path)) == 2)
        (tmp_path / "open").touch()
        return {pid_of(result) for result in await asyncio.gather(*first, *later)}

    pids = played(tmp_path, Patient, scenario, threads=1, max_batch=1)
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)


def test_a_stop_does_not_wait_for_a_process_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr("hark.compute.worker.STOP_PATIENCE_S", 0.2)

    async def scenario(compute):
        ask(compute, 1)
        await until(lambda: here(tmp_path))

    played(tmp_path, Patient, scenario)
    (pid,) = here(tmp_path)
    assert not alive(pid)
    wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name == "hark-parrot"])
