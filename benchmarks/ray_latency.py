"""What Ray adds to a transcript: the same utterances by two servers, one that transcribes itself and one that asks a
worker, one after the other and never both at once.

Rule: times are compared pair by pair: the same samples in the same order, seconds apart. An answer that does not come
ends the run; texts that differ are counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from msgspec import Struct, field

from hark.bench.clips import Clip, voiced_stretches
from hark.bench.load import ms
from hark.bench.measures import items_of, percentile
from hark.bench.player import Stock, Target, play
from hark.bench.processes import Running
from hark.bench.protocols import OpenAI, Sending
from hark.bench.schedule import Plan
from hark.client import RealtimeClient, connect
from hark.client.events import TranscriptCompleted, TranscriptFailed
from hark.core.work import SAMPLE_RATE, Audio
from hark.models.base import Scorer

LENGTHS: Final = (1, 2, 3, 4, 5, 6, 7, 8)  # seconds
CHUNK: Final = SAMPLE_RATE // 10
VOICED: Final = SAMPLE_RATE // 2  # an utterance in which less is said is left out
WARM: Final = 8
PATIENCE_S: Final = 30.0
BREATH_S: Final = 0.15  # between utterances beside others, whose batches each is to find in another state
SETTLED_S: Final = 2.5  # until the others have turns that end
TALKERS: Final = 8  # where people are played in real time, one server after the other
NAMES: Final = ("embedded", "ray")
Figures = dict[str, Any]


class Waits(Struct):
    """Seconds for each utterance by each server, and what they said."""

    embedded: list[float] = field(default_factory=list)
    ray: list[float] = field(default_factory=list)
    differ: int = 0

    def figures(self) -> Figures:
        added = [ray - embedded for embedded, ray in zip(self.embedded, self.ray, strict=True)]
        rows = {"embedded": self.embedded, "ray": self.ray, "added": added}
        shares = {f"{name}_ms": {f"p{p}": ms(percentile(v, p / 100)) for p in (50, 95)} for name, v in rows.items()}
        return {"pairs": len(added), "texts_differ": self.differ, **shares}


def utterances(clips: Sequence[Clip], scorer: Scorer, count: int) -> list[Audio]:
    """Stretches of what was recorded, of 1 to 8 s in turn; all of it again, otherwise cut, if that is not enough."""
    found: list[Audio] = []
    start = 0
    for _ in range(50):
        for clip in clips:
            at = start
            while len(found) < count and len(clip.audio) - at >= (size := LENGTHS[len(found) % 8] * SAMPLE_RATE):
                piece = clip.audio[at : at + size]
                at += size
                if sum(last - first for first, last in voiced_stretches(piece, scorer)) >= VOICED:
                    found.append(piece)
        if len(found) == count:
            return found
        start += SAMPLE_RATE // 3
    raise RuntimeError(f"expected recordings with {count} utterances of up to 8 s; found {len(found)}")


async def pairs(embedded: Running, ray: Running, said: Sequence[Audio]) -> Waits:
    """One session on each, in turn."""
    waits = Waits()
    async with _client(embedded) as one, _client(ray) as other:
        for piece in said[:WARM]:
            await _ask(one, piece)
            await _ask(other, piece)
        for number, piece in enumerate(said):
            both = [(one, waits.embedded), (other, waits.ray)]
            texts = set()
            for client, into in both if number % 2 else reversed(both):
                seconds, text = await _ask(client, piece)
                into.append(seconds)
                texts.add(text)
            waits.differ += len(texts) > 1
    return waits


async def beside(embedded: Running, ray: Running, said: Sequence[Audio], stock: Stock, others: int) -> Waits:
    """The same while `others` talk to the server that is asked, the same things to both."""
    half = len(said) // 2
    heard: dict[str, list[tuple[float, str]]] = {name: [] for name in NAMES}
    for part, order in ((said[:half], NAMES), (said[half:], NAMES[::-1])):
        for name in order:
            running = embedded if name == "embedded" else ray
            async with _client(running) as client, _talking(running, stock, others):
                for piece in part:
                    heard[name].append(await _ask(client, piece))
                    await asyncio.sleep(BREATH_S)
    one, other = heard["embedded"], heard["ray"]
    differ = sum(a != b for (_, a), (_, b) in zip(one, other, strict=True))
    return Waits([seconds for seconds, _ in one], [seconds for seconds, _ in other], differ)


async def stops(embedded: Running, ray: Running, clips: list[Clip], silence_ms: int, seconds: float) -> Waits:
    """speech_stopped → completed, of TALKERS who talk in real time: with the early finish, what people wait for."""
    sending = Sending(silence_ms=silence_ms)
    heard: list[dict[tuple[int, float], float]] = []
    for running in (embedded, ray):
        target = Target(running.url, OpenAI, sending, running.api_key)
        played = await play(target, Stock(clips, target), Plan(seconds), TALKERS)
        heard.append(
            {
                (number, item.end_s): item.done - item.stopped
                for number, one in enumerate(played)
                for item in items_of(one.heard).values()
                if item.stopped is not None and item.done is not None and item.end_s is not None
            }
        )
    both = sorted(heard[0].keys() & heard[1].keys())
    alone = len(heard[0].keys() ^ heard[1].keys())
    return Waits([heard[0][turn] for turn in both], [heard[1][turn] for turn in both], alone)


def _client(running: Running) -> contextlib.AbstractAsyncContextManager[RealtimeClient]:
    return connect(running.url, api_key=running.api_key, turn_detection=None)


async def _ask(client: RealtimeClient, piece: Audio) -> tuple[float, str]:
    """Seconds from the commit to the transcript."""
    for at in range(0, len(piece), CHUNK):
        await client.append(piece[at : at + CHUNK])
    began = time.monotonic()
    await client.commit()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            event = await client.receive()
            if isinstance(event, TranscriptCompleted):
                return time.monotonic() - began, event.transcript
            if isinstance(event, TranscriptFailed):
                raise RuntimeError(f"an item failed: {event.error.message}")


@contextlib.asynccontextmanager
async def _talking(running: Running, stock: Stock, sessions: int) -> AsyncIterator[None]:
    target = Target(running.url, OpenAI, Sending(), running.api_key)
    talkers = asyncio.create_task(play(target, stock, Plan(600.0), sessions))
    try:
        await asyncio.sleep(SETTLED_S)
        yield
    finally:
        talkers.cancel()
        await asyncio.gather(talkers, return_exceptions=True)
