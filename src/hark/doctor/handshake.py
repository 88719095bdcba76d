"""The WebSocket: the client's own URL with its own credential, then every other place where a credential may stand.

Rule: the client's own way decides. If it fails and another one works, the mend is that one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from hark.doctor.findings import FindingName
from hark.doctor.patient import Patient
from hark.doctor.report import Step, as_note, found, ok
from hark.doctor.rules import recognise
from hark.doctor.shapes import mapping
from hark.doctor.sockets import Knock, RefusedError, by_header, by_subprotocol, session
from hark.doctor.target import DEFAULT_QUERY, beta, shown


async def handshake(patient: Patient) -> AsyncIterator[Step]:
    target = patient.target
    own = by_header(patient, target.socket(), patient.in_header, patient.dialect)
    step = await knock(patient, own)
    if step.outcome == "broken":
        yield await _with_way_out(patient, step)
        return
    yield step
    for other in _places(patient):
        yield as_note(await knock(patient, other, place=True))


async def knock(patient: Patient, way: Knock, *, place: bool = False) -> Step:
    """A handshake as a step. `place`: what is tried is where the credential stands."""
    try:
        async with session(patient, way) as open_:
            kind = mapping(open_.created.get("session")).get("type") or open_.created["type"].partition(".")[0]
            if way.offered and open_.subprotocol != "realtime":
                return found("handshake", "subprotocol-not-chosen", way.did, f"it chose {open_.subprotocol!r}")
            return ok("handshake", way.did, f"{open_.created['type']} ({kind})", ms=open_.ms)
    except RefusedError as refused:
        if refused.answer is None:
            return found("handshake", "silent-server", way.did, "nothing in time")
        finding = recognise(refused.answer, way.asked)
        if place and finding in ("wrong-key", "no-credential", "secret-refused", "refused"):
            finding = "credential-place-refused"
        return found("handshake", finding, way.did, refused.answer.said)


def _places(patient: Patient) -> list[Knock]:
    """Where else a credential may stand (contract I.11)."""
    url, key, dialect = patient.target.socket(), patient.credential, patient.dialect
    ways = []
    if secret := patient.secrets.get(dialect):
        ways += [by_header(patient, url, secret, dialect), by_subprotocol(patient, url, secret, dialect)]
    if key is None:
        return ways
    ways.append(by_subprotocol(patient, url, key, dialect))
    header = f"connected to {url} with api-key: {shown(key)}"
    ways.append(Knock(url, header, {"api-key": key} | beta(dialect), [], key, dialect))
    inside = patient.target.socket(None, patient.target.query | {"authorization": f"Bearer {secret or key}"})
    did = f"connected to {url} with authorization=Bearer {shown(secret or key)} in the query"
    ways.append(Knock(inside, did, beta(dialect), [], key, dialect))
    return ways


async def _with_way_out(patient: Patient, step: Step) -> Step:
    """The same fault, and a way that works if there is one."""
    target = patient.target
    usual = target.socket("/realtime", DEFAULT_QUERY)
    ways: list[tuple[Knock, FindingName | None]] = []
    if secret := patient.secrets.get(patient.dialect):
        ways.append((by_header(patient, target.socket(), secret, patient.dialect), "key-instead-of-secret"))
    if patient.in_header != patient.credential:
        ways.append((by_header(patient, target.socket(), patient.credential, patient.dialect), None))
    if target.socket() != usual:
        ways.append((by_header(patient, usual, patient.credential, patient.dialect), None))
    if patient.dialect == "beta":
        ways.append((by_header(patient, usual, patient.secrets.get("ga", patient.credential), "ga"), None))
    for way, finding in ways:
        tried = await knock(patient, way)
        if tried.outcome == "ok":
            mend = f"{step.mend} This works here: {way.did.replace('connected', 'connect', 1)}."
            if finding and step.finding in ("wrong-key", "refused", "no-access"):
                return found("handshake", finding, step.did, step.got, mend=mend)
            return found("handshake", step.finding or "refused", step.did, step.got, means=step.means, mend=mend)
    return step
