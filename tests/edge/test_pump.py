"""The loop of a session, with a real Session and models that answer when the test says so."""

import asyncio
import json

import pytest
import uvloop

from hark.core.messages import ClearAudio, SessionEnded, SessionView
from hark.core.settings import ModelCard, SessionSettings
from hark.core.work import ScoreVoice, Transcribed, VoiceScored
from hark.edge.frames import Speaker, commands
from hark.edge.pump import MAX_QUEUED, MAX_QUEUED_S, Pump
from hark.models.base import Utterance
from hark.models.scripted import ScriptedEngine, ScriptedScorer
from hark.session.backlog import MAX_BACKLOG_S
from hark.session.session import Session
from serving import COMPLETED, base64, speech

CARD = ModelCard("scripted", "scripted")
MANUAL = SessionSettings(turn_detection=None)
PATIENCE_S = 20


class Models:
    """Compute on the caller's own loop. While `held` is set, work waits."""

    def __init__(self):
        self.held = False
        self.waiting = []
        self.submitted = 0

    def submit(self, work, deliver):
        self.submitted += 1
        replaced = getattr(work, "replaces", None)
        self.waiting = [entry for entry in self.waiting if entry[0].id != replaced or entry[1] is not deliver]
        self.waiting.append((work, deliver))
        if not self.held:
            self.release()

    def urge(self, urge, deliver):
        pass

    def withdraw(self, deliver):
        self.waiting = [entry for entry in self.waiting if entry[1] is not deliver]

    def release(self):
        self.held = False
        for work, deliver in self.waiting:
            asyncio.get_running_loop().call_soon(deliver, self._run(work))
        self.waiting = []

    @staticmethod
    def _run(work):
        if isinstance(work, ScoreVoice):
            ((probabilities, state),) = ScriptedScorer().score([(work.audio, work.state)])
            return VoiceScored(work.id, probabilities, state)
        (hypothesis,) = ScriptedEngine().transcribe([Utterance(work.audio)])
        return Transcribed(work.id, hypothesis)


class Client:
    """Frames as they are asked for, and what was sent back. After the last frame it stays until `vanishes`."""

    def __init__(self, frames, *, vanishes=lambda: False):
        self._frames = frames
        self._vanishes = vanishes
        self.read = 0
        self.left = False
        self.seen = []

    async def frames(self):
        try:
            for frame in self._frames:
                self.read += 1
                yield frame
            while not self._vanishes():
                await asyncio.sleep(0)
        finally:
            self.left = True

    async def send(self, frame):
        self.seen.append(json.loads(frame))

    def kinds(self):
        return [event["type"] for event in self.seen]

    def transcripts(self):
        return [event["transcript"] for event in self.seen if event["type"] == COMPLETED]


def pump(client, models, settings=MANUAL, dialect="ga", lifetime_s=3_600.0):
    """The loop of a session between this client and these models."""
    numbers = iter(range(10**9))

    def new_id(prefix):
        return f"{prefix}_{next(numbers)}"

    view = SessionView("sess_1", 0, settings)
    now = asyncio.get_running_loop().time()
    session = Session(view, find_model=lambda name: CARD, new_id=new_id, now=now, lifetime_s=lifetime_s)
    speaker = Speaker(dialect, send=client.send, new_id=new_id)
    return Pump(session, models, tell=speaker.tell)


def pumping(client, models, settings=MANUAL, **options):
    """The same as a coroutine."""
    return pump(client, models, settings, **options).run(commands(client.frames()))


def run(client, models=None, **options):
    async def scenario():
        async with asyncio.timeout(PATIENCE_S):
            return await pumping(client, models or Models(), **options)

    return asyncio.run(scenario())


def frame(kind, **fields):
    return json.dumps({"type": kind, **fields})


def append(audio):
    return frame("input_audio_buffer.append", audio=base64(audio))


COMMIT, CLOSE = frame("input_audio_buffer.commit"), frame("session.close")


