"""A feed of a session whose streams a test holds in its hands, with a clock that it turns."""

import numpy as np

from hark.compute.cluster import wire
from hark.compute.cluster.feed import Feed
from hark.core.work import Hypothesis, Token, Transcribe, Transcribed, WorkFailed

ROTATE_S = 60
SOUND = np.zeros(160, np.float32)


class Stream:
    """What a feed did with it. `worker`: who greeted."""

    def __init__(self, now, worker="one"):
        self.began = self.heard_at = now
        self.worker = worker
        self.asked = []
        self.urgencies = []
        self.urged = []
        self.closed = False

    def ask(self, work):
        assert not self.closed, "a stream that was left is asked nothing"
        self.asked.append(work.id)
        self.urgencies.append(work.urgency)

    def urge(self, urge):
        self.urged.append((urge.id, urge.urgency))

    def close(self):
        self.closed = True


class Stage:
    """A feed, the streams that it opened, and what was delivered and noted."""

    def __init__(self):
        self.now = 0.0
        self.streams = []
        self.let_go = []
        self.results = []
        self.noted = []
        self.greets = True
        self.feed = Feed(
            "ears",
            self.deliver,
            open_stream=self.open,
            let_go=self.let_go.append,
            rotate_s=ROTATE_S,
            note=self.noted.append,
        )

    def deliver(self, result):
        self.results.append(result)

    def open(self, feed):
        self.streams.append(Stream(self.now, "one" if self.greets else ""))
        return self.streams[-1]

    def ask(self, number, **hints):
        self.feed.submit(Transcribe(number, "ears", SOUND, **hints), self.now)

    def answer(self, number, stream=-1, text="word"):
        stream = self.streams[stream]
        stream.heard_at = self.now
        self.feed.heard(wire.Heard(number, Hypothesis((Token(text),))), stream, self.now)

    def lose(self, stream=-1):
        self.feed.lost(self.streams[stream], self.now)

    def wait(self, seconds, step_s=0.05):
        """Let time pass, a tick at a time."""
        until = self.now + seconds
        while self.now + step_s <= until + 1e-9:
            self.now += step_s
            self.feed.tick(self.now)

    @property
    def answered(self):
        return [result.id for result in self.results if isinstance(result, Transcribed)]

    @property
    def failed(self):
        return {result.id: result.error for result in self.results if isinstance(result, WorkFailed)}
