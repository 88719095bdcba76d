"""Another server's POST /v1/audio/transcriptions (contract A.8), as a way to transcribe.

Servers differ in what they can tell besides the text, and say so by refusing to. So the first request asks for the
most, and goes out again with less for as long as it is refused; what was answered first is asked for ever after.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import SplitResult

from hark.audio.formats import encode
from hark.core.work import SAMPLE_RATE, Audio, Hypothesis
from hark.models.base import Utterance
from hark.models.upstream import errors
from hark.models.upstream.answers import hypothesis, read
from hark.models.upstream.errors import UpstreamError
from hark.models.upstream.hints import hints
from hark.models.upstream.http import BROKEN, Connections, form

WORDS: Final = ("timestamp_granularities[]", "word")
SEGMENTS: Final = ("timestamp_granularities[]", "segment")
# From the most that a server may tell to the least: words with times, segments with probabilities, tokens, text.
FORMS: Final = (
    (("response_format", "verbose_json"), WORDS, SEGMENTS),
    (("response_format", "verbose_json"),),
    (("response_format", "json"), ("include[]", "logprobs")),
    (("response_format", "json"),),
)
# How servers refuse a field: bad request, unsupported media type, unprocessable (FastAPI's).
REFUSALS: Final = (400, 415, 422)


class _Outcome(NamedTuple):
    heard: Hypothesis | None
    refusal: UpstreamError | None


class Rest:
    """`url` is that of the API, without /audio/transcriptions."""

    def __init__(self, url: SplitResult, key: str | None, model: str) -> None:
        query = f"?{url.query}" if url.query else ""
        self._target = f"{url.path.rstrip('/').removesuffix('/audio/transcriptions')}/audio/transcriptions{query}"
        self._connections = Connections(url, key)
        self._key = key
        self._model = model
        self._form = 0
        self._settled = False

    def hear(self, utterance: Utterance, until: float) -> Hypothesis:
        """Ask once, by `until` (time.monotonic()). Raises UpstreamError, or TimeoutError."""
        while True:
            tried = self._form
            heard, refusal = self._ask(utterance, FORMS[tried], until)
            if heard is not None:
                self._form, self._settled = tried, True
                return heard
            assert refusal is not None
            last = tried == len(FORMS) - 1
            if self._settled or last:
                if last and not self._settled:
                    self._form = 0  # it was not for the form of answer
                raise refusal
            self._form = max(self._form, tried + 1)

    def close(self) -> None:
        self._connections.close()

    def _ask(self, utterance: Utterance, wanted: tuple[tuple[str, str], ...], until: float) -> _Outcome:
        fields = [("model", self._model), *wanted, *_fields(hints(utterance, self._model))]
        kind, body = form(fields, wav(utterance.audio))
        try:
            answer = self._connections.post(self._target, kind, body, until)
        except BROKEN as error:
            if isinstance(error, TimeoutError) and time.monotonic() >= until:
                raise
            raise errors.broken(error) from error
        if answer.status in REFUSALS:
            return _Outcome(None, errors.refused(answer.status, answer.headers, answer.body, self._key))
        if not 200 <= answer.status < 300:
            raise errors.refused(answer.status, answer.headers, answer.body, self._key)
        heard = read(answer.body)
        if heard is None:
            raise errors.not_json(answer.headers.get("content-type", "").partition(";")[0])
        return _Outcome(hypothesis(heard, len(utterance.audio)), None)


def _fields(hints: Mapping[str, str | tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    for name, hint in hints.items():
        yield from ((name, hint),) if isinstance(hint, str) else ((f"{name}[]", each) for each in hint)


def wav(audio: Audio) -> bytes:
    """Mono float32 [n] at 16 kHz as a WAV file of 16-bit PCM."""
    samples = encode(audio, "pcm16")
    riff = struct.pack("<4sI4s", b"RIFF", 36 + len(samples), b"WAVE")
    kind = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    return riff + kind + struct.pack("<4sI", b"data", len(samples)) + samples
