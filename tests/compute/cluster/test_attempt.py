"""One stream to a worker: what it is sent, and that nothing of an old stream moves anything of a new one."""

import asyncio

import numpy as np

from hark.compute.cluster import wire
from hark.compute.cluster.attempt import Attempt
from hark.core.work import Hypothesis, Transcribe

PATIENCE_S = 20
AUDIO = np.random.default_rng(1).standard_normal(40_000).astype(np.float32)


class Call:
    """A gRPC call in a test's hands: it takes messages when it is told to, and answers what it is given."""

    def __init__(self, messages):
        self._messages = messages
        self._answers = asyncio.Queue()
        self.taken = []
        self.cancelled = False
        self.ended = False

    async def take(self, most=1_000):
        """Take what there is, up to so many."""
        for _ in range(most):
            try:
                async with asyncio.timeout(0.05):
                    self.taken.append(wire.asked(await anext(self._messages)))
            except StopAsyncIteration:
                self.ended = True
                return
            except TimeoutError:
                return

    def say(self, answer):
        self._answers.put_nowait(answer)

    def cancel(self):
        self.cancelled = True

    async def __aiter__(self):
        while not isinstance(answer := await self._answers.get(), Exception):
            yield wire.encoded(answer)
        raise answer


class Channel:
    def __init__(self):
        self.streams = 0
        self.calls = []
        self.messages = 0

    def heard(self):
        self.messages += 1

    def open(self, messages, engine):
        self.calls.append(Call(messages))
        return self.calls[-1]


class Owner:
    def __init__(self):
        self.answers = []
        self.losses = []

    def heard(self, attempt, answer):
        self.answers.append((attempt, answer.id))

    def lost(self, attempt, why):
        self.losses.append((attempt, why))

    def strained(self, worker, strain):
        pass


def on_stage(scenario):
    async def run():
        async with asyncio.timeout(PATIENCE_S):
            await scenario(Channel(), Owner())

    asyncio.run(run())


def work(number, samples, **hints):
    return Transcribe(number, "ears", AUDIO[:samples], **hints)


def rebuilt(messages):
    """The audio of each request, by its number, put together as a worker does; None where there was a gap."""
    utterance, held, asked = None, np.zeros(0, np.float32), {}
    for message in messages:
        if isinstance(message, wire.Audio):
            if message.utterance != utterance:
                utterance, held = message.utterance, held[:0]
            assert message.first <= len(held), "a gap"
            held = np.concatenate((held[: message.first], np.frombuffer(message.samples, np.float32)))
        elif isinstance(message, wire.Ask):
            assert message.utterance == utterance
            assert message.samples <= len(held)
            asked[message.id] = held[: message.samples]
    return asked


