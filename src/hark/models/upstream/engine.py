"""Another server as an engine: whatever transcribes over OpenAI's API, over HTTP or as a Realtime server.

Hark brings turns, deltas, WebRTC, both dialects and the guards, the other one the transcripts: a GPU service without a
realtime API of its own, or OpenAI itself. It computes nothing, so it runs in threads: as many as may ask at once.

Rule: a request has one deadline, retries included. What may pass (connections that break, 408, 429, 5xx) is asked again
while there is time, at growing intervals, or when the server says; what was refused is not. A hypothesis about speech
that goes on is asked for once and soon given up, for the next one knows more.
Refuses: redirects, for the key would go along; and to say in an error where the server is: the log does.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

import numpy as np
from msgspec import structs

from hark.core.work import SAMPLE_RATE, Hypothesis
from hark.errors import OperatorError
from hark.models.base import EngineModel, LoadOptions, ModelSpec, Options, Trait, Utterance
from hark.models.upstream.hints import TAKE_LISTS

NAME: Final = "upstream"
OPTIONS: Final = ("", "_key", "_model", "_concurrency", "_timeout_s", "_partials")
# A partial hypothesis that took longer would be of no use: the next one has been wanted for long.
PARTIAL_S: Final = 5.0
# The first pause before a request goes out again, and the longest; each is twice the last, give or take half of it.
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 4.0
# OpenAI refuses less ("Audio file is too short. Minimum audio length is 0.1 seconds.", contract A.8).
MIN_SAMPLES: Final = SAMPLE_RATE // 10
# Names that no public server has: RFC 6762, RFC 8375, ICANN's .internal, and what home routers and containers use.
PRIVATE_ENDINGS: Final = (".local", ".internal", ".lan", ".home.arpa", ".localhost")

log = logging.getLogger("hark.upstream")


class Way(Protocol):
    """How one utterance is transcribed elsewhere."""

    def hear(self, utterance: Utterance, until: float) -> Hypothesis:
        """Ask once, by `until` (time.monotonic()). Raises UpstreamError, or TimeoutError."""

    def close(self) -> None: ...


class Upstream:
    """An Engine that any number of threads may call at once."""

    def __init__(self, options: LoadOptions) -> None:
        told = options.options
        if not told.get("upstream"):
            raise OperatorError(
                "--model upstream needs the address of another server in --upstream or HARK_UPSTREAM, such as "
                "http://gpu:8000/v1."
            )
        url = address(str(told["upstream"]))
        key = str(told.get("upstream_key") or "").strip() or None
        if key is not None and not (key.isascii() and key.isprintable()):
            raise OperatorError("--upstream-key: expected printable ASCII, as a header holds. It holds something else.")
        self._way = _way(url, key, str(told.get("upstream_model", "whisper-1")))
        self._where = f"{url.hostname}:{url.port}" if url.port else url.hostname
        self._patience_s = float(told.get("upstream_timeout_s", 30))
        self._closing = threading.Event()

    def transcribe(self, batch: Sequence[Utterance]) -> list[Hypothesis]:
        """One after another; who has several threads calls with each. Raises UpstreamError."""
        return [self._hear(utterance) for utterance in batch]

    def close(self) -> None:
        self._closing.set()
        self._way.close()

    def _hear(self, utterance: Utterance) -> Hypothesis:
        from hark.models.upstream.errors import UpstreamError, out_of_time  # noqa: PLC0415

        patience_s = self._patience_s if utterance.final else min(self._patience_s, PARTIAL_S)
        until = time.monotonic() + patience_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return self._way.hear(_long_enough(utterance), until)
            except TimeoutError:
                failure = out_of_time(patience_s)
            except UpstreamError as error:
                failure = error
            wait_s = pause_s * random.uniform(0.5, 1.5) if failure.after_s is None else failure.after_s  # noqa: S311
            again = utterance.final and not failure.lasting and time.monotonic() + wait_s < until
            level = logging.WARNING if utterance.final and not again else logging.DEBUG
            log.log(level, "%s: %s%s", self._where, failure.message, f" Again in {wait_s:.1f} s." if again else "")
            if not again or self._closing.wait(wait_s):
                raise failure
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _long_enough(utterance: Utterance) -> Utterance:
    missing = MIN_SAMPLES - len(utterance.audio)
    if missing <= 0:
        return utterance
    return structs.replace(utterance, audio=np.pad(utterance.audio, (0, missing)))


def _way(url: SplitResult, key: str | None, model: str) -> Way:
    if url.scheme in ("ws", "wss"):
        from hark.models.upstream.realtime import Realtime  # noqa: PLC0415

        return Realtime(url, key, model)
    from hark.models.upstream.rest import Rest  # noqa: PLC0415

    return Rest(url, key, model)


def address(written: str) -> SplitResult:
    """An address of --upstream, with a path. Raises OperatorError where it is none."""
    try:
        parts = urlsplit(written.strip())
        known = parts.scheme in ("http", "https", "ws", "wss") and parts.hostname and parts.port != 0
        known = known and parts.username is None and parts.password is None
    except ValueError:  # brackets, or a port that is no number
        known = False
    if not known:  # it is not shown: a password may stand in it
        raise OperatorError(
            "--upstream: expected the base URL of an OpenAI-compatible server, such as http://gpu:8000/v1, or of a "
            "Realtime server, such as wss://asr.example/v1; a key belongs in --upstream-key."
        )
    return parts if parts.path.strip("/") else parts._replace(path="/v1")


def is_private(host: str) -> bool:
    """Whether the server is this machine or one of its network, as far as its name or address says."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(PRIVATE_ENDINGS)


def spec(options: Options) -> ModelSpec:
    partials = options.get("upstream_partials")
    if partials is None:
        written = options.get("upstream")
        partials = not written or is_private(address(str(written)).hostname or "")
    lists: tuple[Trait, ...] = ("languages",) if str(options.get("upstream_model")).startswith(TAKE_LISTS) else ()
    return ModelSpec(
        name=NAME,
        summary="Another server of OpenAI's API, which --upstream names.",
        licence="that of the server",
        traits=("language", *lists, "prompt", "keywords", "logprobs", "words", "detects_language"),
        max_batch=1,
        own_process=False,
        callers=int(options.get("upstream_concurrency", 8)),
        partials=bool(partials),
        options=tuple(f"upstream{name}" for name in OPTIONS),
    )


def plugin() -> list[EngineModel]:
    """What this module offers under "hark.models"."""
    return [EngineModel(spec({}), Upstream, spec)]
