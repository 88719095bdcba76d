"""One WebSocket, knocked at: what was sent in the handshake, and the greeting or the refusal that came.

Rule: a session has begun when its `created` event is there; a 101 alone says nothing (contract B.3). A refusal is
looked at whole: the event, then the close that follows it.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from hark.doctor.http import fault, refusal
from hark.doctor.patient import Patient
from hark.doctor.rules import Answer, Asked, recognise
from hark.doctor.shapes import from_json, mapping
from hark.doctor.target import BETA_SUBPROTOCOL, KEY_SUBPROTOCOL, bearer, beta, kind_of, shown
from hark.protocol.wire import DialectName

OPEN_S: Final = 15.0
GREETING_S: Final = 10.0
# How long the close that follows an error may take.
CLOSE_S: Final = 1.0
# A limit that the session just closed may still count for is knocked at again, so often and after so long.
AGAIN: Final = 4
AGAIN_S: Final = 0.5
# No event is so large; a server that is none of this API may send without end.
MAX_MESSAGE: Final = 16 * 1024 * 1024
CREATED: Final = ("session.created", "transcription_session.created")


class Knock(Struct, frozen=True):
    """A handshake. `offered`: subprotocols; `headers`: beyond those of every WebSocket; `did`: the same for people."""

    url: str
    did: str
    headers: dict[str, str] = {}
    offered: list[str] = []
    credential: str | None = None
    dialect: DialectName = "ga"

    @property
    def asked(self) -> Asked:
        parts = urlsplit(self.url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return Asked("handshake", parts.path, query, kind_of(self.credential), self.dialect)


class RefusedError(Exception):
    """No session. `answer` is what came; None where nothing did."""

    def __init__(self, answer: Answer | None) -> None:
        super().__init__(answer.said if answer else "nothing came")
        self.answer = answer


def by_header(patient: Patient, url: str, credential: str | None, dialect: DialectName) -> Knock:
    """As programs do it."""
    did = f"connected to {url} with Authorization: Bearer {shown(credential)}" if credential else f"connected to {url}"
    if dialect == "beta":
        did += " and OpenAI-Beta: realtime=v1"
    return Knock(url, did, bearer(credential) | beta(dialect), [], credential, dialect)


def by_subprotocol(patient: Patient, url: str, credential: str, dialect: DialectName) -> Knock:
    """As browsers do it, which can set no headers."""
    offered = ["realtime", KEY_SUBPROTOCOL + credential, *([BETA_SUBPROTOCOL] if dialect == "beta" else [])]
    did = f"connected to {url} with the subprotocols realtime, {KEY_SUBPROTOCOL}{shown(credential).partition(' ')[2]}"
    return Knock(url, did, {}, offered, credential, dialect)


class Session:
    """A session that has begun. Events are dicts."""

    def __init__(self, socket: ClientConnection, created: dict[str, Any], ms: float) -> None:
        self.created = created
        self.ms = ms
        self.subprotocol = socket.subprotocol
        self.settings = mapping(created.get("session"))
        self._socket = socket

    async def close(self) -> None:
        await self._socket.close()

    async def send(self, kind: str, **fields: object) -> None:
        with suppress(ConnectionClosed):  # what ended it is told by the next receive
            await self._socket.send(msgspec.json.encode({"type": kind, **fields}), text=True)

    async def receive(self, within_s: float) -> dict[str, Any]:
        """The next event. Raises RefusedError, for an `error` too, and TimeoutError."""
        async with asyncio.timeout(within_s):
            event = await _receive(self._socket)
        if event.get("type") == "error":
            raise RefusedError(fault(event.get("error")))
        self.settings = mapping(event.get("session")) or self.settings
        return event

    @property
    def transcribes(self) -> bool:
        """Whether its settings name a model for it. Where they do not, a server may still have one of its own."""
        heard = mapping(mapping(self.settings.get("audio")).get("input")) or self.settings
        return (heard.get("transcription") or heard.get("input_audio_transcription")) is not None


@asynccontextmanager
async def session(patient: Patient, knock: Knock) -> AsyncIterator[Session]:
    """Raises RefusedError."""
    opened = await _open(patient, knock)
    patient.had_session = True
    try:
        yield opened
    finally:
        await opened.close()


async def _open(patient: Patient, knock: Knock) -> Session:
    tries = AGAIN if patient.had_session else 0
    while True:
        try:
            return await _begin(knock, patient.tls)
        except RefusedError as refused:
            if tries == 0 or refused.answer is None or recognise(refused.answer, knock.asked) != "rate-limited":
                raise
        tries -= 1
        await asyncio.sleep(AGAIN_S)


async def _begin(knock: Knock, tls: ssl.SSLContext | None) -> Session:
    began = time.monotonic()
    socket = await _dial(knock, tls)
    try:
        return Session(socket, await _greeting(socket), (time.monotonic() - began) * 1000)
    except BaseException:
        await socket.close()
        raise


class _Dial(connect):
    """A handshake as browsers make it, who follow no redirection."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def _dial(knock: Knock, tls: ssl.SSLContext | None) -> ClientConnection:
    try:
        return await _Dial(
            knock.url,
            additional_headers=knock.headers,
            subprotocols=[Subprotocol(name) for name in knock.offered] or None,
            compression=None,
            max_size=MAX_MESSAGE,
            proxy=None,
            ssl=tls if knock.url.startswith("wss:") else None,
            open_timeout=OPEN_S,
            close_timeout=2,
            ping_interval=None,
        )
    except InvalidStatus as error:
        status, location = error.response.status_code, error.response.headers.get_all("Location")
        if 300 <= status < 400 and location:
            raise RefusedError(Answer(f"Location: {location[0]}", status=status)) from None
        raise RefusedError(refusal(status, bytes(error.response.body or b""))) from None
    except InvalidMessage as error:
        hung_up = isinstance(error.__cause__, EOFError | OSError)
        body = "it hung up on the handshake" if hung_up else f"{error}: {error.__cause__}"
        raise RefusedError(Answer(close_code=1006 if hung_up else None, body=body, envelope=False)) from None
    except InvalidHandshake as error:  # headers that make no WebSocket, in an answer that promises one
        raise RefusedError(Answer(status=101, body=str(error), envelope=False)) from None
    except TimeoutError:
        raise RefusedError(None) from None
    except OSError as error:
        raise RefusedError(Answer(close_code=1006, body=error.strerror or str(error), envelope=False)) from None


