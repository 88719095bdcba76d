"""Calls by WebRTC: a real answer to an offer, and a session on its data channel.

Rule: what is loud on the audio track is heard; the session speaks on the channel that the client made.
"""

import asyncio
import itertools
import json
from contextlib import suppress

import numpy as np

from pretender import texts
from pretender.session import Closing


class Calls:
    def __init__(self):
        self._calls, self._numbers, self._tasks = {}, itertools.count(1), set()

    async def answer(self, sdp, session):
        """The id of a new call and its SDP answer. Raises a Refusal."""
        from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription  # noqa: PLC0415

        if "m=audio" not in sdp:
            raise texts.INVALID_OFFER
        if not sdp.endswith("\r\n"):
            raise texts.CUT_OFFER
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        talk = _Talk(session)
        connection.on("datachannel", talk.open)
        connection.on("track", lambda track: self._keep(talk.listen(track)))
        try:
            await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
            await connection.setLocalDescription(await connection.createAnswer())
        except Exception:
            await connection.close()
            raise texts.INVALID_OFFER from None
        call = f"rtc_{next(self._numbers)}"
        self._calls[call] = connection
        return call, connection.localDescription.sdp

    def _keep(self, work):
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def hang_up(self, call):
        """Whether there was such a call."""
        connection = self._calls.pop(call, None)
        if connection is not None:
            await connection.close()
        return connection is not None

    async def stop(self):
        await asyncio.gather(*(self.hang_up(call) for call in list(self._calls)))
        for task in self._tasks:  # the track of a call that never came about has no end of its own
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Talk:
    def __init__(self, session):
        self._session, self._channel = session, None

    def open(self, channel):
        self._channel = channel
        channel.on("message", lambda frame: self._say(self._session.hear(frame)))
        self._say(self._session.greeting())

    def _say(self, said):
        for each in said:
            if isinstance(each, Closing):
                self._channel.close()
            else:
                self._channel.send(json.dumps(each))

    async def listen(self, track):
        from aiortc.mediastreams import MediaStreamError  # noqa: PLC0415
        from av import AudioResampler  # noqa: PLC0415

        resampler = AudioResampler(format="s16", layout="mono", rate=24_000)
        with suppress(MediaStreamError):
            while True:
                for frame in resampler.resample(await track.recv()):
                    audio = frame.to_ndarray()[0].astype(np.float32) / 32768
                    if self._channel is not None and self._channel.readyState == "open":
                        self._say(self._session.listen(audio))
