"""The walk: floor upon floor, until one is broken.

Rule: steps are given as they are made, so that a person sees where it stands. What a floor did not expect is a finding
too, never an end without a word.
"""

from __future__ import annotations

import http.client
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeAlias

from hark.doctor import call, ground, habits, handshake, keys, minting, speech
from hark.doctor.patient import Patient
from hark.doctor.report import FloorName, Step, found, without

Floor: TypeAlias = Callable[[Patient], AsyncIterator[Step]]

FLOORS: Final[tuple[tuple[FloorName, Floor], ...]] = (
    ("name", ground.name),
    ("TCP", ground.tcp),
    ("TLS", ground.tls),
    ("HTTP", ground.http_),
    ("key", keys.key),
    ("model", keys.model),
    ("secrets", minting.secrets),
    ("handshake", handshake.handshake),
    ("session", speech.conversation),
    ("habits", habits.habits),
    ("WebRTC", call.webrtc),
)


async def walk(patient: Patient) -> AsyncIterator[Step]:
    """Every step, in order; nothing after the first floor with a broken one."""
    for name, floor in FLOORS:
        broken = False
        try:
            async for step in floor(patient):
                broken |= step.outcome == "broken"
                yield without(step, patient.all_secrets)
        except TimeoutError:
            broken = True
            yield found(name, "server-hangs", "waited for an answer", "nothing in time")
        except (OSError, http.client.HTTPException) as error:
            broken = True
            step = found(name, "cut-off", "asked the server", str(error) or type(error).__name__)
            yield without(step, patient.all_secrets)
        if broken:
            return
