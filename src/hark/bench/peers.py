"""The protocols of other servers: sherpa-onnx's two, vosk-server's, WhisperLive's.

Each is written after what the server publishes of it: sherpa-onnx's pages on its websocket servers and clients, the
README of vosk-server, WhisperLive's client. All take 16 kHz; none knows keys.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from hark.audio.formats import encode as wire
from hark.bench.heard import Heard, Transcript, Trouble, Words
from hark.bench.protocols import Dialect, Message, OpenAI, OverWebSocket, Sending, frames_of, websocket_url
from hark.core.work import SAMPLE_RATE, Audio

# What is around a stretch of speech when a client cuts it out: as much as Hark itself gives to a model.
LEAD: Final = SAMPLE_RATE * 3 // 10
TAIL: Final = SAMPLE_RATE * 96 // 1000


class _Plain(OverWebSocket):
    """Audio as float32, no ceremony."""

    def __init__(self, sending: Sending) -> None:
        self.ready = True
        self._sending = sending

    @classmethod
    def url(cls, base: str) -> str:
        return websocket_url(base)

    @classmethod
    def encode(cls, audio: Audio, stretch: tuple[int, int] | None, sending: Sending) -> Sequence[Message | None]:
        return [frame.tobytes() for frame in frames_of(audio, sending.frame_samples)]

    def greeting(self) -> Iterable[Message]:
        return ()

    def farewell(self) -> Iterable[Message]:
        return ()


class Sherpa(_Plain):
    """sherpa-onnx-online-websocket-server: streaming models. A result is told again and again until `is_final`; its
    timestamps count from the start of its segment."""

    def farewell(self) -> Iterable[Message]:
        return ("Done",)

    def hear(self, message: Message, at: float) -> Iterable[Heard]:
        said = _object(message)
        item, text = f"segment {said.get('segment', 0)}", str(said.get("text", ""))
        if not text.strip():
            return
        if not said.get("is_final"):
            yield Words(at, item)
            return
        times = said.get("timestamps") or [0.0]
        yield Transcript(at, item, text, float(said.get("start_time", 0.0)) + float(times[-1]))


class SherpaOffline(_Plain):
    """sherpa-onnx-offline-websocket-server: models that hear whole utterances. It finds no turns, so the client does:
    here one that knows where speech ends, and is sure of it after the silence that other servers wait for. The audio
    goes there while it is spoken, behind its length, and an answer follows the last byte."""

    @classmethod
    def encode(cls, audio: Audio, stretch: tuple[int, int] | None, sending: Sending) -> Sequence[Message | None]:
        size = sending.frame_samples
        frames: list[Message | None] = [None] * (len(audio) // size)
        if stretch is None:
            return frames
        first, last = max(0, stretch[0] - LEAD), min(len(audio), stretch[1] + TAIL)
        sure = min(len(frames) - 1, (stretch[1] + SAMPLE_RATE * sending.silence_ms // 1000) // size)
        head = np.array([SAMPLE_RATE, 4 * (last - first)], "<i4").tobytes()
        for number in range(first // size, sure + 1):
            # The last samples wait until the client is sure: with them the server sets to work.
            until = last if number == sure else min((number + 1) * size, last - 1)
            frames[number] = head + audio[first:until].tobytes() if until > first or head else None
            first, head = max(first, until), b""
        return frames

    def farewell(self) -> Iterable[Message]:
        return ("Done",)

    def hear(self, message: Message, at: float) -> Iterable[Heard]:
        text = str(_object(message).get("text", "")) if str(message).startswith("{") else str(message)
        yield Transcript(at, "", text)


class Vosk(_Plain):
    """vosk-server: pcm16, and an answer to every message; a result has the times of its words."""

    @classmethod
    def encode(cls, audio: Audio, stretch: tuple[int, int] | None, sending: Sending) -> Sequence[Message | None]:
        return [wire(frame, "pcm16") for frame in frames_of(audio, sending.frame_samples)]

    def greeting(self) -> Iterable[Message]:
        yield '{"config" : {"sample_rate" : 16000, "words" : 1}}'

    def farewell(self) -> Iterable[Message]:
        yield '{"eof" : 1}'

    def hear(self, message: Message, at: float) -> Iterable[Heard]:
        said = _object(message)
        if said.get("partial"):
            yield Words(at, "")
        elif said.get("text"):
            words = said.get("result") or []
            yield Transcript(at, "", str(said["text"]), float(words[-1]["end"]) if words else None)


class WhisperLive(_Plain):
    """WhisperLive: float32 after SERVER_READY. Each message repeats the last segments, so what was complete is known by
    where it starts."""

    def __init__(self, sending: Sending) -> None:
        super().__init__(sending)
        self.ready = False
        self._complete: set[str] = set()

    def greeting(self) -> Iterable[Message]:
        asked = {
            "uid": str(uuid.uuid4()),
            "language": self._sending.language or "en",
            "task": "transcribe",
            "model": self._sending.model or "tiny.en",
            "use_vad": True,
        }
        yield msgspec.json.encode(asked).decode()

    def farewell(self) -> Iterable[Message]:
        yield b"END_OF_AUDIO"

    def hear(self, message: Message, at: float) -> Iterable[Heard]:
        said = _object(message)
        if said.get("message") == "SERVER_READY":
            self.ready = True
        elif said.get("status") in {"WAIT", "ERROR"} or said.get("message") == "DISCONNECT":
            yield Trouble(at, "", f"{said.get('status', 'the server ended it')}: {said.get('message')}")
        for segment in said.get("segments") or ():
            start = str(segment["start"])
            if not segment.get("completed"):
                yield Words(at, start)
            elif start not in self._complete:
                self._complete.add(start)
                yield Transcript(at, start, str(segment["text"]), float(segment["end"]))


def _object(message: Message) -> dict[str, Any]:
    try:
        return msgspec.json.decode(message, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


DIALECTS: Final[dict[str, type[Dialect]]] = {
    "openai": OpenAI,
    "sherpa": Sherpa,
    "sherpa-offline": SherpaOffline,
    "vosk": Vosk,
    "whisperlive": WhisperLive,
}
