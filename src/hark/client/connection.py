"""The connection: from a base URL to an open, configured session, and its events one at a time.

Rule: one task reads. Whatever ends the session is a NoSessionError that says which URL, what came and what to do.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec
import pybase64
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from hark.audio.formats import encode
from hark.audio.resample import Resampler
from hark.client.conversation import Conversation
from hark.client.events import ErrorEvent, Event, SessionCreated, SessionUpdated, decode
from hark.core.settings import TurnDetectionPatch
from hark.core.work import SAMPLE_RATE, Audio
from hark.errors import CallerError, HarkError, OperatorError

SERVER_VAD: Final = TurnDetectionPatch(type="server_vad")
# Longer than any server of this API lets a client wait; short enough to wait for at a prompt.
OPEN_SECONDS: Final = 15.0
# What to look at after a close with this code; where it passes by itself, the server's words say so.
_HINTS: Final = {3000: " Check the API key.", 4000: " Check the model and the address."}


class NoSessionError(OperatorError):
    """There is no session, or no longer one. `close_code` is the WebSocket's, where it came to one."""

    def __init__(self, message: str, *, code: str | None = None, close_code: int | None = None) -> None:
        super().__init__(message, code=code)
        self.close_code = close_code


class RefusedError(HarkError):
    """An `error` event. `event_id` is that of the client event at fault, where the server knew it."""

    def __init__(self, message: str, *, code: str | None, param: str | None, event_id: str | None) -> None:
        super().__init__(message, code=code, param=param)
        self.event_id = event_id


class RealtimeClient:
    """An open transcription session. Iterating gives its events until the server ends it; an `error` event is raised as
    RefusedError, after which one may go on iterating. Every method raises NoSessionError once the session is gone.
    """

    def __init__(self, socket: ClientConnection, url: str, rate: int) -> None:
        self.url = url
        self.conversation = Conversation()
        self.sent_samples = 0
        self._socket = socket
        self._resampler = None if rate == SAMPLE_RATE else Resampler(SAMPLE_RATE, rate)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self.receive()
        except NoSessionError as error:
            if error.close_code == 1000:
                raise StopAsyncIteration from None
            raise

    async def receive(self) -> Event:
        """The next event."""
        while True:
            try:
                event = decode(await self._socket.recv())
            except ConnectionClosed as error:
                raise _closed(self.url, error) from None
            except msgspec.DecodeError as error:
                raise NoSessionError(f"{self.url} sent what is no event of the Realtime API: {error}.") from None
            if isinstance(event, ErrorEvent):
                fault = event.error
                raise RefusedError(fault.message, code=fault.code, param=fault.param, event_id=fault.event_id)
            if event is not None:
                self.conversation.apply(event)
                return event

    async def append(self, audio: Audio) -> None:
        """Send mono float32 [n] at 16 kHz. Waits while the server takes no more."""
        self.sent_samples += audio.size
        if self._resampler is not None:
            audio = self._resampler.push(audio)
        encoded = pybase64.b64encode_as_string(encode(audio, "pcm16"))
        await self.send({"type": "input_audio_buffer.append", "audio": encoded})

    async def commit(self) -> None:
        """End the turn here."""
        await self.send({"type": "input_audio_buffer.commit"})

    async def send(self, event: dict[str, object]) -> None:
        """Send any client event."""
        try:
            await self._socket.send(msgspec.json.encode(event), text=True)
        except ConnectionClosed as error:
            raise _closed(self.url, error) from None

    async def close(self) -> None:
        await self._socket.close()


