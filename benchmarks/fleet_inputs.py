"""What the plan is reckoned from: fleet.toml, where each figure has its source and is either measured or assumed.

Rule: no number of the plan or of the simulator stands anywhere else, but for those that the server's own code has. A
time of a batch is fitted to what was measured, so that any length and size has one; the fit says how far off it is.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from hark.core.work import SAMPLE_RATE
from hark.errors import CallerError
from hark.models.moonshine.engine import plugin
from hark.session.jobs import LEAD, PARTIAL_SHARE, PARTIAL_STEP, TAIL

FILE: Final = Path(__file__).parent / "fleet.toml"
LEAD_S: Final = LEAD / SAMPLE_RATE
TAIL_S: Final = TAIL / SAMPLE_RATE
STEP_S: Final = PARTIAL_STEP / SAMPLE_RATE
SHARE: Final = PARTIAL_SHARE
# From the end of speech to the early request: the pause that is taken for one, a window of scores, a beat of the loop.
EARLY_S: Final = TAIL_S + 0.032 + 0.008
_SPEC: Final = plugin()[0].spec


@dataclass(frozen=True)
class Figure:
    """`value` is a number, but for `day`, which is one for each hour."""

    name: str
    value: Any
    unit: str
    what: str
    source: str
    measured: bool


@dataclass(frozen=True)
class Batching:
    """Of one replica: how many batches it runs at once, what one may hold, and seconds for (requests, longest in s)."""

    callers: int
    size: int
    audio_s: float
    takes: Callable[[int, float], float]


@dataclass
class Inputs:
    """Each figure is an attribute: `inputs.load`. `batches`: what was measured, as (seconds, requests, ms).
    `machine`: what one machine was measured doing."""

    figures: dict[str, Figure]
    batches: list[tuple[float, int, float]]
    machine: dict[str, float]
    fit: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.fit = fitted(self.batches)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["figures"][name].value
        except KeyError:
            raise AttributeError(f"fleet.toml has no figure '{name}'") from None

    def replaced(self, **values: Any) -> Inputs:
        """The same with other values. Raises CallerError for a name that there is not."""
        if unknown := sorted(set(values) - set(self.figures)):
            raise CallerError(f"Expected names of benchmarks/fleet.toml; it has no '{unknown[0]}'.")
        changed = {name: Figure(**{**vars(self.figures[name]), "value": value}) for name, value in values.items()}
        return Inputs(self.figures | changed, self.batches, self.machine)

    def cpu_batch_s(self, size: int, longest: float) -> float:
        """Seconds that one core takes for `size` turns of up to `longest` seconds, without drafts."""
        once, once_each, each, square = self.fit
        alone = once + once_each * longest + size * longest * (each + square * longest)
        seconds: float = self.crowding * alone / 1000
        return seconds

    def gpu_batch_takes_s(self, size: int, longest: float) -> float:
        return self.gpu_batch_ms / 1000 + size * longest / self.gpu_speed

    def worker(self, kind: str) -> Batching:
        """Of a replica on CPU cores, or on one GPU."""
        if kind == "gpu":
            return Batching(1, _SPEC.max_batch * 2, self.gpu_batch_s, self.gpu_batch_takes_s)
        return Batching(int(self.caller_cores), _SPEC.max_batch, _SPEC.max_batch_s, self.cpu_batch_s)


def fitted(batches: Iterable[tuple[float, int, float]]) -> tuple[float, ...]:
    """Least squares, relative to what was measured, of ms = a + b L + n (c L + d L²) for n turns of L seconds: what a
    batch costs once, and what each turn in it does, attention included."""
    rows = [(np.array([1, length, size * length, size * length**2]) / ms) for length, size, ms in batches]
    solution, *_ = np.linalg.lstsq(np.array(rows), np.ones(len(rows)), rcond=None)
    return tuple(map(float, solution))


def load(path: Path = FILE) -> Inputs:
    table = tomllib.loads(path.read_text("utf-8"))
    figures = {
        name: Figure(name, *row, measured=kind == "measured")
        for kind in ("measured", "assumed")
        for name, row in table[kind].items()
    }
    batches = [(float(length), int(size), float(ms)) for length, size, ms in table["batches"]["cpu"]]
    return Inputs(figures, batches, table["machine"])


def lognormal(mean: float, median: float) -> tuple[float, float]:
    """(mu, sigma) of the logarithm, by the mean and the median of what is drawn."""
    return math.log(median), math.sqrt(2 * math.log(mean / median))
