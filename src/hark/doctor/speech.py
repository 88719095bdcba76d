"""A session as its client would use it: settings acknowledged, some seconds of speech, and their transcript.

Rule: the client commits, so that nothing hangs on the server's turn detection; what is sent is real speech, at the rate
that every server takes.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Final

import pybase64
from msgspec import structs

from hark.audio.formats import encode
from hark.audio.resample import Resampler
from hark.core.work import SAMPLE_RATE, Audio
from hark.doctor.findings import FindingName
from hark.doctor.http import fault
from hark.doctor.patient import Patient
from hark.doctor.report import Step, found, ok, short, skipped
from hark.doctor.rules import Asked, recognise
from hark.doctor.sockets import RefusedError, Session, by_header, session

WIRE_RATE: Final = 24_000
UPDATE_S: Final = 10.0
# A server may load its model now; and where no model was named, it may have one of its own.
TRANSCRIPT_S: Final = 60.0
OWN_MODEL_S: Final = 15.0
PIECE_BYTES: Final = WIRE_RATE * 2 // 10
TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"


async def conversation(patient: Patient) -> AsyncIterator[Step]:
    """The floors of settings and of speech, in one session."""
    way = by_header(patient, patient.target.socket(), patient.credential, patient.dialect)
    try:
        async with session(patient, way) as open_:
            step = await update(open_, way.asked, patient.transcriber)
            yield step
            if step.outcome == "broken":
                return
            if patient.audio is None:
                yield skipped("speech", "there is no recording to send: hark pull fetches one, or name a --file")
                return
            async for step in _say(open_, patient.audio):
                yield step
    except RefusedError as refused:
        yield _ended(refused, way.asked)


async def update(open_: Session, asked: Asked, model: str | None, *, kind: str | None = None) -> Step:
    """Send settings to a session that was asked for so, and wait for what becomes of them. `kind`: another event than
    its dialect's own."""
    event = kind or ("transcription_session.update" if asked.dialect == "beta" else "session.update")
    settings = _flat(model) if event.startswith("transcription_session") else _nested(model)
    did = f"sent {event} with model {model or 'unset'}, pcm16 at {WIRE_RATE} Hz, turn_detection null"
    began = time.monotonic()
    await open_.send(event, session=settings)
    try:
        while True:
            told = await open_.receive(max(0, began + UPDATE_S - time.monotonic()))
            if str(told.get("type")).endswith("session.updated"):
                return ok("session", did, told["type"], ms=(time.monotonic() - began) * 1000)
    except TimeoutError:
        return found("session", "update-unanswered", did, f"nothing in {UPDATE_S:.0f} s")
    except RefusedError as refused:
        assert refused.answer is not None
        finding = recognise(refused.answer, structs.replace(asked, place="session", event=event))
        return found("session", finding, did, refused.answer.said)


def _nested(model: str | None) -> dict[str, object]:
    heard: dict[str, object] = {"format": {"type": "audio/pcm", "rate": WIRE_RATE}, "turn_detection": None}
    if model:
        heard["transcription"] = {"model": model}
    return {"type": "transcription", "audio": {"input": heard}}


def _flat(model: str | None) -> dict[str, object]:
    named: dict[str, object] = {"input_audio_transcription": {"model": model}} if model else {}
    return {"input_audio_format": "pcm16", "turn_detection": None, **named}


async def _say(open_: Session, audio: Audio) -> AsyncIterator[Step]:
    wire = encode(Resampler(SAMPLE_RATE, WIRE_RATE).push(audio), "pcm16")
    for start in range(0, len(wire), PIECE_BYTES):
        piece = pybase64.b64encode_as_string(wire[start : start + PIECE_BYTES])
        await open_.send("input_audio_buffer.append", audio=piece)
    await open_.send("input_audio_buffer.commit")
    did = f"sent {audio.size / SAMPLE_RATE:.1f} s of speech in pieces of 100 ms, then input_audio_buffer.commit"
    patience = TRANSCRIPT_S if open_.transcribes else min(TRANSCRIPT_S, OWN_MODEL_S)
    began, deltas, kinds = time.monotonic(), 0, []
    try:
        while (left := began + patience - time.monotonic()) > 0:
            event = await open_.receive(left)
            kinds.append(str(event.get("type")))
            deltas += kinds[-1] == f"{TRANSCRIPTION}.delta"
            if kinds[-1] in (f"{TRANSCRIPTION}.completed", f"{TRANSCRIPTION}.failed"):
                yield _outcome(event, did, deltas, (time.monotonic() - began) * 1000)
                return
    except TimeoutError:
        pass
    except RefusedError as refused:
        step = _ended(refused, Asked("session", event="input_audio_buffer.commit"))
        yield found("speech", step.finding or "refused", did, step.got, means=step.means, mend=step.mend)
        return
    came = ", ".join(dict.fromkeys(kinds)) or "nothing"
    finding: FindingName = "no-transcript" if open_.transcribes else "transcription-off"
    yield found("speech", finding, did, f"{came}, and no transcript in {patience:.0f} s")


def _outcome(event: dict[str, Any], did: str, deltas: int, ms: float) -> Step:
    if event["type"].endswith("failed"):
        return found("speech", "transcript-failed", did, fault(event.get("error")).said)
    text = str(event.get("transcript") or "").strip()
    if not text:
        return found("speech", "no-speech-found", did, "an empty transcript")
    return ok("speech", did, f"“{short(text, 80)}”, in {deltas} deltas", ms=ms)


def _ended(refused: RefusedError, asked: Asked) -> Step:
    if refused.answer is None:
        return found("session", "silent-server", "waited for the session to begin", "nothing in time")
    return found("session", recognise(refused.answer, asked), "went on with the session", refused.answer.said)
