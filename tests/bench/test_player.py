"""Whole runs against servers: Hark with the scripted models, and fakes of other servers over a real WebSocket."""

import asyncio
import json
from contextlib import asynccontextmanager

import numpy as np
import pytest
from websockets.asyncio.server import serve as serve_websocket

from hark.bench.clips import Clip
from hark.bench.heard import Trouble
from hark.bench.load import Limit, climb, figures, level
from hark.bench.measures import items_of, sum_up
from hark.bench.peers import DIALECTS
from hark.bench.player import Stock, Target, play
from hark.bench.processes import tree, usage
from hark.bench.protocols import Sending
from hark.bench.ramp import Ramp
from hark.bench.schedule import Plan
from hark.models.scripted import amplitude

PLAN = Plan(seconds=2.2, pauses=(0.6, 0.7), jitter_s=0.01)
PATIENT = Limit(20.0)


def clip(*words):
    """Words of the scripted model, 200 ms each, after 100 ms of silence."""
    levels = [np.zeros(1_600), *(np.full(3_200, amplitude(word)) for word in words)]
    audio = np.concatenate(levels).astype(np.float32)
    return Clip(" ".join(words), audio, ((1_600, len(audio)),), " ".join(words))


CLIPS = [clip("alpha", "golf"), clip("bravo", "delta", "hotel")]


def target(url, name="openai", **sending):
    return Target(url, DIALECTS[name], Sending(**sending))


def run(target, sessions=3, plan=PLAN):
    stock = Stock(CLIPS, target)
    return asyncio.run(play(target, stock, plan, sessions, patience_s=20))


@pytest.mark.parametrize(("rate", "frame_samples"), [(24_000, 1_600), (16_000, 320), (48_000, 800)])
def test_hark_hears_every_turn(server, rate, frame_samples):
    wanted = target(server.url, rate=rate, frame_samples=frame_samples)
    played = run(wanted, plan=Plan(2.2, frame_samples, (0.6, 0.7), 0.01))
    sums = sum_up(played, [one.transcript for one in CLIPS], silence_s=0.3, frame_s=frame_samples / 16_000)
    assert sums.turns == sum(len(one.script.turns) for one in played) >= 3
    assert (sums.missed, sums.failed, sums.refused) == (0, 0, 0)
    assert (sums.words.wrong, sums.words.units > 0) == (0, True)
    assert min(sums.final) >= 0.28  # the silence is waited for, in windows of 32 ms
    assert len(sums.added) == len(sums.done_after_stop) == sums.turns


def test_every_frame_leaves_and_none_before_its_time(server):
    for one in run(target(server.url)):
        assert len(one.sent) == len(one.script.frames) == len(one.lateness)
        assert min(one.lateness) > -0.005  # what an event loop rounds


def test_what_a_server_refuses_is_no_crash(serve):
    [one] = run(target(serve(api_key="sk-other").url), sessions=1)
    [trouble] = [news for news in one.heard if isinstance(news, Trouble)]
    assert "key" in trouble.message.lower()


def test_no_server_is_told(server):
    [one] = run(target("http://127.0.0.1:1"), sessions=1)
    assert isinstance(one.heard[0], Trouble)
    assert one.sent == []


def test_a_level_has_all_its_figures(server):
    wanted = target(server.url)
    one = asyncio.run(level(wanted, Stock(CLIPS, wanted), PLAN, 2, PATIENT, pid=None, patient=True))
    told = json.loads(json.dumps(figures(one)))
    assert (told["sessions"], told["missed"], told["word_error_rate"], told["server_cores"]) == (2, 0, 0.0, None)
    assert told["final_ms"]["p50"] <= told["final_ms"]["p95"] <= told["final_ms"]["p99"]


