"""How people come, talk and go: all that is drawn at random in fleet.py, and what a turn asks of a model.

Rule: one generator with a seed draws everything, so a run can be repeated. Arrivals are a Poisson process whose rate
follows the day, drawn by thinning (Lewis and Shedler 1979): candidates come at the highest rate, and each stays with
the probability of its hour.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fleet_inputs import EARLY_S, LEAD_S, SHARE, STEP_S, TAIL_S, Inputs, lognormal

HOUR = 3600.0
LONGEST_TURN_S = 24.0  # the server cuts longer ones into segments, of 26 s at the most
LEAST_RUN_S = 0.15
SAMPLED = 20_000


class Talk:
    """`cycle_s`: from the beginning of a turn to that of the next, on average."""

    def __init__(self, inputs: Inputs, seed: object) -> None:
        self.chance = random.Random(f"{seed}")
        self._run = lognormal(inputs.run_mean_s, inputs.run_median_s)
        self._pause = (math.log(inputs.pause_median_s), inputs.pause_log_sd)
        self._more = 1 - 1 / inputs.runs_a_turn
        self._silence = inputs.silence_s
        self._session = (math.log(inputs.session_s) - inputs.session_log_sd**2 / 2, inputs.session_log_sd)
        turns = [self.turn() for _ in range(2_000)]
        spoken = sum(turn[-1][1] for turn in turns) / len(turns)
        self._gap = max(0.0, spoken / inputs.speech_share - spoken - inputs.silence_s)
        self.cycle_s = spoken + self._silence + self._gap

    def turn(self) -> list[tuple[float, float]]:
        """Runs of speech as seconds (from, to) of the turn, with pauses shorter than the silence that ends it."""
        chance, runs, at = self.chance, [], 0.0
        while True:
            until = min(at + max(LEAST_RUN_S, chance.lognormvariate(*self._run)), LONGEST_TURN_S)
            runs.append((at, until))
            if chance.random() >= self._more or until > LONGEST_TURN_S - 1:
                return runs
            pause = math.inf
            while not TAIL_S <= pause < self._silence:
                pause = chance.lognormvariate(*self._pause)
            at = until + pause

    def gap(self) -> float:
        """From the moment a turn is known to be over to the first word of the next."""
        return self.chance.expovariate(1 / self._gap) if self._gap else 0.0

    def session(self) -> float:
        return self.chance.lognormvariate(*self._session)


def arrivals(
    day: Sequence[float], peak_rate: float, since: float, until: float, chance: random.Random
) -> Iterator[float]:
    """Seconds of the day at which sessions come; `peak_rate` a second where `day` is 1."""
    top, now = max(day), since
    while (now := now + chance.expovariate(peak_rate * top)) < until:
        if chance.random() * top < level(day, now):
            yield now


def level(day: Sequence[float], now: float) -> float:
    """How busy it is, of the peak: between the figures of two hours on the line between them."""
    hour, part = divmod(now / HOUR, 1)
    first, second = day[int(hour) % len(day)], day[int(hour + 1) % len(day)]
    return first + (second - first) * part


def early(runs: Sequence[tuple[float, float]]) -> Iterator[float]:
    """The lengths of audio that a turn has transcribed at its pauses, the last of them its final one."""
    for number, (_, until) in enumerate(runs):
        last = number == len(runs) - 1
        if last or runs[number + 1][0] - until >= EARLY_S:
            yield until + LEAD_S + TAIL_S


def partials(runs: Sequence[tuple[float, float]]) -> Iterator[float]:
    """The lengths at which it asks for a partial hypothesis, if each is answered at once."""
    known = 0.0
    for first, until in runs:
        while (asked := max(known + step(known), first + LEAD_S)) <= until + LEAD_S:
            yield asked
            known = asked


def step(known: float) -> float:
    """How much has to come after a hypothesis about `known` seconds: PARTIAL_STEP, or a share of the new length."""
    return max(STEP_S, known / (SHARE - 1))


@dataclass(frozen=True)
class Demand:
    """A turn on average: its seconds, from the first word to the last; requests that end something, the seconds of
    audio in them, and of CPU in batches of `batch`; the same of partial ones if none of them had to wait."""

    spoken_s: float
    ends: float
    ends_s: float
    ends_cpu_s: float
    partials: float
    partials_s: float
    partials_cpu_s: float


def demand(inputs: Inputs, batch: int = 1) -> Demand:
    """By drawing turns, always the same ones."""
    talk = Talk(inputs, "demand")
    turns = [talk.turn() for _ in range(SAMPLED)]
    finals = [length for runs in turns for length in early(runs)]
    grown = [length for runs in turns for length in partials(runs)]

    def cpu(lengths: Sequence[float]) -> float:
        return inputs.draft_share * sum(inputs.cpu_batch_s(batch, length) / batch for length in lengths) / SAMPLED

    return Demand(
        spoken_s=sum(runs[-1][1] for runs in turns) / SAMPLED,
        ends=len(finals) / SAMPLED,
        ends_s=sum(finals) / SAMPLED,
        ends_cpu_s=cpu(finals),
        partials=len(grown) / SAMPLED,
        partials_s=sum(grown) / SAMPLED,
        partials_cpu_s=cpu(grown),
    )
