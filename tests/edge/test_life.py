"""The life of a session, with a real Session and models that answer when the test says so."""

import asyncio
import json

from starlette.websockets import WebSocketDisconnect

from hark.auth.principal import ANONYMOUS
from hark.core.messages import AppendAudio, CommitAudio, FinishSession, SessionEnded, SessionView
from hark.core.settings import ModelCard, SessionSettings
from hark.core.work import ScoreVoice, Transcribe, Transcribed, VoiceScored
from hark.edge import call as calls
from hark.edge import life as lives
from hark.edge.beat import Beat
from hark.edge.call import ChannelEar
from hark.edge.eventlog import EventLog
from hark.edge.ids import new_id
from hark.edge.life import Life
from hark.edge.witness import Audience
from hark.models.base import Utterance
from hark.models.scripted import ScriptedEngine, ScriptedScorer
from hark.session.session import Session
from serving import COMPLETED, PATIENCE_S, speech

CARD = ModelCard("scripted", "scripted")
MANUAL = SessionSettings(turn_detection=None)
RESTART = SessionEnded(1012, "server_draining")


class Models:
    """Compute on the caller's own loop, which keeps transcripts back until `release`."""

    def __init__(self):
        self.kept = []

    def submit(self, work, deliver):
        if isinstance(work, ScoreVoice):
            ((probabilities, state),) = ScriptedScorer().score([(work.audio, work.state)])
            asyncio.get_running_loop().call_soon(deliver, VoiceScored(work.id, probabilities, state))
        elif isinstance(work, Transcribe):
            self.kept.append((work, deliver))

    def urge(self, urge, deliver):
        pass

    def withdraw(self, deliver):
        pass

    def release(self):
        for work, deliver in self.kept:
            (hypothesis,) = ScriptedEngine().transcribe([Utterance(work.audio)])
            deliver(Transcribed(work.id, hypothesis))


class Line:
    def __init__(self):
        self.said = []
        self.freed = asyncio.Event()
        self.told = asyncio.get_running_loop().create_future()
        self.reads = True

    async def say(self, frame):
        if not self.reads:
            await self.told
            raise WebSocketDisconnect(1006)
        self.said.append(json.loads(frame))

    def hold(self, held):
        pass

    def end(self, told):
        if not self.told.done():
            self.told.set_result(told)

    def kinds(self):
        return [event["type"] for event in self.said]


def session(charge=lambda samples: None):
    now = asyncio.get_running_loop().time()
    view = SessionView("sess_1", 0, MANUAL)
    return Session(view, find_model=lambda name: CARD, new_id=new_id, now=now, charge=charge)


def born(models, line, *, patience_s=0.0):
    """A life that runs, and its task. `line` has been heard to the end of a turn that the models keep."""
    life = Life("key", "ga", Audience(), patience_s=patience_s, heard=True)
    life.begin(session(life.charge), models, Beat(), line)
    life.put(line, [AppendAudio(audio=speech("alpha")), CommitAudio()])
    return life, asyncio.create_task(life.run())


async def asked(models):
    while not models.kept:
        await asyncio.sleep(0)


def run(scenario):
    async def within():
        async with asyncio.timeout(PATIENCE_S):
            await scenario()

    asyncio.run(within())


def test_a_client_that_leaves_a_server_that_stops_gives_no_model_more_time():
    async def scenario():
        models, line = Models(), Line()
        life, running = born(models, line)
        await asked(models)
        life.leave()
        life.finish(RESTART.code, RESTART.reason, within_s=0.05)
        life.lost(line, goodbye=False)  # which alone would wait for 30 s
        await running

    run(scenario)


def test_a_client_that_reads_no_more_keeps_no_session_from_ending(monkeypatch):
    monkeypatch.setattr(lives, "READ_S", 0.05)

    async def scenario():
        models, line = Models(), Line()
        line.reads = False
        life, running = born(models, line)
        await asyncio.sleep(0)
        life.finish(RESTART.code, RESTART.reason, within_s=0.05)
        await running
        assert await line.told == RESTART

    run(scenario)


def test_a_channel_that_takes_no_more_keeps_no_call_from_ending(monkeypatch):
    monkeypatch.setattr(calls, "FINISH_S", 0.05)

    class Full(ChannelEar):
        """Behind a peer that reads no more, like a real one whose buffer is full."""

        open = True

        def __init__(self):
            super().__init__("ga", EventLog())
            self.peer = self
            self.room = asyncio.Event()
            self.opened()

        def send(self, frame):
            return True

        async def drained(self):
            await self.room.wait()

        def hurry(self):
            self.room.set()

    async def scenario():
        call = calls.Call("rtc_1", ANONYMOUS, session(), Models(), Audience())
        call.attach(Full())
        running = asyncio.create_task(call.run())
        await asyncio.sleep(0)
        call.end("it was hung up")
        await running

    run(scenario)


def test_who_comes_back_to_a_session_that_is_ending_is_told_the_rest():
    async def scenario():
        models, line, next_line = Models(), Line(), Line()
        life, running = born(models, line, patience_s=600.0)
        await asked(models)
        life.put(line, [FinishSession(code=1001, reason="session_idle")])
        life.lost(line, goodbye=False)
        life.resume(next_line, line.said[-1]["event_id"])
        models.release()
        assert await next_line.told == SessionEnded(1001, "session_idle")
        await running
        assert next_line.kinds()[0] == "session.created"
        assert next_line.kinds().count(COMPLETED) == 1

    run(scenario)
