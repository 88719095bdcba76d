"""Usual mistakes, made on purpose: what this server makes of URLs, secrets and events that people get wrong.

Rule: nothing here is a fault of the server; each refusal is a note that names the mistake and its mend, for the client
that makes it. A URL counts as taken when the settings of a transcription session are acknowledged there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import structs

from hark.doctor.patient import Patient
from hark.doctor.report import Step, as_note, found, ok, skipped
from hark.doctor.rules import recognise
from hark.doctor.sockets import Knock, RefusedError, by_header, session
from hark.doctor.speech import update
from hark.protocol.wire import DialectName


async def habits(patient: Patient) -> AsyncIterator[Step]:
    for way in _urls(patient):
        yield await _try(patient, way)
    yield await _cross(patient, "beta", "session.update")
    yield await _cross(patient, "ga", "transcription_session.update")
    for way in _crossed_secrets(patient):
        yield await _try(patient, way)
    if len(patient.secrets) < 2:
        yield skipped("habits", "secrets of both dialects were not to be had, so they could not be crossed")


def _urls(patient: Patient) -> list[Knock]:
    target, model = patient.target, patient.transcriber or "gpt-4o-transcribe"
    urls = [
        target.socket("/realtime/transcription_sessions", {}),
        target.socket("/realtime", {"model": model}),
        target.socket("/realtime", {"intent": "transcription", "model": model}),
        target.socket("/realtime", {}),
    ]
    ways = [by_header(patient, url, patient.credential, "ga") for url in urls]
    ways.append(by_header(patient, target.socket("/realtime", {"intent": "transcription"}), patient.credential, "beta"))
    return ways


def _crossed_secrets(patient: Patient) -> list[Knock]:
    url = patient.target.socket("/realtime", {"intent": "transcription"})
    pairs: tuple[tuple[DialectName, DialectName], ...] = (("ga", "beta"), ("beta", "ga"))
    ways = []
    for minted, spoken in pairs:
        if minted in patient.secrets and spoken in patient.secrets:
            way = by_header(patient, url, patient.secrets[minted], spoken)
            ways.append(structs.replace(way, did=f"{way.did}, a secret that was minted in {minted}"))
    return ways


async def _try(patient: Patient, way: Knock) -> Step:
    try:
        async with session(patient, way) as open_:
            spoken: DialectName = "beta" if open_.created["type"].startswith("transcription_session") else "ga"
            step = await update(open_, structs.replace(way.asked, dialect=spoken), patient.transcriber)
            if step.outcome == "ok":
                return ok("habits", way.did, f"{open_.created['type']}, and its settings are taken")
            return as_note(structs.replace(step, floor="habits", did=f"{way.did}, then {step.did}"))
    except RefusedError as refused:
        if refused.answer is None:
            return found("habits", "silent-server", way.did, "nothing in time", outcome="note")
        return found("habits", recognise(refused.answer, way.asked), way.did, refused.answer.said, outcome="note")


async def _cross(patient: Patient, dialect: DialectName, event: str) -> Step:
    """An update of the other dialect, in a session of this one."""
    url = patient.target.socket("/realtime", {"intent": "transcription"})
    way = by_header(patient, url, patient.credential, dialect)
    try:
        async with session(patient, way) as open_:
            step = await update(open_, way.asked, patient.transcriber, kind=event)
            return as_note(
                structs.replace(step, floor="habits", did=f"in a session of the {dialect} dialect, {step.did}")
            )
    except RefusedError as refused:
        said = refused.answer.said if refused.answer else "nothing came"
        return skipped("habits", f"{event} in a session of the {dialect} dialect was not tried: {said}")
