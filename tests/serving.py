"""A real server with deterministic models, in a thread of its own, and a client that sends and receives bare frames.

Rule: what a test sees is what a client would see. The words of `scripted` are loudness, so a test can say them.
"""

import asyncio
import json
import threading
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
import pybase64
import uvloop
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from hark.app import running
from hark.audio.formats import encode
from hark.config import Settings
from hark.models.scripted import amplitude

PATIENCE_S = 20
WORD_S = 0.2
COMPLETED = "conversation.item.input_audio_transcription.completed"
BETA = {"OpenAI-Beta": "realtime=v1"}


def speech(*words, rate=24_000, pause_s=0.4, encoding="pcm16"):
    """The words and then silence, as wire bytes. The edges are soft, for a resampler rings at hard ones, and the last
    word is a little short, for what sticks out of 200 ms is another word."""
    levels = np.repeat([amplitude(word) for word in words], round(WORD_S * rate))
    levels[len(levels) - rate // 50 :] = 0
    padded = np.concatenate([np.zeros(rate // 20), levels, np.zeros(round(pause_s * rate))])
    fade = np.hanning(rate // 200 + 2)
    return encode(np.convolve(padded, fade / fade.sum(), "same").astype(np.float32), encoding)


def base64(audio):
    return pybase64.b64encode_as_string(audio)


def settings(**options):
    """Settings for the scripted models, in which no `.env` file has a say."""
    return Settings(
        _env_file=None,
        **{"port": 0, "model": "scripted", "voice_model": "scripted-vad", "turn_model": "scripted-turns"} | options,
    )


class Wire:
    """One WebSocket. Events are dicts; nothing is checked or mended on the way."""

    def __init__(self, socket):
        self.socket = socket

    def send(self, kind, **fields):
        self.socket.send(json.dumps({"type": kind, **fields}))

    def append(self, audio):
        self.send("input_audio_buffer.append", audio=base64(audio))

    def receive(self):
        return json.loads(self.socket.recv(PATIENCE_S))

    def until(self, kind):
        """Every event up to the next one of this type."""
        events = [self.receive()]
        while events[-1]["type"] != kind:
            events.append(self.receive())
        return events

    def ask(self, kind, **fields):
        """Send an event; the next one that comes."""
        self.send(kind, **fields)
        return self.receive()

    def hear(self, *words, **options):
        """Say the words; what was understood."""
        self.append(speech(*words, **options))
        return self.until(COMPLETED)[-1]["transcript"]

    def ending(self):
        """The events that are left, the close code and its reason."""
        events = []
        try:
            while True:
                events.append(self.receive())
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "the connection was cut off"
            return events, closed.rcvd.code, closed.rcvd.reason


class Server:
    """`hark.app.running` in a thread, on the event loop that `hark serve` has; `url` is its base URL."""

    def __init__(self, **options):
        ready = Future()
        self._thread = threading.Thread(target=lambda: uvloop.run(_serve(ready, options)))
        self._thread.start()
        self.url, self._stop = ready.result(PATIENCE_S)

    def stop(self):
        """Once it is stopped, this does nothing."""
        if self._thread.is_alive():
            self._stop()
            self._thread.join()

    @contextmanager
    def socket(self, target="/v1/realtime?intent=transcription", **options):
        """A Wire to this path and query."""
        options = {"compression": None, "max_size": None, "max_queue": None, "ping_interval": None} | options
        with connect(f"ws{self.url.removeprefix('http')}{target}", **options) as socket:
            yield Wire(socket)

    @contextmanager
    def session(self, dialect="ga", target="/v1/realtime?intent=transcription"):
        """A Wire after the server's greeting, which is `created`."""
        with self.socket(target, additional_headers=BETA if dialect == "beta" else {}) as wire:
            wire.created = wire.receive()
            yield wire


async def _serve(ready, options):
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    try:
        async with running(settings(**options)) as url:
            ready.set_result((url, lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()
    except Exception as error:
        if ready.done():
            raise
        ready.set_exception(error)
