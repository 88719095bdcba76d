"""A WebRTC client by aiortc, as a browser would be: an offer, a data channel, audio in real time."""

import asyncio
import fractions
import json
import re

import av
import httpx
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from serving import COMPLETED, PATIENCE_S

RATE = 48_000
FRAME = RATE // 50
SDP = {"content-type": "application/sdp"}


class Voice(MediaStreamTrack):
    """What has been said, 20 ms at a time as a microphone would give it, and silence when there is no more."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self._said = np.zeros(0, np.int16)
        self._at = 0
        self._began = None

    def say(self, audio):
        """float32 at 48 kHz."""
        self._said = np.concatenate([self._said, (np.clip(audio, -1, 1) * 32767).astype(np.int16)])

    @property
    def left_s(self):
        return len(self._said) / RATE

    @property
    def position_ms(self):
        return self._at * 1000 // RATE

    async def recv(self):
        loop = asyncio.get_running_loop()
        self._began = self._began or loop.time()
        await asyncio.sleep(max(0, self._began + self._at / RATE - loop.time()))
        piece, self._said = self._said[:FRAME], self._said[FRAME:]
        frame = av.AudioFrame.from_ndarray(np.pad(piece, (0, FRAME - len(piece)))[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, fractions.Fraction(1, RATE)
        self._at += FRAME
        return frame


class Caller:
    """One call, on the loop that it was made on. Events are dicts."""

    def __init__(self, url, *, audio=True, channel=True, label="oai-events", voice=None):
        self.url = url
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.voice = voice or Voice()
        self.events = asyncio.Queue()
        self.channel = self.connection.createDataChannel(label) if channel else None
        if self.channel is not None:
            self.channel.on("message", lambda text: self.events.put_nowait(json.loads(text)))
            self.channel.on("close", lambda: self.events.put_nowait(None))
        if audio:
            self.connection.addTrack(self.voice)
        self.location = None

    async def offer(self):
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def call(self, path="/v1/realtime/calls", *, body=None, relay=None, **options):
        """POST the offer, as raw SDP unless `body` makes something else of it, and take the answer."""
        sdp = await self.offer()
        if relay is not None:  # or the server would find a way around it
            sdp = re.sub(r"a=(candidate:|end-of-candidates)[^\r\n]*\r\n", "", sdp)
        given = {"content": sdp, "headers": SDP} if body is None else body(sdp)
        headers = {**given.pop("headers", {}), **options.pop("headers", {})}
        async with httpx.AsyncClient(timeout=PATIENCE_S, verify=False) as client:
            answer = await client.post(f"{self.url}{path}", headers=headers, **given, **options)
        assert answer.status_code == 201, answer.text
        assert answer.headers["content-type"].startswith("application/sdp")
        self.location = answer.headers["location"]
        sdp = answer.text if relay is None else await relay.between(answer.text)
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        return answer

    def send(self, kind, **fields):
        self.channel.send(json.dumps({"type": kind, **fields}, ensure_ascii=False))

    async def receive(self):
        return await asyncio.wait_for(self.events.get(), PATIENCE_S)

    async def until(self, kind):
        """Every event up to the next one of this type."""
        events = []
        while not events or events[-1]["type"] != kind:
            event = await self.receive()
            assert event is not None, f"the channel was closed before {kind}: {[each['type'] for each in events]}"
            events.append(event)
        return events

    async def ask(self, kind, **fields):
        self.send(kind, **fields)
        return await self.receive()

    async def hear(self):
        """The next transcript."""
        return (await self.until(COMPLETED))[-1]["transcript"]

    async def close(self):
        await self.connection.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        await self.close()
