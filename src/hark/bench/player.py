"""Plays many sessions at once in real time, on one event loop, and writes down what each heard.

Rule: a frame leaves at its time or as soon after as the loop gets to it, and how long after is written down, by a clock
of its own: uvloop's stands still while it works; nothing waits for the server. All sessions are open before the first
frame leaves.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from websockets.exceptions import InvalidHandshake

from hark.bench.clips import Clip
from hark.bench.heard import Trouble
from hark.bench.measures import Packing, Played, answers, late_turns
from hark.bench.protocols import Dialect, Message, Sending
from hark.bench.schedule import PAUSE, Length, Plan, Script, script
from hark.core.work import SAMPLE_RATE, Audio

OPENING = 32  # handshakes at once
HEAD_START_S = 0.5  # between the last handshake and the first frame
LOOK_EVERY_S = 1.0
# Faint noise, as in a quiet room: silence to the bit is rare, and may be cheaper for a server.
NOISE = 1e-4
SPARE_S = 0.2  # of sound behind the silence that ends a turn


class Target(Struct, frozen=True):
    """The server, and how its sessions are to be set."""

    url: str
    dialect: type[Dialect]
    sending: Sending
    api_key: str | None = None
    tls: ssl.SSLContext | None = None


class Stock:
    """Clips as frames on the wire, made once: whole frames, with room behind the end of speech for the turn to end
    in."""

    def __init__(self, clips: Sequence[Clip], target: Target) -> None:
        self.transcripts = [clip.transcript for clip in clips]
        sending = target.sending
        sounds = [padded(clip, sending) for clip in clips]
        self.lengths = [
            Length(len(audio) // sending.frame_samples, clip.speech_end)
            for audio, clip in zip(sounds, clips, strict=True)
        ]
        pause = target.dialect.encode(_noise(sending.frame_samples), None, sending)
        self._frames = {PAUSE: _on_wire(pause, target)}
        for number, (audio, clip) in enumerate(zip(sounds, clips, strict=True)):
            stretch = (clip.voiced[0][0], clip.speech_end)
            self._frames[number] = _on_wire(target.dialect.encode(audio, stretch, sending), target)

    def frames(self, played: Script) -> list[bytes | None]:
        return [self._frames[clip][number] for clip, number in played.frames]


def padded(clip: Clip, sending: Sending) -> Audio:
    """The sound of a clip as it is played."""
    least = clip.speech_end + round((sending.silence_ms / 1000 + SPARE_S) * SAMPLE_RATE)
    wanted = -(-max(least, len(clip.audio)) // sending.frame_samples) * sending.frame_samples
    return np.concatenate((clip.audio, _noise(wanted - len(clip.audio))))


def _noise(samples: int) -> Audio:
    return (NOISE * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)


def _on_wire(messages: Sequence[Message | None], target: Target) -> list[bytes | None]:
    return [None if message is None else target.dialect.on_wire(message) for message in messages]


class _Session:
    """One talker."""

    def __init__(self, target: Target, played: Played, frames: list[bytes | None]) -> None:
        self.played = played
        self._dialect = target.dialect(target.sending)
        self._loop = asyncio.get_running_loop()
        self._line = self._dialect.line(target.dialect.url(target.url), target.api_key, target.tls, self._hear)
        self._ready = asyncio.Event()
        self._frames = frames
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None
        sizes = [len(frame) for frame in frames if frame]
        self._bytes_per_s = sum(sizes) / max(1, len(sizes)) * SAMPLE_RATE / target.sending.frame_samples

    async def open(self) -> bool:
        """Whether there is a session now; if not, the reason is among what was heard."""
        try:
            await self._line.open(self._dialect.greeting())
            if not self._dialect.ready:
                async with asyncio.timeout(30):
                    await self._ready.wait()
        except (OSError, TimeoutError, InvalidHandshake) as error:
            self._say(str(error) or "no answer")
        return not self._over

    @property
    def _over(self) -> bool:
        return any(isinstance(news, Trouble) and not news.item for news in self.played.heard)

    @property
    def spoken(self) -> bool:
        """Whether all has been said, or never will be."""
        return self._over or self._next == len(self._frames)

    @property
    def done(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self._over or (self.spoken and all(answer.texts for answer in answers(self.played)))

    def start(self, zero: float) -> None:
        self.played.zero = zero + self.played.script.offset
        self._schedule()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._line.close()

    def notice_close(self) -> None:
        """A connection that the server ended while audio was to be sent is told once."""
        if self._line.closed is not None and not self.spoken:
            self._say(self._line.closed)

    def _say(self, message: str) -> None:
        self.played.heard.append(Trouble(time.monotonic(), "", message))
        self._ready.set()

    def _hear(self, message: Message, at: float) -> None:
        self.played.heard.extend(self._dialect.hear(message, at))
        if self._dialect.ready or self._over:
            self._ready.set()

    def _schedule(self) -> None:
        due = self.played.zero + self.played.script.arrivals[self._next]
        self._timer = self._loop.call_later(max(0.0, due - time.monotonic()), self._send, due)

    def _send(self, due: float) -> None:
        played, now = self.played, time.monotonic()
        played.sent.append(now)
        played.lateness.append(now - due)
        frame = self._frames[self._next]
        if frame is not None:
            self._line.write(frame)
            played.backlog_s = max(played.backlog_s, self._line.backlog / self._bytes_per_s)
        self._next += 1
        if self._next < len(self._frames):
            self._schedule()
        else:
            for message in self._dialect.farewell():
                self._line.write(self._dialect.on_wire(message))


async def play(
    target: Target,
    stock: Stock,
    plan: Plan,
    sessions: int,
    *,
    limit_s: float | None = None,
    patience_s: float = 5.0,
    on_second: Callable[[], None] = lambda: None,
    scripts: Sequence[Script] | None = None,
) -> list[Played]:
    """Play `sessions` at once and return what each heard. With a limit, a run that can no longer keep it is broken off.
    `scripts` are played instead of those that the plan gives. Answers that have not come `patience_s` after the last
    audio are not waited for."""
    said = scripts or [script(plan, stock.lengths, number) for number in range(sessions)]
    delay = target.dialect.codec_delay
    packing = None if delay is None else Packing(target.sending.frame_samples, delay)
    talkers = [_Session(target, Played(one, packing=packing), stock.frames(one)) for one in said]
    try:
        gate = asyncio.Semaphore(OPENING)

        async def opened(talker: _Session) -> bool:
            async with gate:
                return await talker.open()

        there = await asyncio.gather(*map(opened, talkers))
        zero = time.monotonic() + HEAD_START_S
        for talker, open_ in zip(talkers, there, strict=True):
            if open_:
                talker.start(zero)
        if any(there):
            await _wait(talkers, zero + plan.seconds, limit_s, patience_s, on_second)
    finally:
        await asyncio.gather(*(talker.stop() for talker in talkers))
    return [talker.played for talker in talkers]


async def _wait(
    talkers: Sequence[_Session], end: float, limit_s: float | None, patience_s: float, on_second: Callable[[], None]
) -> None:
    while time.monotonic() < end + patience_s:
        for talker in talkers:
            talker.notice_close()
        await asyncio.to_thread(on_second)
        if limit_s is not None and await _hopeless(talkers, limit_s):
            return
        if all(talker.done for talker in talkers):
            return
        await asyncio.sleep(min(LOOK_EVERY_S, max(0.05, end - time.monotonic())))


async def _hopeless(talkers: Sequence[_Session], limit_s: float, share: float = 0.95) -> bool:
    """Whether so many turns are late by now that the rest cannot mend it. Frames leave while it counts."""
    late = 0
    for talker in talkers:
        late += late_turns(talker.played, time.monotonic(), limit_s)
        await asyncio.sleep(0)
    return late > (1 - share) * sum(len(talker.played.script.turns) for talker in talkers)
