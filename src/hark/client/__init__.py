"""A small Realtime client: what doctor, bench, transcribe and the tests speak to a server with.

Rule: it speaks the GA dialect (contract C.2, D) over a WebSocket and needs nothing that only Hark has, so that it can
measure any server of this API. Refuses: reconnecting, since the audio of the old session would be gone.

    async with connect("http://127.0.0.1:8000") as client:
        async for event in stream(client, chunks):
            ...
    client.conversation.spoken()
"""

from hark.client.connection import SERVER_VAD, NoSessionError, RealtimeClient, RefusedError, connect, realtime_url
from hark.client.conversation import Conversation, Turn
from hark.client.stream import stream
from hark.protocol.subtitles import Spoken

__all__ = [
    "SERVER_VAD",
    "Conversation",
    "NoSessionError",
    "RealtimeClient",
    "RefusedError",
    "Spoken",
    "Turn",
    "connect",
    "realtime_url",
    "stream",
]
