"""A whole recording through a session: audio goes in, events come out until the last turn has ended.

Rule: the end of the audio is a commit, since no length of silence promises that a server ends the turn; turn detection
may have left nothing to commit, and that is no fault (contract D.3).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import Final

import numpy as np

from hark.client.connection import NoSessionError, RealtimeClient, RefusedError
from hark.client.conversation import Conversation
from hark.client.events import AudioCommitted, Event
from hark.core.work import SAMPLE_RATE, Audio

COMMIT_EMPTY: Final = "input_audio_buffer_commit_empty"
CHUNK_SAMPLES: Final = SAMPLE_RATE // 10
# After the last audio: a server that is at work on a turn says something more often than this.
QUIET_SECONDS: Final = 120.0


async def stream(
    client: RealtimeClient, chunks: Iterable[Audio], *, pace: float | None = None
) -> AsyncGenerator[Event, None]:
    """Send audio, mono float32 at 16 kHz, and yield events until all that was said in it has been transcribed.

    `pace` 1.0 sends it as fast as it was spoken, None as fast as the server takes it. Raises RefusedError for any
    `error` event, NoSessionError where the session ends before the work is done, and whatever `chunks` raises.
    """
    sender = asyncio.create_task(_send(client, chunks, pace))
    answered = False
    try:
        while not answered or client.conversation.open:
            all_sent = sender.done()
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    event = await client.receive()
            except TimeoutError:
                if all_sent:
                    raise NoSessionError(_unfinished(client)) from None
                continue
            except RefusedError as refused:
                if refused.code != COMMIT_EMPTY:
                    raise
                answered = True  # nothing was open at the end
                continue
            except NoSessionError:
                await sender  # what broke the sending says more than the close that it caused
                raise
            answered = answered or _answers_commit(client.conversation, event)
            yield event
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)


def _answers_commit(conversation: Conversation, event: Event) -> bool:
    """Whether this is the commit that ended the audio: turn detection's own come after a speech_stopped (D.3)."""
    turn = conversation.about(event)
    return isinstance(event, AudioCommitted) and turn is not None and turn.end_ms is None


def _unfinished(client: RealtimeClient) -> str:
    left = len(client.conversation.open)
    return (
        f"{client.url} has all the audio and has said nothing for {QUIET_SECONDS:.0f} s, with {left} turns not "
        "transcribed. Look into the server's log."
    )


async def _send(client: RealtimeClient, chunks: Iterable[Audio], pace: float | None) -> None:
    clock = asyncio.get_running_loop()
    start, first = clock.time(), client.sent_samples
    try:
        for chunk in even_chunks(chunks):
            if pace is not None:  # a microphone hands over a chunk when its last sample has been spoken
                due = start + (client.sent_samples - first + chunk.size) / (SAMPLE_RATE * pace)
                await asyncio.sleep(due - clock.time())
            await client.append(chunk)
        await client.commit()
    except Exception:
        await client.close()
        raise


def even_chunks(audio: Iterable[Audio]) -> Iterator[Audio]:
    """The same samples in chunks of 100 ms; the last may be shorter."""
    rest = np.zeros(0, np.float32)
    for piece in audio:
        rest = np.concatenate([rest, piece])
        whole = rest.size - rest.size % CHUNK_SAMPLES
        for start in range(0, whole, CHUNK_SAMPLES):
            yield rest[start : start + CHUNK_SAMPLES]
        rest = rest[whole:]
    if rest.size:
        yield rest
