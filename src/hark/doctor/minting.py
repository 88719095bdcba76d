"""Client secrets: minting in each dialect, and what the times in the answers say.

Rule: that a server mints none is worth a note; that it refuses to in the client's own dialect is a fault. Times are
compared with the server's clock, and with ours where the two differ.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from hark.doctor.http import Reply, ask
from hark.doctor.patient import Patient
from hark.doctor.report import Step, as_note, found, ok, skipped
from hark.doctor.rules import Asked, recognise
from hark.doctor.shapes import mapping, number
from hark.doctor.target import bearer, beta, sendable
from hark.protocol.wire import DialectName

PATHS: Final[dict[DialectName, str]] = {
    "ga": "/realtime/client_secrets",
    "beta": "/realtime/transcription_sessions",
}


async def secrets(patient: Patient) -> AsyncIterator[Step]:
    if patient.kind == "secret":
        yield skipped("secrets", "the client has one already")
        return
    for dialect in ("ga", "beta"):
        async for step in _mint(patient, dialect):
            yield step if dialect == patient.dialect else as_note(step)


async def _mint(patient: Patient, dialect: DialectName) -> AsyncIterator[Step]:
    path = PATHS[dialect]
    body = msgspec.json.encode(_body(patient, dialect))
    headers = {"Content-Type": "application/json", **bearer(patient.credential), **beta(dialect)}
    reply = await ask("POST", patient.target.http(path), headers=headers, body=body, tls=patient.tls)
    did = f"POST {patient.target.http(path)} {body.decode()}"
    if reply.status not in (200, 201):
        asked = Asked("mint", path, credential=patient.kind, dialect=dialect)
        finding = recognise(reply.answer, asked)
        step = found("secrets", finding, did, reply.answer.said)
        yield as_note(step) if finding == "no-minting" else step
        return
    value, expires_at, session_end = _read(reply.json(), dialect)
    if not sendable(value):
        fields = ", ".join(mapping(reply.json())) or "no JSON object"
        yield found("secrets", "no-secret-in-answer", did, f"HTTP {reply.status}: {fields}")
        return
    patient.secrets[dialect] = value
    async for step in _judge_times(patient, reply, did, expires_at, session_end):
        yield step


def _body(patient: Patient, dialect: DialectName) -> dict[str, object]:
    named = {"model": patient.transcriber} if patient.transcriber else None
    if dialect == "beta":
        return {"input_audio_transcription": named} if named else {}
    heard: dict[str, object] = {"transcription": named} if named else {}
    return {"session": {"type": "transcription", **({"audio": {"input": heard}} if heard else {})}}


def _read(body: Any, dialect: DialectName) -> tuple[str, object, object]:
    """The secret, when it expires, and when its session does."""
    body = mapping(body)
    holder = body if dialect == "ga" else mapping(body.get("client_secret"))
    session = mapping(body.get("session")) if dialect == "ga" else body
    value = holder.get("value")
    return value if isinstance(value, str) else "", holder.get("expires_at"), session.get("expires_at")


async def _judge_times(
    patient: Patient, reply: Reply, did: str, told: object, session_told: object
) -> AsyncIterator[Step]:
    here = time.time()
    there = here + (patient.skew_s or 0)
    if (expires_at := number(told)) is None:
        means = "The answer does not say when the secret expires."
        yield found("secrets", "secret-born-expired", did, f"its expires_at is {told!r}", outcome="note", means=means)
        return
    left, seen = expires_at - there, expires_at - here
    if left <= 0:
        got = f"the secret's expires_at is {expires_at:.0f}, {-left:.0f} s ago"
        yield found("secrets", "secret-born-expired", did, got, outcome="note")
    elif seen <= 0:
        got = f"good for {left:.0f} s by the server's clock, and expired by this machine's"
        yield found("secrets", "clock-skew", did, got, outcome="note")
    else:
        yield ok("secrets", did, f"a secret, good for {left:.0f} s", ms=reply.ms)
    if (session_end := number(session_told)) is not None and session_end < there:
        got = f"the session's expires_at is {session_end:.0f}, and the secret's {expires_at:.0f}"
        yield found("secrets", "secret-born-expired", "read the times in the answer", got, outcome="note")
