"""Another server of the Realtime API, as a way to transcribe: its turn detection is off, and each utterance is a turn.

    session.update           once, and again when an utterance has other hints
    append …, commit         the utterance
    committed, completed     its text, or failed
    conversation.item.delete so that the server keeps nothing of it

A socket carries one utterance at a time and is kept for the next one. One that a failure leaves in doubt is closed;
one that has lain idle may have been closed at the other end, and then another is opened in its place.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from contextlib import ExitStack, suppress
from typing import Final
from urllib.parse import SplitResult

import msgspec
import numpy as np
import pybase64
from msgspec import Struct
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.sync.client import connect

from hark.audio.formats import encode
from hark.audio.resample import Resampler
from hark.core.work import SAMPLE_RATE, Audio, Hypothesis
from hark.models.base import Utterance
from hark.models.upstream import errors
from hark.models.upstream.answers import Heard, HeardToken, HeardWord, Language, hypothesis
from hark.models.upstream.errors import UpstreamError
from hark.models.upstream.hints import hints
from hark.models.upstream.http import CONNECT_S, MAX_BODY_BYTES, cut_off

# OpenAI's own service takes no less than 24,000 (contract A.9); Hark takes what it works with.
RATES: Final = (SAMPLE_RATE, 24_000)
CHUNK_BYTES: Final = 1 << 18
LOGPROBS: Final = "item.input_audio_transcription.logprobs"
_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"
# At the level of debugging the library writes headers and frames to the log, and so the key and transcripts.
_QUIET: Final = logging.getLogger("hark.upstream.socket")
_QUIET.setLevel(logging.WARNING)
_DELETION: Final = "hark_deletes"  # a server that does not know how to need not
# Errors that pass: the code or the type of an `error` event or of a `failed` one (contract A.9).
_PASSING: Final = ("server_error", "server_overloaded", "rate_limit_error", "rate_limit_exceeded", "session_expired")


class _Fault(Struct):
    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    event_id: str | None = None


class _Event(Struct):
    """Of any event of the server, what is used of some."""

    type: str
    item_id: str = ""
    transcript: str = ""
    logprobs: list[HeardToken] | None = None
    words: list[HeardWord] = []
    languages: list[Language] = []
    start_ms: float = 0.0
    error: _Fault | None = None


class _Plain(Struct):
    """The same, of an event whose details have another shape than is known here."""

    type: str
    item_id: str | None = None
    transcript: str | None = None
    error: _Fault | None = None


def _read(text: str | bytes) -> _Event:
    """Raises msgspec.DecodeError for what is no event."""
    try:
        return msgspec.json.decode(text, type=_Event)
    except msgspec.ValidationError:
        plain = msgspec.json.decode(text, type=_Plain)
        return _Event(plain.type, plain.item_id or "", plain.transcript or "", error=plain.error)


class _FaultError(Exception):
    def __init__(self, fault: _Fault) -> None:
        super().__init__()
        self.fault = fault


class _Socket:
    """One session. What it has been told last is `told`, and `rate` is what it is asked to take."""

    def __init__(self, url: SplitResult, key: str | None, tls: ssl.SSLContext | None, until: float, rate: int) -> None:
        self.rate = rate
        self.stack = ExitStack()
        patience_s = max(0.001, min(until - time.monotonic(), CONNECT_S))
        port = url.port or (443 if url.scheme == "wss" else 80)
        # With a socket of ours the library follows no redirects, and says so in a ValueError.
        ours = socket.create_connection((url.hostname or "", port), patience_s)
        self._socket = self.stack.enter_context(
            connect(
                url.geturl(),
                sock=ours,
                additional_headers={"Authorization": f"Bearer {key}"} if key else {},
                compression=None,
                max_size=MAX_BODY_BYTES,
                ssl=tls,
                open_timeout=patience_s,
                close_timeout=1,
                logger=_QUIET,
            )
        )
        self.told: dict[str, object] | None = None

    def cut_off(self, until: float) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(cut_off(self._socket.socket, until))
        return stack

    def send(self, kind: str, **fields: object) -> None:
        self._socket.send(msgspec.json.encode({"type": kind, **fields}), text=True)

    def until(self, *kinds: str, item_id: str = "") -> _Event:
        """The next event of these kinds, and about this item. Raises _FaultError for an `error` event."""
        while True:
            event = _read(self._socket.recv())
            if event.type == "error" and (event.error is None or event.error.event_id != _DELETION):
                raise _FaultError(event.error or _Fault())
            if event.type in kinds and (not item_id or event.item_id == item_id):
                return event


class Realtime:
    """`url` is that of the API or of its WebSocket."""

    def __init__(self, url: SplitResult, key: str | None, model: str) -> None:
        path = url.path.rstrip("/").removesuffix("/realtime") or "/v1"
        self._url = url._replace(path=f"{path}/realtime", query=url.query or "intent=transcription", fragment="")
        self._tls = ssl.create_default_context() if url.scheme == "wss" else None
        self._key = key
        self._model = model
        self._rate = RATES[0]
        self._idle: list[_Socket] = []
        self._lock = threading.Lock()

    def hear(self, utterance: Utterance, until: float) -> Hypothesis:
        """Ask once, by `until` (time.monotonic()). Raises UpstreamError, or TimeoutError."""
        while True:
            kept = self._take_idle()
            try:
                session = kept or self._open(until)
            except (OSError, InvalidHandshake, ValueError) as error:
                raise self._not_open(error, until) from error
            try:
                with session.cut_off(until):
                    heard = self._ask(session, utterance)
            except ConnectionClosed as error:
                session.stack.close()
                if time.monotonic() >= until:
                    raise TimeoutError from error
                if kept is None:
                    said = error.rcvd.reason if error.rcvd else ""
                    raise errors.broken(error, errors.masked(said, self._key) or "it was closed") from error
            except UpstreamError:
                session.stack.close()
                if kept is None or time.monotonic() >= until:
                    raise  # else it may have been about the utterance before
            except BaseException:
                session.stack.close()
                raise
            else:
                with self._lock:
                    self._idle.append(session)
                if isinstance(heard, UpstreamError):
                    raise heard
                return heard

    def close(self) -> None:
        while session := self._take_idle():
            session.stack.close()

    def _take_idle(self) -> _Socket | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _open(self, until: float) -> _Socket:
        return _Socket(self._url, self._key, self._tls, until, self._rate)

    def _not_open(self, error: Exception, until: float) -> Exception:
        if time.monotonic() >= until:
            return TimeoutError()
        if isinstance(error, InvalidStatus):
            headers = {name.lower(): value for name, value in error.response.headers.raw_items()}
            return errors.refused(error.response.status_code, headers, bytes(error.response.body or b""), self._key)
        if isinstance(error, ValueError) and not isinstance(error, OSError):
            return errors.elsewhere("a redirect")
        return errors.broken(error, "no WebSocket is there" if isinstance(error, InvalidMessage) else "")

    def _ask(self, session: _Socket, utterance: Utterance) -> Hypothesis | UpstreamError:
        """An UpstreamError that is returned leaves the session as it was; one that is raised does not."""
        try:
            self._tell(session, utterance)
            for chunk in _wire(utterance.audio, session.rate):
                session.send("input_audio_buffer.append", audio=chunk)
            session.send("input_audio_buffer.commit")
            item_id = session.until("input_audio_buffer.committed").item_id
            ends = (f"{_TRANSCRIPTION}.completed", f"{_TRANSCRIPTION}.failed")
            event = session.until(*ends, item_id=item_id)
            with suppress(ConnectionClosed):  # it says what the next utterance finds out
                session.send("conversation.item.delete", item_id=item_id, event_id=_DELETION)
        except _FaultError as error:
            raise self._refused(error.fault) from None
        except msgspec.DecodeError:
            raise errors.not_json("what is no event of the Realtime API") from None
        if event.type != ends[0]:
            return self._refused(event.error or _Fault())
        words = [_from_start_of(event.start_ms, word) for word in event.words]
        heard = Heard(event.transcript, languages=event.languages, words=words, logprobs=event.logprobs or [])
        return hypothesis(heard, len(utterance.audio))

    def _refused(self, fault: _Fault) -> UpstreamError:
        said = errors.masked(fault.message, self._key).rstrip(".") or "nothing that explains it"
        lasting = not {fault.type, fault.code} & set(_PASSING)
        return UpstreamError(f"The upstream server refused and said: {said}.", lasting=lasting)

    def _tell(self, session: _Socket, utterance: Utterance) -> None:
        """Set the session up for this utterance."""
        wanted = self._transcription(utterance)
        if session.told is None:
            session.until("session.created")
        while session.told != wanted:
            heard = {
                "format": {"type": "audio/pcm", "rate": session.rate},
                "turn_detection": None,
                "transcription": wanted,
            }
            update = {"type": "transcription", "audio": {"input": heard}, "include": [LOGPROBS]}
            session.send("session.update", session=update)
            try:
                session.until("session.updated")
            except _FaultError as error:
                if not (error.fault.param or "").endswith("rate") or session.rate == RATES[-1]:
                    raise
                session.rate = self._rate = RATES[-1]  # and those that come after begin with it
            else:
                session.told = wanted

    def _transcription(self, utterance: Utterance) -> dict[str, object]:
        return {"model": self._model, **hints(utterance, self._model)}


def _wire(audio: Audio, rate: int) -> list[str]:
    if rate != SAMPLE_RATE:
        resampler = Resampler(SAMPLE_RATE, rate)
        audio = np.concatenate((resampler.push(audio), resampler.tail()))
    data = encode(audio, "pcm16")
    return [
        pybase64.b64encode_as_string(data[first : first + CHUNK_BYTES]) for first in range(0, len(data), CHUNK_BYTES)
    ]


def _from_start_of(start_ms: float, word: HeardWord) -> HeardWord:
    """A session's words are told by the session's clock."""
    if word.start_ms is None or word.end_ms is None:
        return word
    return HeardWord(word.word, start_ms=word.start_ms - start_ms, end_ms=word.end_ms - start_ms)
