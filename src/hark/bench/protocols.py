"""What a protocol of realtime transcription is to the load generator, and OpenAI's.

Rule: a protocol is an object a session. Frames are encoded once and shared by all sessions, so `encode` may depend on
the clip alone; what is sent in real time was brought into its form before (`on_wire`), and writing waits for nobody. A
message that means nothing here is skipped.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias
from urllib.parse import urlsplit

import msgspec
import pybase64
from msgspec import Struct

from hark.audio.intake import wire_bytes
from hark.bench.heard import Heard, Started, Stopped, Transcript, Trouble, Words
from hark.bench.socket import Socket, masked
from hark.client import realtime_url
from hark.client.events import (
    ErrorEvent,
    SessionUpdated,
    SpeechStarted,
    SpeechStopped,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptFailed,
    decode,
)
from hark.core.settings import TurnDetectionPatch
from hark.core.work import Audio
from hark.errors import CallerError

Message: TypeAlias = str | bytes
Hear: TypeAlias = Callable[[Message, float], None]


class Sending(Struct, frozen=True):
    """How sessions are set. `rate` of the audio on the wire, `None` for what the protocol wants."""

    model: str | None = None
    language: str | None = None
    silence_ms: int = 300
    rate: int = 24_000
    frame_samples: int = 1_600


class Line(Protocol):
    """One connection. `closed` is why it is over, `backlog` how many bytes the network has not taken."""

    closed: str | None

    @property
    def backlog(self) -> int: ...

    async def open(self, greeting: Iterable[Message]) -> None:
        """Raises OSError, TimeoutError, or websockets' InvalidHandshake."""

    def write(self, data: bytes) -> None:
        """Send what `on_wire` made."""

    async def close(self) -> None: ...


class Dialect(Protocol):
    """One session of a protocol. `codec_delay`: by how many samples a codec's packets are behind what was spoken; None
    where a message is the very samples. `packets_ms`: how long its packets can be, None for any length."""

    ready: bool  # from when on audio may be sent
    codec_delay: ClassVar[int | None]
    packets_ms: ClassVar[tuple[int, ...] | None]

    @classmethod
    def url(cls, base: str) -> str:
        """The WebSocket's, from what the user gave. Raises CallerError."""

    @classmethod
    def encode(cls, audio: Audio, stretch: tuple[int, int] | None, sending: Sending) -> Sequence[Message | None]:
        """A message for each frame of `audio`, a whole number of frames; None where nothing is to be sent. `stretch` is
        where its speech begins and ends, None for a pause."""

    @staticmethod
    def on_wire(message: Message) -> bytes:
        """A message as the line sends it."""

    def __init__(self, sending: Sending) -> None: ...

    def line(self, url: str, api_key: str | None, tls: ssl.SSLContext | None, hear: Hear) -> Line:
        """A connection that is not open yet. `hear` gets each message and the time at which it came."""

    def greeting(self) -> Iterable[Message]:
        """What is sent first."""

    def farewell(self) -> Iterable[Message]:
        """What is sent after the last audio."""

    def hear(self, message: Message, at: float) -> Iterable[Heard]:
        """What a message of the server means."""


def websocket_url(base: str) -> str:
    """For protocols that live at the address itself."""
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(urlsplit(base).scheme)
    if scheme is None or not urlsplit(base).hostname:
        raise CallerError(f"Expected the address of a server, such as ws://127.0.0.1:2700; got {base!r}.")
    return f"{scheme}://{base.split('://', 1)[1]}"


def frames_of(audio: Audio, size: int) -> list[Audio]:
    return [audio[at : at + size] for at in range(0, len(audio), size)]


class OverWebSocket:
    """What protocols over a WebSocket have in common."""

    codec_delay: ClassVar[int | None] = None
    packets_ms: ClassVar[tuple[int, ...] | None] = None

    @staticmethod
    def on_wire(message: Message) -> bytes:
        return masked(message)

    def line(self, url: str, api_key: str | None, tls: ssl.SSLContext | None, hear: Hear) -> Line:
        return Socket(url, api_key, tls, hear)


class OpenAI(OverWebSocket):
    """The Realtime API, GA dialect: a transcription session with server_vad (contract C.2, D)."""

    def __init__(self, sending: Sending) -> None:
        self.ready = False
        self._sending = sending

    @classmethod
    def url(cls, base: str) -> str:
        return realtime_url(base)

    @classmethod
    def encode(cls, audio: Audio, stretch: tuple[int, int] | None, sending: Sending) -> Sequence[Message | None]:
        wire = wire_bytes(audio, "pcm16", sending.rate)
        size = 2 * sending.frame_samples * sending.rate // 16_000
        return [append_frame(wire[at : at + size]) for at in range(0, len(wire), size)]

    def greeting(self) -> Iterable[Message]:
        session = session_of(self._sending, {"format": {"type": "audio/pcm", "rate": self._sending.rate}})
        yield msgspec.json.encode({"type": "session.update", "session": session}).decode()

    def farewell(self) -> Iterable[Message]:
        return ()

    def hear(self, message: Message, at: float) -> Iterable[Heard]:
        match decode(message):
            case SessionUpdated():
                self.ready = True
            case SpeechStarted(item_id=item):
                yield Started(at, item)
            case SpeechStopped(item_id=item, audio_end_ms=end_ms):
                yield Stopped(at, item, end_ms / 1000)
            case TranscriptDelta(item_id=item):
                yield Words(at, item)
            case TranscriptCompleted(item_id=item, transcript=text):
                yield Transcript(at, item, text)
            case TranscriptFailed(item_id=item, error=fault):
                yield Trouble(at, item, fault.message)
            case ErrorEvent(error=fault):
                yield Trouble(at, "", fault.message)
            case _:
                pass


def session_of(sending: Sending, heard: dict[str, Any]) -> dict[str, Any]:
    """A session object. `heard` is of its audio input, and gets what is asked for."""
    asked = {"model": sending.model, "language": sending.language}
    heard["turn_detection"] = TurnDetectionPatch(type="server_vad", silence_duration_ms=sending.silence_ms)
    if known := {name: value for name, value in asked.items() if value is not None}:
        heard["transcription"] = known
    return {"type": "transcription", "audio": {"input": heard}}


def append_frame(audio: bytes) -> str:
    return f'{{"type":"input_audio_buffer.append","audio":"{pybase64.b64encode_as_string(audio)}"}}'
