"""A worker's side of a stream: what it puts together, what it answers, and what it refuses."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest

from hark.compute.cluster import wire
from hark.compute.cluster.host import Host
from hark.core.work import Hypothesis, Strain, Token, Transcribed, Urge, Urgency, WorkFailed
from hark.errors import ModelError, OperatorError

PATIENCE_S = 20
AUDIO = np.arange(1_600, dtype=np.float32)


class Held:
    """A Compute that answers when a test says so."""

    def __init__(self):
        self.submitted = []
        self.urged = []
        self.withdrawn = 0
        self.deliver = None

    def strain(self):
        return Strain(late=0.25)

    def submit(self, work, deliver):
        self.submitted.append(work)
        self.deliver = deliver

    def urge(self, urge, deliver):
        self.urged.append(urge)

    def withdraw(self, deliver):
        assert deliver == self.deliver or self.deliver is None
        self.withdrawn += 1


class Talk:
    """One stream to a host, which is read from as gRPC does: as soon as there is anything."""

    def __init__(self, compute):
        self._messages = asyncio.Queue()
        self._answers = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(Host(compute, "ears", "worker 7").session(self._sent())))

    async def _sent(self):
        while (message := await self._messages.get()) is not None:
            yield message

    async def _read(self, answers):
        try:
            async for answer in answers:
                self._answers.put_nowait(wire.answered(answer))
        finally:
            await answers.aclose()
            self._answers.put_nowait(None)

    def send(self, *messages):
        for message in messages:
            self._messages.put_nowait(message if isinstance(message, bytes) else wire.encoded(message))

    def end(self):
        self._messages.put_nowait(None)

    async def next(self):
        """None at the end."""
        return await self._answers.get()

    async def after(self, kind):
        """The next of another kind."""
        while isinstance(answer := await self.next(), kind):
            pass
        return answer

    async def close(self):
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


def told(scenario):
    @asynccontextmanager
    async def talking(compute):
        talk = Talk(compute)
        try:
            assert isinstance(await talk.next(), wire.Hello)
            yield talk
        finally:
            await talk.close()

    async def run():
        compute = Held()
        async with asyncio.timeout(PATIENCE_S), talking(compute) as talk:
            await scenario(talk, compute)
        return compute

    return asyncio.run(run())


def audio(first, last, utterance=1):
    return wire.Audio(utterance, first, AUDIO[first:last].tobytes())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def test_it_greets_with_its_name_its_model_and_its_strain():
    async def run():
        talk = Talk(Held())
        hello = await talk.next()
        await talk.close()
        return hello

    hello = asyncio.run(run())
    assert (hello.worker, hello.engine, hello.strain) == ("worker 7", "ears", Strain(late=0.25, sessions=1))
    assert hello.version


def test_audio_is_put_together_and_asked_about():
    async def scenario(talk, compute):
        talk.send(audio(0, 400), audio(400, 900), wire.Ask(3, 1, 900, Urgency.PAUSED, prompt="names", final=False))
        talk.send(audio(900, 1_000), wire.Ask(4, 1, 1_000, Urgency.ENDED, replaces=3, draft=(1, 2)))
        await until(lambda: len(compute.submitted) == 2)
        first, second = compute.submitted
        assert (first.id, first.engine, first.prompt, first.final) == (3, "ears", "names", False)
        assert (first.audio == AUDIO[:900]).all()
        assert (second.replaces, second.draft, second.urgency) == (3, (1, 2), Urgency.ENDED)
        assert (second.audio == AUDIO[:1_000]).all()

    told(scenario)


def test_what_was_asked_about_is_not_written_over_by_what_comes():
    async def scenario(talk, compute):
        talk.send(audio(0, 400), wire.Ask(3, 1, 400, Urgency.GROWING))
        await until(lambda: compute.submitted)
        changed = wire.Audio(1, 300, np.full(200, -1, np.float32).tobytes())  # its end was settled otherwise
        talk.send(changed, wire.Ask(4, 1, 500, Urgency.ENDED))
        await until(lambda: len(compute.submitted) == 2)
        assert (compute.submitted[0].audio == AUDIO[:400]).all()
        assert (compute.submitted[1].audio[:300] == AUDIO[:300]).all()
        assert (compute.submitted[1].audio[300:] == -1).all()

    told(scenario)


def test_a_new_utterance_begins_anew():
    async def scenario(talk, compute):
        talk.send(audio(0, 900), audio(0, 100, utterance=2), wire.Ask(3, 2, 100, Urgency.ENDED))
        await until(lambda: compute.submitted)
        assert len(compute.submitted[0].audio) == 100

    told(scenario)


@pytest.mark.parametrize(
    ("messages", "expected", "got"),
    [
        ([audio(0, 400), audio(401, 500)], "from 400 on", "from 401 on"),
        ([audio(100, 400)], "from 0 on", "from 100 on"),
        ([audio(0, 400), audio(400, 500, utterance=2)], "from 0 on", "from 400 on"),
        ([audio(0, 400), wire.Ask(1, 1, 401, Urgency.ENDED)], "401 samples of utterance 1", "400 samples of"),
        ([audio(0, 400), wire.Ask(1, 2, 400, Urgency.ENDED)], "400 samples of utterance 2", "400 samples of"),
        ([wire.Audio(1, 0, b"abc")], "whole samples", "3 bytes"),
        ([b"\xc1 no message"], "a message of this version", "cannot be read"),
    ],
)  # fmt: skip
def test_a_gap_is_refused_and_never_transcribed(messages, expected, got):
    async def scenario(talk, compute):
        talk.send(*messages)
        gap = await talk.after(wire.Alive)
        assert isinstance(gap, wire.Gap)
        assert expected in gap.expected
        assert got in gap.got
        assert await talk.next() is None
        assert compute.submitted == []

    told(scenario)


def test_answers_are_told_as_they_are():
    hypothesis = Hypothesis((Token(" word", -0.5, 10, 20),), language="en", draft=(7,))

    async def scenario(talk, compute):
        talk.send(audio(0, 400), *(wire.Ask(number, 1, 400, Urgency.ENDED) for number in range(4)))
        await until(lambda: len(compute.submitted) == 4)
        deadly = ModelError("lost")
        deadly.deadly = True
        compute.deliver(Transcribed(0, hypothesis))
        compute.deliver(WorkFailed(1, ModelError("broke")))
        compute.deliver(WorkFailed(2, OperatorError("no file")))
        compute.deliver(WorkFailed(3, deadly))
        assert await talk.after(wire.Alive) == wire.Heard(0, hypothesis)
        assert await talk.after(wire.Alive) == wire.Failed(1, "broke")
        assert await talk.after(wire.Alive) == wire.Failed(2, "no file", operator=True)
        assert await talk.after(wire.Alive) == wire.Failed(3, "lost", deadly=True)

    told(scenario)


def test_it_says_that_it_lives_while_it_owes_something_and_only_then(monkeypatch):
    monkeypatch.setattr(wire, "ALIVE_EVERY_S", 0.02)

    async def scenario(talk, compute):
        talk.send(audio(0, 400))
        silent = asyncio.create_task(talk.next())
        await asyncio.sleep(0.2)
        assert not silent.done()
        talk.send(wire.Ask(1, 1, 100, Urgency.GROWING, final=False), wire.Ask(2, 1, 400, Urgency.ENDED, replaces=1))
        assert isinstance(await silent, wire.Alive)
        assert isinstance(await talk.next(), wire.Alive)
        compute.deliver(Transcribed(2, Hypothesis(())))  # and with it what it replaced
        assert isinstance(await talk.after(wire.Alive), wire.Heard)
        silent = asyncio.create_task(talk.next())
        await asyncio.sleep(0.2)
        assert not silent.done()
        talk.end()
        assert await silent is None

    told(scenario)


def test_urgency_is_passed_on():
    async def scenario(talk, compute):
        talk.send(wire.Urged(5, Urgency.ENDED))
        await until(lambda: compute.urged)
        assert compute.urged == [Urge(5, Urgency.ENDED)]

    told(scenario)


@pytest.mark.parametrize("by_the_gateway", [True, False])
def test_what_nobody_waits_for_any_more_is_withdrawn(by_the_gateway):
    async def scenario(talk, compute):
        talk.send(audio(0, 400), wire.Ask(1, 1, 400, Urgency.ENDED))
        await until(lambda: compute.submitted)
        if by_the_gateway:
            talk.end()
            assert await talk.after(wire.Alive) is None
            assert compute.withdrawn == 1

    assert told(scenario).withdrawn == 1
