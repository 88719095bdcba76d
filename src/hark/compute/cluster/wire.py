"""What travels on a stream between a gateway and a worker, over gRPC: one stream for what a session asks of one engine.

The gateway sends audio and requests, the worker hypotheses and signs of life. Each message is one of these, in
MessagePack, by the names of its fields: a side ignores what it does not know and takes the default for what is missing,
so gateways and workers of neighbouring versions talk to each other. What they could not do so is another METHOD.

Rule: audio is numbered. A worker holds one utterance at a time, and `Audio` says from which sample of which one it goes
on; a request names the utterance and how much of it is meant. A gap is refused and never transcribed. The gateway keeps
it all until it has its answer, so a worker can be lost at any moment, and another one is told the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from hark.core.work import SAMPLE_RATE, Hypothesis, Ran, Strain, Urgency

SERVICE: Final = "hark.v1.Transcriber"
METHOD: Final = "Session"
# What of a request tells Serve which application is meant.
APPLICATION: Final = "application"
# … and what shows that whoever asks may.
AUTHORIZATION: Final = "authorization"
# A worker that owes an answer says so often that it lives; one that has not for STALL_S does not (feed.py).
ALIVE_EVERY_S: Final = 0.5
# The most audio in one message.
CHUNK_SAMPLES: Final = SAMPLE_RATE // 2


class Audio(Struct, tag=True):
    """Samples of an utterance from number `first` on, as float32 in the byte order of x86 and ARM; what was known of it
    from there on is void. A new number of an utterance begins one, and the last is forgotten."""

    utterance: int
    first: int
    samples: bytes


class Ask(Struct, tag=True, omit_defaults=True):
    """A Transcribe about the first `samples` samples of an utterance."""

    id: int
    utterance: int
    samples: int
    urgency: Urgency
    language: str | None = None
    languages: tuple[str, ...] = ()
    prompt: str | None = None
    keywords: tuple[str, ...] = ()
    final: bool = True
    draft: tuple[int, ...] = ()
    replaces: int | None = None


# The fields that an Ask and a Transcribe have in common.
HINTS: Final = ("urgency", "language", "languages", "prompt", "keywords", "final", "draft", "replaces")


class Urged(Struct, tag=True):
    """An Urge."""

    id: int
    urgency: Urgency


class Hello(Struct, tag=True, omit_defaults=True):
    """The worker is there; it is the first that it says. `worker`: its name, for logs; `engine`: what it runs;
    `strain`: how hard it works."""

    worker: str
    engine: str
    version: str = ""
    strain: Strain | None = None


class Alive(Struct, tag=True, omit_defaults=True):
    """The worker has not forgotten what it owes."""

    strain: Strain | None = None


class Heard(Struct, tag=True, omit_defaults=True):
    """A Transcribed."""

    id: int
    hypothesis: Hypothesis
    ran: Ran | None = None


class Failed(Struct, tag=True, omit_defaults=True):
    """A WorkFailed. `operator`: who runs the workers can mend it; `deadly`, `lasting`: as in ModelError."""

    id: int
    message: str
    operator: bool = False
    deadly: bool = False
    lasting: bool = False


class Gap(Struct, tag=True):
    """A message was about audio that is not there; the stream ends, and has to begin anew."""

    expected: str
    got: str


ToWorker: TypeAlias = Audio | Ask | Urged
ToGateway: TypeAlias = Hello | Alive | Heard | Failed | Gap

_encoder = msgspec.msgpack.Encoder()
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
_to_gateway: msgspec.msgpack.Decoder[ToGateway] = msgspec.msgpack.Decoder(ToGateway)


def encoded(message: ToWorker | ToGateway) -> bytes:
    return _encoder.encode(message)


def asked(message: bytes) -> ToWorker:
    """Raises msgspec.ValidationError or DecodeError for what no gateway sends."""
    return _to_worker.decode(message)


def answered(message: bytes) -> ToGateway:
    """Raises msgspec.ValidationError or DecodeError for what no worker sends."""
    return _to_gateway.decode(message)


def shown(token: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata of a stream by which a worker knows who may use it."""
    return () if token is None else ((AUTHORIZATION, f"Bearer {token}"),)


def admits(token: str | None, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
    """Whether a worker with this token lets in who shows this."""
    if token is None:
        return True
    expected = shown(token)[0][1].encode()
    given = [value if isinstance(value, bytes) else value.encode() for name, value in metadata if name == AUTHORIZATION]
    return len(given) == 1 and compare_digest(given[0], expected)


def application(engine: str) -> str:
    """The name of the Serve application that runs an engine: what Serve takes for one, and shows in URLs."""
    return "hark-" + "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in engine)
