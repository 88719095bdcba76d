"""Moonshine with weak spots: engines of a plug-in for tests, which meet a fault where the audio is marked, and do as
Moonshine does otherwise."""

import os
import resource
from pathlib import Path

import numpy as np
from msgspec import structs

from hark.models.base import EngineModel
from hark.models.moonshine import engine as moonshine

MARK = 0.999  # no sample of speech is as loud as this


ROOM_BYTES = 64 << 20  # that a hoarder has left


class Weak(moonshine.Moonshine):
    def transcribe(self, batch):
        if any(utterance.audio.max() >= MARK for utterance in batch):
            self.suffer()
        return super().transcribe(batch)


class Poisonable(Weak):
    """Ends as native code does."""

    def suffer(self):
        os.abort()


class Hoarding(Weak):
    """Takes all the memory that it may have, in the first process that meets the mark: the file named by HOARDED says
    that there was one."""

    def __init__(self, options):
        super().__init__(options)
        self._hoards = not Path(os.environ["HOARDED"]).exists()

    def suffer(self):
        if self._hoards:
            Path(os.environ["HOARDED"]).touch()
            held = Path("/proc/self/statm").read_text().split()[0]
            least = int(held) * resource.getpagesize() + ROOM_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (least, least))
            self._hoard = [np.ones(1 << 20, np.uint8) for _ in range(ROOM_BYTES)]


def plugin() -> list[EngineModel]:
    spec = moonshine.plugin()[0].spec
    return [
        EngineModel(structs.replace(spec, name=f"moonshine-{name}", suits=None), load)
        for name, load in (("poisonable", Poisonable), ("hoarding", Hoarding))
    ]
