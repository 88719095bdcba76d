"""What a walk is made of: steps, each with what was done, what came back, what that means and how to mend it.

Rule: a step that is `broken` ends the walk after its floor; a `note` is worth knowing and ends nothing. No step holds a
key: what shows one shows it masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias
from urllib.parse import quote, quote_plus

from msgspec import Struct, structs

from hark.auth.principal import mask
from hark.doctor.findings import FINDINGS, FindingName
from hark.doctor.target import hidden

Outcome: TypeAlias = Literal["ok", "note", "broken", "skipped"]
# From the ground up.
FloorName: TypeAlias = Literal[
    "name", "TCP", "TLS", "HTTP", "key", "model", "secrets", "handshake", "session", "speech", "habits", "WebRTC"
]
MAX_SHOWN: Final = 400
_KEY: Final = re.compile(r"\b(?:sk-|ek_)[\w.~+/=-]{8,}")


class Step(Struct, frozen=True, omit_defaults=True):
    """`finding`: what is the matter, by name; `ms`: how long it took, where that says something."""

    floor: FloorName
    outcome: Outcome
    did: str
    got: str
    finding: FindingName | None = None
    means: str | None = None
    mend: str | None = None
    ms: float | None = None


class Report(Struct, frozen=True):
    """A whole walk. `healthy`: nothing was broken; `finding`: what ended it."""

    url: str
    healthy: bool
    finding: FindingName | None
    steps: list[Step]


def ok(floor: FloorName, did: str, got: str, *, ms: float | None = None) -> Step:
    return Step(floor, "ok", plain(did), plain(got), ms=ms)


def found(
    floor: FloorName,
    finding: FindingName,
    did: str,
    got: str,
    *,
    outcome: Outcome = "broken",
    means: str | None = None,
    mend: str | None = None,
) -> Step:
    """A step with a finding, in its own words or in those given."""
    known = FINDINGS[finding]
    return Step(floor, outcome, plain(did), plain(got), finding, means or known.means, mend or known.mend)


def skipped(floor: FloorName, why: str) -> Step:
    return Step(floor, "skipped", plain(why), "")


def as_note(step: Step) -> Step:
    """The same, where nothing hangs on it."""
    return structs.replace(step, outcome="note") if step.outcome == "broken" else step


def report(url: str, steps: list[Step]) -> Report:
    broken = [step for step in steps if step.outcome == "broken"]
    return Report(url, not broken, broken[0].finding if broken else None, steps)


def plain(text: str) -> str:
    """On one line, without what moves a terminal's cursor, and nothing in it that looks like a key: some servers
    repeat what they were sent."""
    flat = "".join(letter if letter.isprintable() else "�" for letter in " ".join(text.split()))
    return _KEY.sub(lambda match: mask(match[0]), hidden(flat))


def short(text: str, most: int = MAX_SHOWN) -> str:
    return text if len(text) <= most else text[:most] + " …"


def without(step: Step, secrets: Iterable[str]) -> Step:
    """The step with these masked, whatever they look like, and then no longer than people read."""

    def clean(text: str) -> str:
        for secret in secrets:
            for form in (secret, quote(secret, safe=""), quote_plus(secret)):
                text = text.replace(form, mask(secret)) if len(secret) > 3 else text
        return text

    return structs.replace(
        step, did=short(clean(step.did)), got=short(clean(step.got)), mend=step.mend and clean(step.mend)
    )
