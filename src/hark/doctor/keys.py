"""The key, on GET /v1/models, and whether the model is there.

Rule: a client secret is no key, so where the client has one, the list is not asked for with it as if that had to work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from hark.doctor.http import ask
from hark.doctor.patient import Patient
from hark.doctor.report import Step, as_note, found, ok, skipped
from hark.doctor.rules import Asked, recognise
from hark.doctor.target import bearer, shown


async def key(patient: Patient) -> AsyncIterator[Step]:
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
    finding = recognise(reply.answer, Asked("models", "/v1/models", credential=patient.kind))
    step = found("key", finding, did, reply.answer.said)
    yield as_note(step) if patient.kind == "secret" or reply.status in (404, 405) else step


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
        url = patient.target.http(f"/models/{name}")
        reply = await ask("GET", url, headers=bearer(patient.credential), tls=patient.tls)
        did = f"looked for {name} in the list, then GET {url}"
        if reply.status == 200:
            yield found("model", "model-not-listed", did, "not in the list; HTTP 200 by its name", outcome="note")
            continue
        finding = recognise(reply.answer, Asked("models", "/v1/models", credential=patient.kind))
        near = ", ".join(_near(name, patient.models))
        known = "unknown-model" if finding == "not-this-api" else finding
        yield found("model", known, did, f"{reply.answer.said}. There are: {near}")


def _near(name: str, names: list[str]) -> list[str]:
    """The first of those that may be meant."""
    parts = set(name.lower().split("-"))
    return sorted(names, key=lambda other: -len(parts & set(other.lower().split("-"))))[:6]