@asynccontextmanager
async def connect(
    base_url: str,
    *,
    api_key: str | None = None,
    model: str | None = None,
    language: str | None = None,
    prompt: str | None = None,
    turn_detection: TurnDetectionPatch | None = SERVER_VAD,
    rate: Literal[16_000, 24_000] = SAMPLE_RATE,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[RealtimeClient]:
    """An open, configured session with the server at `base_url`, given with or without "/v1".

    `rate` is that on the wire: OpenAI's own service takes no less than 24,000. `turn_detection` None: the client
    commits. `tls`: whom to trust at a wss:// address; None: the usual authorities. Raises CallerError for an address
    that is none, NoSessionError where no such server is, RefusedError where it does not take these settings.
    """
    url = realtime_url(base_url)
    heard: dict[str, object] = {"format": {"type": "audio/pcm", "rate": rate}, "turn_detection": turn_detection}
    hints = {"model": model, "language": language, "prompt": prompt}
    if asked := {name: hint for name, hint in hints.items() if hint is not None}:
        heard["transcription"] = asked
    socket = await _dial(url, api_key, tls)
    try:
        client = RealtimeClient(socket, url, rate)
        await _configure(client, {"type": "transcription", "audio": {"input": heard}})
        yield client
    finally:
        await socket.close()


def realtime_url(base_url: str) -> str:
    """Where the WebSocket of the server at `base_url` is. Raises CallerError where that is no such address."""
    parts = urlsplit(base_url)
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    try:
        known = bool(scheme and parts.hostname and parts.port != 0)
    except ValueError:  # a port that is no number
        known = False
    if not known:
        raise CallerError(f"Expected the address of a server, such as http://127.0.0.1:8000; got {base_url!r}.")
    path = parts.path.rstrip("/").removesuffix("/realtime").removesuffix("/v1")
    return f"{scheme}://{parts.netloc}{path}/v1/realtime?intent=transcription"


async def _dial(url: str, api_key: str | None, tls: ssl.SSLContext | None) -> ClientConnection:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        # No keepalive: its pong would wait behind all the audio that an unpaced sender has queued.
        return await dial(
            url,
            additional_headers=headers,
            compression=None,
            max_size=None,
            proxy=None,
            ssl=tls if url.startswith("wss:") else None,
            open_timeout=OPEN_SECONDS,
            close_timeout=2,
            ping_interval=None,
        )
    except TimeoutError:
        raise NoSessionError(f"{url} did not answer in {OPEN_SECONDS:.0f} s. Is `hark serve` running?") from None
    except ssl.SSLCertVerificationError as error:
        raise NoSessionError(
            f"{url} shows a certificate that is not trusted: {error.verify_message}. If it is your own server, name "
            "its certificate in SSL_CERT_FILE, or say --insecure."
        ) from None
    except OSError as error:
        reason = "connection refused" if isinstance(error, ConnectionRefusedError) else error.strerror or error
        raise NoSessionError(f"Could not connect to {url}: {reason}. Is `hark serve` running?") from None
    except InvalidStatus as error:
        said = (error.response.body or b"").decode(errors="replace").strip()[:200] or "nothing else"
        status = error.response.status_code
        raise NoSessionError(
            f"{url} answered HTTP {status} where a WebSocket was expected, and said: {said} "
            "Does this address belong to a server of the Realtime API?"
        ) from None
    except InvalidHandshake as error:
        raise NoSessionError(f"{url} is no WebSocket: {error}. Is it the address of a Hark server?") from None


async def _configure(client: RealtimeClient, session: dict[str, object]) -> None:
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            await _await(client, SessionCreated)
            await client.send({"type": "session.update", "session": session})
            await _await(client, SessionUpdated)
    except TimeoutError:
        raise NoSessionError(
            f"{client.url} took the connection but sent no session in {OPEN_SECONDS:.0f} s. "
            "Expected session.created and then session.updated: is it a server of the Realtime API?"
        ) from None


async def _await(client: RealtimeClient, kind: type[Event]) -> None:
    try:
        while not isinstance(await client.receive(), kind):
            pass
    except RefusedError as refused:
        try:  # an error that a close follows refused the session, not just a request (contract fact 2)
            async with asyncio.timeout(0.5):
                while True:
                    await client.receive()
        except TimeoutError:
            raise refused from None
        except NoSessionError as closed:
            hint = _HINTS.get(closed.close_code or 0, "")
            raise NoSessionError(
                f"{client.url} refused the session: {refused.message}{hint}",
                code=refused.code,
                close_code=closed.close_code,
            ) from None


def _closed(url: str, error: ConnectionClosed) -> NoSessionError:
    if error.rcvd is None:
        return NoSessionError(f"The connection to {url} broke. Is the server still running?", close_code=1006)
    code, reason = error.rcvd.code, error.rcvd.reason
    reason = reason or ("the server was stopped or started anew" if code in (1001, 1012) else "no reason given")
    return NoSessionError(f"{url} ended the session: {reason} (close code {code}).", close_code=code)
