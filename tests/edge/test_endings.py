"""Sessions that end badly. A client that vanishes leaves nothing behind, no task and no work for the models; and a
client learns of a defect of ours."""

import asyncio
import json
import threading

import pytest
from websockets.asyncio.client import connect

import hark.app
from hark.compute.scheduler import LocalCompute
from hark.models.base import EngineModel, ModelSpec
from hark.models.catalog import installed
from hark.models.scripted import ScriptedEngine
from serving import COMPLETED, PATIENCE_S, Server, base64, settings, speech

TARGET = "/v1/realtime?intent=transcription"


class Held(ScriptedEngine):
    """Answers nothing before it is let go."""

    def __init__(self):
        self.go = threading.Event()

    def transcribe(self, batch):
        assert self.go.wait(PATIENCE_S)
        return super().transcribe(batch)


@pytest.fixture
def models(monkeypatch):
    """An engine that holds its answers, and the compute of each server that is started."""
    engine, started = Held(), []

    def compute(*arguments, **options):
        started.append(LocalCompute(*arguments, **options))
        return started[-1]

    spec = ModelSpec("held", "Holds its answers.", "MIT", max_batch=1, own_process=False)
    monkeypatch.setattr("hark.compute.running.LocalCompute", compute)
    monkeypatch.setattr("hark.app.installed", lambda: installed() | {"held": EngineModel(spec, lambda options: engine)})
    return engine, started


async def open_session(url):
    socket = await connect(f"ws{url.removeprefix('http')}{TARGET}", compression=None, ping_interval=None)
    await until(socket, "session.created")
    return socket


async def say(socket, kind, **fields):
    await socket.send(json.dumps({"type": kind, **fields}))


async def until(socket, kind):
    async with asyncio.timeout(PATIENCE_S):
        while (event := json.loads(await socket.recv()))["type"] != kind:
            pass
    return event


async def in_the_middle_of_a_turn(url):
    socket = await open_session(url)
    await say(socket, "input_audio_buffer.append", audio=base64(speech("alpha", "bravo", "charlie", pause_s=0)))
    await until(socket, "input_audio_buffer.speech_started")
    await say(socket, "response.create")  # its answer comes after the request for a transcript has gone out
    await until(socket, "response.done")
    return socket


@pytest.mark.here
@pytest.mark.parametrize("leave", [lambda socket: socket.transport.abort(), lambda socket: socket.close(1001)])
def test_nothing_is_left_of_a_client_that_vanished(models, leave):
    engine, started = models

    async def scenario():
        async with hark.app.running(settings(model="held", resume_seconds=0)) as url:
            before = asyncio.all_tasks()
            clients = [await in_the_middle_of_a_turn(url) for _ in range(3)]
            (compute,) = started
            assert compute.waiting == 2  # one is with the model
            for client in clients:
                if (closing := leave(client)) is not None:
                    await closing
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)
            assert compute.waiting == 0
            engine.go.set()
            survivor = await open_session(url)
            await say(survivor, "input_audio_buffer.append", audio=base64(speech("delta")))
            assert (await until(survivor, COMPLETED))["transcript"] == "delta"
            await survivor.close()

    asyncio.run(scenario())


class Broken(LocalCompute):
    def submit(self, work, deliver):
        raise ZeroDivisionError


@pytest.mark.here
def test_a_defect_of_ours_is_told_and_may_be_tried_again(monkeypatch, dialect):
    monkeypatch.setattr("hark.compute.running.LocalCompute", Broken)
    server = Server()
    try:
        with server.session(dialect) as wire:
            wire.append(speech("alpha"))
            (event,), code, reason = wire.ending()
            assert (event["error"]["type"], code, reason) == ("server_error", 1011, "server_error")
            assert wire.created["session"]["id"] in event["error"]["message"]
    finally:
        server.stop()