def test_what_is_asked_is_answered_in_its_order():
    said = [append(speech("alpha")), frame("response.create"), COMMIT, frame("nope"), frame("input_audio_buffer.clear")]
    client = Client([*said, append(speech("bravo")), COMMIT, CLOSE])
    assert run(client) == SessionEnded(1000, "")
    order = [kind for kind in client.kinds() if not kind.startswith("conversation.")]
    assert order == [
        "session.created", "response.created", "response.done", "input_audio_buffer.committed", "error",
        "input_audio_buffer.cleared", "input_audio_buffer.committed",
    ]  # fmt: skip
    assert client.transcripts() == ["alpha", "bravo"]
    assert client.left


@pytest.mark.parametrize("size", [960, 1_001, 48_000])
@pytest.mark.parametrize("settings", [MANUAL, SessionSettings()])
def test_the_size_of_the_chunks_changes_nothing(settings, size):
    def told(size):
        audio = speech("alpha", "juliett") + speech("bravo")
        client = Client([*(append(audio[at : at + size]) for at in range(0, len(audio), size)), COMMIT, CLOSE])
        run(client, settings=settings)
        return [
            (
                event["type"],
                {name: event[name] for name in event.keys() & {"audio_start_ms", "audio_end_ms", "transcript"}},
            )
            for event in client.seen
            if not event["type"].endswith(".delta")
        ]

    assert told(size) == told(10**9)


def test_a_dialect_may_change_on_the_way():
    client = Client([frame("transcription_session.update", session={}), append(speech("alpha")), COMMIT, CLOSE])
    run(client)
    assert client.kinds()[:2] == ["session.created", "transcription_session.updated"]
    assert "conversation.item.created" in client.kinds()
    assert "conversation.item.added" not in client.kinds()


def test_a_session_ends_when_its_time_is_over():
    client = Client([append(speech("alpha"))])
    ended = run(client, lifetime_s=0.05)
    assert (ended.code, ended.reason) == (1001, "session_expired")
    assert client.seen[-1]["error"]["code"] == "session_expired"
    assert client.left


def test_a_deadline_that_has_passed_already_rings_too():
    """uvloop gives another handle for it."""

    async def scenario():
        async with asyncio.timeout(PATIENCE_S):
            late = pump(client, Models(), lifetime_s=-1.0)
            late.put([ClearAudio()])
            return await late.serve()

    client = Client([])
    assert uvloop.run(scenario()).reason == "session_expired"


def test_nothing_goes_on_when_the_client_is_gone():
    models = Models()
    models.held = True
    client = Client([append(speech("alpha", "bravo")), COMMIT], vanishes=lambda: models.waiting)
    assert run(client, models) is None
    assert (models.submitted, models.waiting, client.left) == (1, [], True)
    assert client.kinds() == ["session.created"]


def test_a_client_that_is_gone_while_it_is_sent_something():
    class Gone(Client):
        async def send(self, frame):
            raise ConnectionResetError

    models, client = Models(), Gone([append(speech("alpha"))])
    with pytest.raises(ConnectionResetError):
        run(client, models)
    assert models.waiting == []


def test_a_result_for_a_session_that_is_over_is_dropped():
    models = Models()
    models.held = True
    client = Client([append(speech("alpha"))], vanishes=lambda: models.waiting)

    async def scenario():
        going = asyncio.create_task(pumping(client, models))
        while not models.waiting:
            await asyncio.sleep(0)
        late = models.waiting[:]
        await going
        models.waiting = late
        models.release()
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert client.kinds() == ["session.created"]


# ---- a client that is faster than the models

SAID = ("alpha", "bravo", "charlie")  # 0.6 s, and 0.45 s of silence around them
TURNS = 300


def overrun(settings):
    """A client says 300 turns at once while no model answers; the frames that it got rid of, and, after the models have
    caught up, what was understood."""
    turn = [append(speech(*SAID))] + ([] if settings.turn_detection else [COMMIT])
    client, models = Client([*(turn * TURNS), CLOSE]), Models()

    async def scenario():
        models.held = True
        going = asyncio.create_task(pumping(client, models, settings))
        await quiet(client)
        read = client.read
        models.release()
        async with asyncio.timeout(PATIENCE_S):
            await going
        return read

    return asyncio.run(scenario()), client.transcripts()