async def _greeting(socket: ClientConnection) -> dict[str, Any]:
    try:
        async with asyncio.timeout(GREETING_S):
            event = await _receive(socket)
    except TimeoutError:
        raise RefusedError(None) from None
    if event.get("type") in CREATED:
        return event
    if event.get("type") != "error":
        raise RefusedError(Answer(body=f"its first event was {event}", envelope=False))
    close_code = None
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            close_code = await _closing(socket)
    raise RefusedError(fault(event.get("error"), close_code=close_code))


async def _closing(socket: ClientConnection) -> int | None:
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as error:
        return error.rcvd.code if error.rcvd else 1006


async def _receive(socket: ClientConnection) -> dict[str, Any]:
    try:
        frame = await socket.recv()
        event = from_json(frame)
    except ConnectionClosed as error:
        raise RefusedError(_ended(error)) from None
    except ValueError:
        raise RefusedError(Answer(body=f"what came is no JSON: {frame[:200]!r}", envelope=False)) from None
    if not isinstance(event, dict):
        raise RefusedError(Answer(body=f"what came is no event: {frame[:200]!r}", envelope=False))
    return event


def _ended(error: ConnectionClosed) -> Answer:
    if error.rcvd is not None:
        reason = error.rcvd.reason
        return Answer(message=reason, code=reason.rpartition(".")[2] or None, close_code=error.rcvd.code)
    if error.sent is not None and error.sent.code == 1009:
        return Answer(message=f"an event of more than {MAX_MESSAGE // 2**20} MiB came", close_code=1009)
    if error.sent is not None:  # what came broke the rules of WebSockets
        return Answer(body=error.sent.reason or "what came are no frames of a WebSocket", envelope=False)
    return Answer(message="the connection broke", close_code=1006)
