"""What the lives of the soak share: the server and its keys, the speech, and the books of the whole run."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import time
import wave
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from msgspec import Struct, field

from hark.audio.intake import wire_bytes
from hark.bench.clips import Wanted, find_clips, silero
from hark.core.work import SAMPLE_RATE, Audio
from hark.models.files.pull import models_folder
from hark.models.scripted import WORD_SAMPLES, amplitude
from soak_accounts import Account

FORMATS: Final = (
    ("pcm16", 24_000),
    ("pcm16", 16_000),
    ("pcm16", 8_000),
    ("pcm16", 48_000),
    ("g711_ulaw", 8_000),
    ("g711_alaw", 8_000),
)
MOST_CLIPS: Final = 24
PATIENCE_S: Final = 30.0
TROUBLE_S: Final = 20.0  # after a fault that we cause, answers may take longer
# What a key or a full server says, and what may be tried again.
REFUSALS: Final = ("server_overloaded", "rate_limit_exceeded")
SHOWN_FINDINGS: Final = 40


class Sounds:
    """Clips and faint noise as wire bytes in every format, addressed by milliseconds."""

    def __init__(self, clips: Sequence[Audio]) -> None:
        whole = [clip[: len(clip) // 16 * 16] for clip in clips]
        self.seconds = [len(clip) / SAMPLE_RATE for clip in whole]
        noise = (1e-4 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)).astype(np.float32)
        self._audio = [*whole, noise]
        self._wire: dict[tuple[int, str, int], bytes] = {}

    def cut(self, clip: int | None, first_ms: int, last_ms: int, form: tuple[str, int]) -> bytes:
        """A piece of a clip; None for noise, of which there is a second."""
        key = (len(self.seconds) if clip is None else clip, *form)
        if key not in self._wire:
            self._wire[key] = wire_bytes(self._audio[key[0]], *form)
        a_ms = form[1] // 1_000 * (2 if form[0] == "pcm16" else 1)
        return self._wire[key][first_ms * a_ms : last_ms * a_ms]

    def wav(self, clip: int) -> bytes:
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            writer.writeframes(wire_bytes(self._audio[clip], "pcm16", SAMPLE_RATE))
        return file.getvalue()

    def audio(self, clip: int) -> Audio:
        return self._audio[clip]


def speech(folder: Path | None) -> Sounds:
    """Of a folder, as `hark bench` takes it; by default the samples that come with Hark."""
    models = models_folder(None)
    clips = find_clips(folder or models / "samples", Wanted(2.0, 9.0), silero(models))
    return Sounds([clip.audio for clip in clips[:: max(1, len(clips) // MOST_CLIPS)][:MOST_CLIPS]])


def scripted_speech() -> Sounds:
    """What the scripted model understands."""
    turns = (("alpha", "bravo", "charlie"), ("echo", "golf", "hotel", "india"), ("delta", "alpha"))
    waves = np.where(np.arange(WORD_SAMPLES) % 40 < 20, 1, -1)
    return Sounds([np.concatenate([amplitude(word) * waves for word in turn]).astype(np.float32) for turn in turns])


class Finding(Struct, frozen=True):
    """`trail`: what was asked and told last in that session, without what was said."""

    at_s: float
    who: str
    what: str
    trail: list[str] = field(default_factory=list)


class Books:
    """Of the whole run."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.findings: list[Finding] = []
        self.lives: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.items = 0
        self.accounted = 0
        self.unknown = 0  # for our own slowness
        self.waits: list[float] = []
        self.slow: list[str] = []
        self.trouble_until = 0.0

    def find(self, who: str, what: str, trail: Sequence[str] = ()) -> None:
        self.findings.append(Finding(round(time.monotonic() - self.began, 1), who, what, list(trail)))

    def settle(self, account: Account) -> None:
        """A session is over, and what can be known of it is."""
        self.items += account.spoken
        self.accounted += sum(each.spoken and bool(each.ended or each.deleted) for each in account.items.values())
        self.waits += account.waits
        for fault in account.faults:
            self.find(account.name, fault, account.trail)
        for slow in account.slow:
            if time.monotonic() < self.trouble_until:
                self.counts["slow answers after a fault"] += 1
            else:
                self.slow.append(f"{account.name}: {slow}")


class World:
    """`ending` is set when no life begins any more, and those that there are come to their end."""

    def __init__(self, url: str, keys: dict[str, str], sounds: Sounds, resume_s: float, slow_s: float) -> None:
        self.url = url
        self.socket_url = f"ws{url.removeprefix('http')}/v1/realtime?intent=transcription"
        self.keys = keys  # by what they are for; "own" is the server's
        self.sounds = sounds
        self.resume_s = resume_s
        self.slow_s = slow_s
        self.utterances = 5  # of a talk, at most
        self.books = Books()
        self.ending = asyncio.Event()
        limits = httpx.Limits(max_keepalive_connections=0)
        self._web = httpx.AsyncClient(verify=False, limits=limits, timeout=PATIENCE_S * 4, trust_env=False)

    async def ask(self, method: str, path: str, key: str, *, slow_s: float = 0.0, **options: Any) -> httpx.Response:
        """Over HTTP; an answer of 500 or above, or one that is slow, is a finding. `slow_s`: how long it may take."""
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {key}"} | options.pop("headers", {})
        answer = await self._web.request(method, f"{self.url}{path}", headers=headers, **options)
        shown = f"{method} {path}" if "sess_" not in path else f"{method} …/transcript"
        if answer.status_code >= 500:
            self.books.find("HTTP", f"{shown} answered {answer.status_code}: {answer.text[:200]}")
        if (took := time.monotonic() - began) > (slow_s or self.slow_s) and began > self.books.trouble_until:
            self.books.slow.append(f"HTTP: {shown} took {took:.1f} s")
        self.books.counts["HTTP requests"] += 1
        return answer

    async def close(self) -> None:
        await self._web.aclose()

    async def pause(self, seconds: float) -> None:
        """Shorter where all is to end."""
        if not self.ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ending.wait(), seconds)

    async def compare(self, account: Account, key: str, *, within_s: float) -> None:
        """Wait until the session has ended, and hold its transcript against what was told."""
        if account.session_id is None:
            return
        until = time.monotonic() + within_s
        path = f"/v1/realtime/sessions/{account.session_id}/transcript"
        looked = time.monotonic()
        while True:
            asked = time.monotonic()
            answer = await self.ask("GET", path, key)
            before, looked = looked, time.monotonic()
            if answer.status_code == 404 and looked - before > self.resume_s / 2:
                self.books.counts["transcripts that were gone, for this machine was slow"] += 1
                self.books.unknown += sum(
                    item.spoken and not (item.ended or item.deleted) for item in account.items.values()
                )
                return
            if answer.status_code != 200:
                account.faults.append(f"its transcript was asked for and answered with {answer.status_code}")
                return
            if (body := answer.json())["status"] == "ended":
                account.compare(body)
                return
            if asked > until:
                account.faults.append(f"it was {body['status']} {within_s:.0f} s after its client had left")
                return
            await asyncio.sleep(min(0.5, self.resume_s / 4))  # it is kept for so long


def load_is_moderate() -> bool:
    """Whether what is late may be blamed on the server: nobody else keeps the machine busy."""
    try:
        return os.getloadavg()[0] < 1.5 * (os.cpu_count() or 1)
    except OSError:
        return True