async def quiet(client):
    """Until nothing was read from the client for a while of the loop's own turns."""
    before = -1
    while before != client.read:
        before = client.read
        for _ in range(1_000):
            await asyncio.sleep(0)


@pytest.mark.parametrize("settings", [SessionSettings(), MANUAL])
def test_a_fast_client_loses_nothing(settings):
    assert overrun(settings)[1] == [" ".join(SAID)] * TURNS


@pytest.mark.parametrize("settings", [SessionSettings(), MANUAL])
def test_a_fast_client_is_made_to_wait(settings):
    most = 2 * MAX_BACKLOG_S + MAX_QUEUED  # each turn is more than a second, and two frames at most
    assert overrun(settings)[0] <= most < TURNS


def test_what_is_read_ahead_is_bounded_in_seconds():
    size = 6 * 24_000 * 2
    client = Client([append(speech("alpha")), *[append(bytes(size))] * 30])

    async def scenario():
        blocked = asyncio.Event()

        async def never(frame):
            await blocked.wait()

        client.send = never  # the client reads nothing, so the pump stands still at its first event
        going = asyncio.create_task(pumping(client, Models()))
        for _ in range(500):
            await asyncio.sleep(0)
        read = client.read
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        return read

    assert (asyncio.run(scenario()) - 3) * 6 < MAX_QUEUED_S


def test_no_timer_outlives_the_session():
    class Slow(Client):
        """Takes its time over each event, so that timers come due meanwhile."""

        async def send(self, frame):
            await super().send(frame)
            await asyncio.sleep(0.002)

    async def scenario():
        client = Slow([append(speech("alpha")), COMMIT] * 3 + [CLOSE])
        await pumping(client, Models(), lifetime_s=0.004)
        return [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]

    assert asyncio.run(scenario()) == []


def test_an_update_that_is_refused_does_not_change_the_dialect():
    bad = {"type": "transcription", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 4_000}}}}
    client = Client([frame("session.update", session=bad), append(speech("alpha")), COMMIT, CLOSE])
    run(client, dialect="beta")
    (error,) = (event["error"] for event in client.seen if event["type"] == "error")
    assert error["param"] == "session.audio.input.format.rate", "as the update was written"
    assert "conversation.item.created" in client.kinds()


class Clockwork:
    """A session of deadlines alone: each command and each ring may move the next one."""

    id, behind = "sess_1", False

    def __init__(self, now, first, moves):
        self.rings = []
        self._now, self._moves = now, iter(moves)
        self._due = now + first
        self._out = []

    def receive(self, command, now):
        self._due = self._now + next(self._moves)

    def handle_timer(self, now):
        assert self._due is not None
        if now < self._due:
            return
        self.rings.append(self._due - self._now)
        moved = next(self._moves, None)
        self._due = None if moved is None else self._now + moved
        if moved is None:
            self._out = [SessionEnded(1000, "")]

    def next_timer(self):
        return self._due

    def outputs(self):
        out, self._out = self._out, []
        return out

    def take_notice(self):
        return None


@pytest.mark.parametrize(
    ("first", "commands_sent", "moves"),
    [
        (0.01, 0, []),
        (0.02, 1, [0.06]),  # put off
        (0.06, 1, [0.02]),  # brought forward
        (30.0, 2, [0.05, 0.01]),
        (0.01, 0, [0.02, 0.02, 0.05]),  # a ring that sets the next one
    ],
)
def test_a_deadline_is_obeyed_wherever_it_has_moved(first, commands_sent, moves):
    async def scenario():
        session = Clockwork(asyncio.get_running_loop().time(), first, moves)

        async def silent(event):
            pass

        async with asyncio.timeout(PATIENCE_S):
            client = Client([COMMIT] * commands_sent)
            await Pump(session, Models(), tell=silent).run(commands(client.frames()))
        return session.rings

    expected = [first, *moves][commands_sent:]
    assert asyncio.run(scenario()) == pytest.approx(expected)
