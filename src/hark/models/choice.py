"""Which engine `--model auto` stands for: a function of what is installed, what is pulled, and the machine.

Rule: what is here is taken, and nothing is downloaded for being better, but for what a server needs anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from hark.models.base import Suits
from hark.models.machine import Machine, this_machine

AUTO: Final = "auto"
FALLBACK: Final = "moonshine-tiny-en"


class Candidate(Struct, frozen=True):
    """An engine: whether the packages that it wants are installed, and its files pulled."""

    name: str
    suits: Suits
    installed: bool = True
    pulled: bool = True


class Choice(Struct, frozen=True):
    """`why` completes "<name> is"; for people."""

    name: str
    why: str


def chosen(candidates: Sequence[Candidate]) -> Choice:
    """The choice on this machine, which is not looked at where only one could be taken."""
    gpu = any(candidate.suits.gpu for candidate in candidates if candidate.installed)
    others = any(candidate.suits.cpu for candidate in candidates if candidate.name != FALLBACK)
    return choose(candidates, this_machine() if gpu or others else Machine(0))


def choose(candidates: Sequence[Candidate], machine: Machine) -> Choice:
    """For a CUDA GPU (the first, which engines use) what suits one, if it is installed, pulled, and there is memory for
    it; else what suits a CPU; else the fallback."""
    gpu_mb = machine.gpus_mb[0] if machine.gpus_mb else 0
    ready = [candidate for candidate in candidates if candidate.installed and candidate.pulled]
    if best := _best([(one.suits.gpu, one) for one in ready], gpu_mb):
        return Choice(best.name, f"the best that is pulled for a CUDA GPU of {gpu_mb / 1024:.0f} GiB")
    hint = ""
    later = [(one.suits.gpu, one) for one in candidates if one.installed and not one.pulled]
    if better := _best(later, gpu_mb):
        hint = f"; for the CUDA GPU run `hark pull {better.name}`"
    others = [(one.suits.cpu, one) for one in ready if one.name != FALLBACK]
    if (best := _best(others, machine.memory_mb)) and best.suits.cpu > _of_fallback(candidates):
        return Choice(best.name, f"the best that is pulled for a CPU with {machine.memory_mb / 1024:.0f} GiB{hint}")
    return Choice(FALLBACK, f"small and quick on a CPU{hint}")


def _best(ranked: list[tuple[int, Candidate]], memory_mb: int) -> Candidate | None:
    fitting = [(rank, one) for rank, one in ranked if rank and one.suits.memory_mb <= memory_mb]
    return max(fitting, key=lambda pair: (pair[0], pair[1].name))[1] if fitting else None


def _of_fallback(candidates: Sequence[Candidate]) -> int:
    return next((one.suits.cpu for one in candidates if one.name == FALLBACK), 0)
