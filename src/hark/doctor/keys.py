"""The key, on GET /v1/models, and whether the model is there.

Rule: a client secret is no key, so where the client has one, the list is not asked for with it as if that had to work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

from hark.doctor.http import ask
from hark.doctor.patient import Patient
from hark.doctor.report import Step, as_note, found, ok, skipped
from hark.doctor.rules import Asked, recognise
from hark.doctor.target import bearer, sendable, shown

TAKEN_OUT: Final = (
    "One was sent: something in between takes it out. Let the proxy pass the header Authorization on (nginx: no "
    "proxy_set_header Authorization of its own)."
)


async def key(patient: Patient) -> AsyncIterator[Step]:
    if patient.credential and not sendable(patient.credential):
        strange = ", ".join(sorted({ascii(letter) for letter in patient.credential if not sendable(letter)}))
        yield found("key", "unsendable-key", f"looked at the {patient.kind}", f"it has {strange} in it")
        return
    if patient.listless:
        yield skipped("key", "there is no list to try it on; the handshake says what the server makes of it")
        return
    url = patient.target.http("/models")
    did = f"GET {url} with {shown(patient.credential)}"
    reply = await ask("GET", url, headers=bearer(patient.credential), tls=patient.tls)
    if reply.status == 200:
        listed = reply.json()
        data = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(data, list):
            yield found("key", "not-this-api", did, f"HTTP 200, and no list of models: {reply.text}")
            return
        patient.models = [str(entry["id"]) for entry in data if isinstance(entry, dict) and "id" in entry]
        yield ok("key", did, f"HTTP 200, {len(patient.models)} models", ms=reply.ms)
        return
    if reply.status in (404, 405):
        yield found("key", "no-model-list", did, reply.answer.said, outcome="note", means="There is no list of models.")
        return
    finding = recognise(reply.answer, Asked("models", "/v1/models", credential=patient.kind))
    taken_out = finding == "no-credential" and patient.credential
    step = found("key", finding, did, reply.answer.said, mend=TAKEN_OUT if taken_out else None)
    yield as_note(step) if patient.kind == "secret" and finding == "secret-instead-of-key" else step


async def model(patient: Patient) -> AsyncIterator[Step]:
    if not patient.models:
        yield skipped("model", "there is no list of models" if patient.model else "no model was named")
        return
    named = {name for name in (patient.model, patient.target.query.get("model")) if name}
    if not named:
        choice = patient.transcriber
        if choice is None:
            got = f"{', '.join(patient.models[:8])}, …" if patient.models else "none"
            yield found("model", "model-not-listed", "looked for a model that transcribes", got, outcome="note")
        else:
            yield ok("model", "looked for a model that transcribes", f"{choice}; --model names another")
        return
    for name in sorted(named):
        if name in patient.models:
            yield ok("model", f"looked for {name} in the list", "it is there")
            continue
        url = patient.target.http(f"/models/{quote(name)}")
        reply = await ask("GET", url, headers=bearer(patient.credential), tls=patient.tls)
        did = f"looked for {name} in the list, then GET {url}"
        if reply.status == 200:
            yield found("model", "model-not-listed", did, "not in the list; HTTP 200 by its name", outcome="note")
            continue
        finding = recognise(reply.answer, Asked("models", "/v1/models", credential=patient.kind))
        got = f"{reply.answer.said.rstrip('.')}. There are: {', '.join(_near(name, patient.models))}"
        if finding == "not-this-api":  # it cannot be asked for by name, which says nothing of the model
            yield found("model", "model-not-listed", did, got, outcome="note")
        else:
            yield found("model", finding, did, got)


def _near(name: str, names: list[str]) -> list[str]:
    """The first of those that may be meant."""
    parts = set(name.lower().split("-"))
    return sorted(names, key=lambda other: -len(parts & set(other.lower().split("-"))))[:6]
