"""What travels between the server and a process that runs an engine, over a pair of connected sockets.

A message is its length in 8 bytes, then MessagePack; audio follows behind it as it lies in memory, so that no copy of
it is made on the way. Rule: the server speaks first (Start, then Hear, as often as it likes, one at a time), and the
process answers each with one of the others, with Alive before it for as long as it works.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct

from hark.core.work import Audio, Hypothesis
from hark.telemetry.logs import Style

ALIVE_EVERY_S: Final = 1.0
_HEAD: Final = 8


class Start(Struct, tag=True):
    """`model` is a pickled EngineModel; `folder`, `threads` and `options` are its LoadOptions; `level` and
    `log` are the log's."""

    model: bytes
    folder: str
    threads: int
    options: dict[str, str | int | float | bool]
    level: int
    log: Style


class Said(Struct, array_like=True):
    """An Utterance, and how many samples of audio follow for it."""

    samples: int
    language: str | None
    languages: tuple[str, ...]
    prompt: str | None
    keywords: tuple[str, ...]
    final: bool
    draft: tuple[int, ...]


# The fields of an Utterance behind its audio, in its order.
HINTS: Final = Said.__struct_fields__[1:]


class Hear(Struct, tag=True):
    batch: list[Said]


class Ready(Struct, tag=True):
    """The model is loaded. `closes`: it wants to be told when nobody needs it any more, by the end of the wire."""

    closes: bool = False


class Alive(Struct, tag=True):
    """The model loads or runs, and the process is not stopped."""


class Heard(Struct, tag=True):
    hypotheses: list[Hypothesis]


class Broke(Struct, tag=True):
    """`operator`: whether who runs the server can mend it; `ours`: whether the message was made for people."""

    message: str
    operator: bool = False
    ours: bool = False


Question: TypeAlias = Start | Hear
Answer: TypeAlias = Ready | Alive | Heard | Broke

_encoder = msgspec.msgpack.Encoder()
_questions: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encoded(message: Question | Answer) -> bytes:
    """As it is sent. Raises TypeError if it holds what cannot be."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_HEAD, "big") + body


def send(wire: socket.socket, message: Question | Answer, audio: Sequence[Audio] = ()) -> None:
    """Raises OSError if nobody is there."""
    wire.sendall(encoded(message))
    for samples in audio:
        wire.sendall(np.ascontiguousarray(samples, np.float32).data.cast("B"))


def question(wire: socket.socket) -> Question:
    """Raises EOFError if nobody asks any more."""
    return _questions.decode(_message(wire))


def answer(wire: socket.socket) -> Answer:
    """Raises EOFError if the process is gone, TimeoutError if it is silent for as long as the socket's timeout."""
    return _answers.decode(_message(wire))


def receive_audio(wire: socket.socket, samples: int) -> Audio:
    """The next of the audio behind a message."""
    return np.frombuffer(_exactly(wire, samples * np.dtype(np.float32).itemsize), np.float32)


def _message(wire: socket.socket) -> bytearray:
    return _exactly(wire, int.from_bytes(_exactly(wire, _HEAD), "big"))


def _exactly(wire: socket.socket, count: int) -> bytearray:
    got, view = bytearray(count), 0
    with memoryview(got) as room:
        while view < count:
            try:
                read = wire.recv_into(room[view:])
            except ConnectionError as error:
                raise EOFError from error
            if not read:
                raise EOFError
            view += read
    return got
