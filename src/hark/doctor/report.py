"""What a walk is made of: steps, each with what was done, what came back, what that means and how to mend it.

Rule: a step that is `broken` ends the walk after its floor; a `note` is worth knowing and ends nothing. No step holds a
key: what shows one shows it masked.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from msgspec import Struct, structs

from hark.auth.principal import mask
from hark.doctor.findings import FINDINGS, FindingName

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


def ok(floor: FloorName, did: str, got: str, *, ms: float | None = None, means: str | None = None) -> Step:
    return Step(floor, "ok", short(did), short(got), means=means, ms=ms)


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
    return Step(floor, outcome, short(did), short(got), finding, means or known.means, mend or known.mend)


def skipped(floor: FloorName, why: str) -> Step:
    return Step(floor, "skipped", short(why), "")


def as_note(step: Step) -> Step:
    """The same, where nothing hangs on it."""
    return structs.replace(step, outcome="note") if step.outcome == "broken" else step


def report(url: str, steps: list[Step]) -> Report:
    broken = [step for step in steps if step.outcome == "broken"]
    return Report(url, not broken, broken[0].finding if broken else None, steps)


def short(text: str, most: int = MAX_SHOWN) -> str:
    """On one line, not too much of it, and nothing in it that looks like a key: some servers repeat what they were
    sent."""
    flat = _KEY.sub(lambda match: mask(match[0]), " ".join(text.split()))
    return flat if len(flat) <= most else flat[:most] + " …"
