"""Which engines go when they take too much: the rule, and the server with real processes of engines."""

import asyncio
import os
import sys

import numpy as np
import pytest
from apart_engines import Parrot, Patient, alive

from hark.compute import memory, scheduler
from hark.compute.memory import IDLE_S, Tenant, resident, to_let_go
from hark.compute.scheduler import LocalCompute
from hark.core.work import Transcribe, Transcribed
from hark.models import scripted
from hark.models.base import EngineModel, ModelSpec
from hark.models.files.table import MODEL_FILES

PATIENCE_S = 20
LONG = IDLE_S + 100


@pytest.mark.parametrize(
    ("tenants", "limit", "going"),
    [
        ([Tenant("a", 10, LONG), Tenant("b", 10, LONG + 1)], 20, []),
        ([Tenant("a", 10, LONG), Tenant("b", 10, LONG + 1)], 19, ["b"]),
        ([Tenant("a", 10, LONG), Tenant("b", 10, LONG + 1)], 9, ["b", "a"]),
        ([Tenant("a", 10, LONG), Tenant("b", 10, None)], 5, ["a"]),
        ([Tenant("a", 10, LONG, stays=True), Tenant("b", 10, LONG - 1)], 5, ["b"]),
        ([Tenant("a", 10, LONG, stays=True)], 5, []),
        ([Tenant("a", 0, LONG), Tenant("b", 10, LONG - 1)], 5, ["b"]),
        ([Tenant("a", 10, IDLE_S / 2)], 5, []),
        ([], 5, []),
    ],
)
def test_the_rule(tenants, limit, going):
    assert to_let_go(tenants, limit) == going


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_process_s_memory():
    assert 5_000_000 < resident(os.getpid()) < 50_000_000_000
    assert resident(2**22 + 1) is None


def engines(*names, load=Parrot):
    return {name: EngineModel(ModelSpec(name, "for this test", "MIT"), load) for name in names}


def played(tmp_path, scenario, models, limit):
    async def run():
        known = {model.spec.name: model for model in scripted.plugin()} | models
        compute = LocalCompute(known, scorer="scripted-vad", folder=tmp_path, threads=1, memory=limit)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await scenario(compute)
        finally:
            await asyncio.to_thread(compute.stop)

    return asyncio.run(run())


async def pid_of(compute, name):
    """The process that answers for this engine."""
    answer = asyncio.get_running_loop().create_future()
    compute.submit(Transcribe(1, name, np.zeros(100, np.float32)), answer.set_result)
    result = await answer
    assert isinstance(result, Transcribed), result
    return int(result.hypothesis.text.split()[0])


async def dropped(compute, count):
    names = []
    while len(names) < count:
        names += compute.make_room()
        await asyncio.sleep(0.01)
    return names


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_unused_engines_go_and_come_back(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(memory, "IDLE_S", 0.0)
    caplog.set_level("INFO")

    async def scenario(compute):
        await compute.start("first")
        pids = {name: await pid_of(compute, name) for name in ("first", "second", "third")}
        assert sorted(await dropped(compute, 2)) == ["second", "third"]
        while alive(pids["second"]) or alive(pids["third"]):
            await asyncio.sleep(0.01)
        assert compute.make_room() == []
        assert await pid_of(compute, "first") == pids["first"]
        assert await pid_of(compute, "second") not in pids.values()

    played(tmp_path, scenario, engines("first", "second", "third"), limit=1)
    assert "model second was dropped to keep within --models-memory-mb" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_who_works_is_not_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "IDLE_S", 0.0)

    async def scenario(compute):
        waiting = asyncio.create_task(pid_of(compute, "slow"))
        while not list(tmp_path.glob("here-*")):
            await asyncio.sleep(0.01)
        assert compute.make_room() == []
        (tmp_path / "open").touch()
        pid = await waiting
        assert await dropped(compute, 1) == ["slow"]
        while alive(pid):
            await asyncio.sleep(0.01)

    played(tmp_path, scenario, engines("slow", load=Patient), limit=1)


def test_where_nobody_says_what_is_held_the_files_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "IDLE_S", 0.0)
    monkeypatch.setattr(scheduler, "lacking", lambda spec, folder: None)
    files = {"inside": ("samples",), "beside": ("samples", "silero-vad")}
    models = {
        name: EngineModel(ModelSpec(name, "for this test", "MIT", files=needed, own_process=False), Parrot)
        for name, needed in files.items()
    }

    async def scenario(compute):
        await pid_of(compute, "inside")
        await pid_of(compute, "beside")
        assert await dropped(compute, 1) == ["inside"]  # which was used before the other
        assert compute.make_room() == []

    size = MODEL_FILES["samples"].size + MODEL_FILES["silero-vad"].size
    played(tmp_path, scenario, models, limit=size)


def test_without_a_limit_all_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "IDLE_S", 0.0)

    async def scenario(compute):
        pid = await pid_of(compute, "first")
        await compute.keep_within_memory()
        assert compute.make_room() == []
        assert await pid_of(compute, "first") == pid

    played(tmp_path, scenario, engines("first"), limit=None)