def test_the_climb_ends_where_the_server_refuses(monkeypatch):
    """A server that takes two sessions at once."""
    monkeypatch.setattr("hark.bench.measures.LATE_S", 60.0)  # however busy the machine is
    monkeypatch.setattr("hark.bench.load.BREATH_S", 0.0)
    open_now = 0

    async def talk(socket):
        nonlocal open_now
        open_now += 1
        try:
            if open_now > 2:
                await socket.close(1013, "full")
            async for message in socket:
                if message == "Done":
                    return
                rate, size = np.frombuffer(message[:8], "<i4")
                got = len(message) - 8
                while got < size:
                    got += len(await socket.recv())
                await socket.send(json.dumps({"text": f"{size // 4} at {rate}"}))
        finally:
            open_now -= 1

    async def measure():
        async with faked(talk) as url:
            wanted = target(url, "sherpa-offline")
            stock = Stock(CLIPS, wanted)
            ramp = Ramp(1, 8)
            levels = await climb(lambda n: level(wanted, stock, PLAN, n, PATIENT, pid=None), ramp)
            return ramp.best, [(one.sessions, one.carried, one.sums.refused) for one in levels]

    best, tried = asyncio.run(measure())
    assert best == 2
    assert tried == [(1, True, 0), (2, True, 0), (4, False, 2), (3, False, 1)]


@asynccontextmanager
async def faked(talk):
    async with serve_websocket(talk, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def vosk(socket):
    """Says "word" at the end of each second that was loud."""
    config, heard, loud = json.loads(await socket.recv())["config"], 0, False
    assert config["sample_rate"] == 16_000
    async for message in socket:
        if isinstance(message, str):
            await socket.send(json.dumps({"text": ""}))
            return
        heard += len(message) // 2
        now = np.abs(np.frombuffer(message, "<i2")).max() > 500
        said = {"partial": "wor" if now else ""}
        if loud and not now:
            end = heard / 16_000 - 0.1
            said = {"result": [{"word": "word", "start": end - 0.2, "end": end, "conf": 1.0}], "text": "word"}
        loud = now
        await socket.send(json.dumps(said))


async def whisperlive(socket):
    """Is ready after a while; says one segment, again and again."""
    uid = json.loads(await socket.recv())["uid"]
    await socket.send(json.dumps({"uid": uid, "message": "SERVER_READY", "backend": "fake"}))
    heard = 0
    async for message in socket:
        if message == b"END_OF_AUDIO":
            return
        heard += len(message) // 4
        segment = {
            "start": "0.000",
            "end": f"{min(heard / 16_000, 1.0):.3f}",
            "text": "word",
            "completed": heard > 16_000,
        }
        await socket.send(json.dumps({"uid": uid, "segments": [segment]}))


@pytest.mark.parametrize(("name", "talk"), [("vosk", vosk), ("whisperlive", whisperlive)])
def test_other_servers_are_heard_over_their_own_protocol(name, talk):
    async def measure():
        async with faked(talk) as url:
            wanted = target(url, name)
            return await play(wanted, Stock(CLIPS, wanted), PLAN, 2, patience_s=2)

    for one in asyncio.run(measure()):
        texts = [news.text for news in one.heard if hasattr(news, "text")]
        assert texts == ["word"] * len(texts) != []
        assert not any(isinstance(news, Trouble) for news in one.heard[:-1])
        assert items_of(one.heard) is not None


def test_a_tree_of_processes_is_counted(tmp_path):
    async def measure():
        script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
        process = await asyncio.create_subprocess_exec("python3", "-c", script, stdin=asyncio.subprocess.PIPE)
        while len(tree(process.pid)) < 2:
            await asyncio.sleep(0.01)
        found = usage(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
        return found, usage(process.pid)

    alive, gone = asyncio.run(measure())
    assert alive.memory > 2_000_000
    assert gone.memory == 0


def test_a_level_that_cannot_be_carried_is_broken_off():
    """A server that takes everything and says nothing."""

    async def talk(socket):
        async for _ in socket:
            pass

    async def measure():
        async with faked(talk) as url:
            wanted = target(url, "sherpa")
            long = Plan(seconds=60, pauses=(0.6, 0.7))
            return await level(wanted, Stock(CLIPS, wanted), long, 2, Limit(0.3), pid=None)

    one = asyncio.run(measure())
    assert one.broken_off
    assert not one.carried
    assert one.seconds < 60