def test_only_what_is_new_of_the_audio_is_sent_half_a_second_at_a_time():
    async def scenario(channel, owner):
        attempt = Attempt(channel, "ears", owner)
        attempt.ask(work(0, 5_000, final=False))
        attempt.ask(work(1, 10_000, final=False))
        attempt.ask(work(2, 30_000))
        (call,) = channel.calls
        await call.take()
        sizes = [len(m.samples) // 4 for m in call.taken if isinstance(m, wire.Audio)]
        assert sizes == [5_000, 5_000, 8_000, 8_000, 4_000]
        asked = rebuilt(call.taken)
        assert [len(asked[number]) for number in range(3)] == [5_000, 10_000, 30_000]
        assert (asked[2] == AUDIO[:30_000]).all()
        attempt.cut()

    on_stage(scenario)


def test_an_end_that_was_settled_otherwise_is_sent_anew_and_another_utterance_from_its_start():
    async def scenario(channel, owner):
        attempt = Attempt(channel, "ears", owner)
        attempt.ask(work(0, 9_000, final=False))
        settled = np.concatenate((AUDIO[:8_990], np.zeros(100, np.float32)))
        attempt.ask(Transcribe(1, "ears", settled))
        attempt.ask(Transcribe(2, "ears", AUDIO[20_000:21_000]))
        (call,) = channel.calls
        await call.take()
        parts = [(m.utterance, m.first, len(m.samples) // 4) for m in call.taken if isinstance(m, wire.Audio)]
        assert parts == [(1, 0, 8_000), (1, 8_000, 1_000), (1, 8_990, 100), (2, 0, 1_000)]
        asked = rebuilt(call.taken)
        assert (asked[1] == settled).all()
        assert (asked[2] == AUDIO[20_000:21_000]).all()
        attempt.cut()

    on_stage(scenario)


def test_an_old_stream_that_still_sends_moves_nothing_of_the_new_one():
    async def scenario(channel, owner):
        old = Attempt(channel, "ears", owner)
        old.ask(work(0, 30_000, final=False))
        await channel.calls[0].take(2)  # it took some, and then fell silent
        new = Attempt(channel, "ears", owner)
        new.ask(work(0, 30_000, final=False))
        await channel.calls[1].take(1)
        await channel.calls[0].take()  # what the old one still had to send goes now, between those of the new one
        channel.calls[0].say(wire.Heard(0, Hypothesis(())))
        new.ask(work(1, 40_000))
        old.cut()
        await channel.calls[1].take()
        asked = rebuilt(channel.calls[1].taken)
        assert (asked[0] == AUDIO[:30_000]).all()
        assert (asked[1] == AUDIO[:40_000]).all()
        new.cut()

    on_stage(scenario)


def test_a_stream_that_was_given_up_sends_no_more_when_it_is_cut():
    async def scenario(channel, owner):
        old = Attempt(channel, "ears", owner)
        old.ask(work(0, 30_000))
        old.cut()
        await channel.calls[0].take()
        assert channel.calls[0].taken == []
        assert channel.calls[0].ended
        assert channel.calls[0].cancelled
        assert channel.streams == 0
        old.cut()
        assert channel.streams == 0, "it is counted once"
        assert owner.losses == []

    on_stage(scenario)


def test_a_worker_of_another_model_is_left_and_not_heard():
    async def scenario(channel, owner):
        attempt = Attempt(channel, "ears", owner)
        attempt.ask(work(0, 100))
        channel.calls[0].say(wire.Hello("worker 1", "eyes"))
        channel.calls[0].say(wire.Heard(0, Hypothesis(())))
        while not owner.losses:
            await asyncio.sleep(0.005)
        assert owner.losses == [(attempt, "worker 1 runs the model 'eyes'")]
        assert attempt.worker == ""
        assert owner.answers == []
        assert channel.streams == 0

    on_stage(scenario)


def test_a_stream_that_breaks_is_told_of_once_with_why():
    async def scenario(channel, owner):
        attempt = Attempt(channel, "ears", owner)
        attempt.ask(work(0, 100))
        channel.calls[0].say(wire.Hello("worker 1", "ears"))
        channel.calls[0].say(ConnectionResetError("reset"))
        while not owner.losses:
            await asyncio.sleep(0.005)
        assert owner.losses == [(attempt, "ConnectionResetError: reset")]
        assert attempt.worker == "worker 1"
        assert channel.messages == 1
        assert channel.streams == 0

    on_stage(scenario)


def test_a_worker_that_missed_something_is_left_and_nothing_of_it_believed():
    async def scenario(channel, owner):
        attempt = Attempt(channel, "ears", owner)
        channel.calls[0].say(wire.Gap("whole samples from 400 on", "4 bytes from 401 on"))
        while not owner.losses:
            await asyncio.sleep(0.005)
        assert owner.losses == [(attempt, "it expected whole samples from 400 on and got 4 bytes from 401 on")]

    on_stage(scenario)


def test_a_stream_that_is_closed_ends_when_all_is_sent():
    async def scenario(channel, owner):
        attempt = Attempt(channel, "ears", owner)
        attempt.ask(work(0, 100))
        attempt.close()
        (call,) = channel.calls
        await call.take()
        assert [type(message) for message in call.taken] == [wire.Audio, wire.Ask]
        assert call.ended
        attempt.cut()
        assert owner.losses == []

    on_stage(scenario)
