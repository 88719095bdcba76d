"""From the plan and the simulation to the tables of docs/scaling.md, and of the terminal.

Rule: what stands between the marks of the page comes from benchmarks/fleet.toml and one run, and from nothing else. The
tables of the plan are reckoned anew by a test; those of the run name the inputs that they were made with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fleet_inputs import Inputs
from fleet_plan import plan
from hark.errors import OperatorError

BLOCKS: Final = ("inputs", "plan", "run")
Run = Mapping[str, Any]


def marks(block: str) -> tuple[str, str]:
    return f"<!-- fleet {block}: `make fleet` writes what follows -->", f"<!-- end of fleet {block} -->"


def written(page: str, block: str, lines: Iterator[str]) -> str:
    """The page with these lines in that block. Raises OperatorError if it has no place for them."""
    begin, end = marks(block)
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise OperatorError(f"Expected a page with the two marks of 'fleet {block}', between which its tables stand.")
    return "\n".join((f"{before}{begin}\n", *lines, f"\n{end}{after}"))


def digest(inputs: Inputs) -> str:
    """Of all that the simulation is told: another value of any figure gives another one."""
    values = {name: figure.value for name, figure in inputs.figures.items()}
    told = json.dumps([values, inputs.batches, inputs.machine], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def table(heads: Sequence[str], rows: Iterator[Sequence[str]], numbers: int = 0) -> Iterator[str]:
    """`numbers`: how many columns after the first are numbers."""
    yield f"| {' | '.join(heads)} |"
    yield "|---" + "|---:" * numbers + "|---" * (len(heads) - 1 - numbers) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


# ---- inputs and arithmetic -----------------------------------------------------------------------------------------


def inputs_lines(inputs: Inputs) -> Iterator[str]:
    for measured, title, source in ((True, "measured", "by"), (False, "assumed", "because")):
        rows = (
            (f"`{figure.name}`", _value(figure.value, figure.unit), figure.what, figure.source)
            for figure in inputs.figures.values()
            if figure.measured is measured
        )
        yield from table((title, "value", "what it is", source), rows)
        yield ""
    once, once_each, each, square = inputs.fit
    yield (
        f"A batch of *n* turns, the longest of *L* seconds, takes a core {once:.1f} + {once_each:.1f} *L* + *n* "
        f"({each:.1f} *L* + {square:.2f} *L*²) ms, times `crowding`: fitted to `benchmarks/engine.py`, "
        f"{_worst(inputs):.0%} off at the most."
    )


def _worst(inputs: Inputs) -> float:
    """How far the fit is from what was measured alone."""
    return max(
        abs(inputs.cpu_batch_s(size, length) / inputs.crowding / ms * 1000 - 1) for length, size, ms in inputs.batches
    )


def plan_lines(inputs: Inputs) -> Iterator[str]:
    reckoned = plan(inputs)
    turn = reckoned.turn
    yield (
        f"A turn has {turn.spoken_s:.1f} s from its first word to its last. It asks a model for {turn.ends:.1f} "
        f"transcripts that may end it, of {turn.ends_s:.1f} s of audio in all and {turn.ends_cpu_s * 1000:.0f} ms of "
        f"CPU, and where there is time for up to {turn.partials:.1f} partial ones, of {turn.partials_s:.0f} s and "
        f"{turn.partials_cpu_s * 1000:.0f} ms. A session has {reckoned.turns_per_s * 60:.1f} turns a minute."
    )
    yield ""
    cells = f"each of {inputs.cells} cells"
    yield from table((f"{inputs.sessions:,} sessions", "all", cells, "how"), iter(reckoned.lines), 2)


def _value(value: Any, unit: str) -> str:
    if isinstance(value, list):
        return "24 figures"
    said = f"{value:,}" if isinstance(value, int) and value >= 10_000 else f"{value:g}"
    return f"{said} {unit}".strip()


# ---- a run ---------------------------------------------------------------------------------------------------------


def run_lines(run: Run) -> Iterator[str]:
    yield f"Inputs {run['inputs']}, seed {run['seed']}; {run['seconds'] / 60:.0f} minutes of one core."
    for day in run["days"]:
        yield ""
        yield from _whole(day)
        yield ""
        yield from _incidents(day)
        if len(day["hours"]) > 4:
            yield ""
            yield from _hours(day)
    yield ""
    yield from _machine(run["machine"])


def _whole(day: Run) -> Iterator[str]:
    counts = day["counts"]
    said = {"cpu": "CPU workers", "gpu": "GPUs"}[day["kind"]]
    yield from table(
        (f"{day['hours_played']:g} h of {day['sessions']:,} sessions at the peak, {said}", ""),
        iter(
            (
                ("sessions that came", f"{counts['came']:,}"),
                ("… refused for good, having come again", f"{counts['refused']:,}"),
                ("streams opened, by rotation as a rule", f"{counts['streams']:,}"),
                ("turns that were played", f"{day['turns']:,}"),
                ("end of the turn → its text: median, p95, p99", _waits(day)),
                ("… the longest", f"{day['longest_s']:.2f} s"),
                ("… over 1 s", f"{day['over_1_s']:.3%}"),
                ("turns lost with a worker", "0" if not counts["failed"] else f"{counts['failed']:,}"),
                ("turns lost with a gateway", f"{counts['lost_turns']:,}"),
                ("turns ended early by a drain", f"{counts['cut']:,}"),
                ("turns replayed on another worker", f"{counts['replays']:,}"),
                ("replicas, least and most", f"{day['least_replicas']} and {day['most_replicas']}"),
            )
        ),
        1,
    )


def _incidents(day: Run) -> Iterator[str]:
    heads = ("what happens", "longest wait", "p99", "over 1 s", "replayed", "lost turns", "moved clients", "refused")

    def rows() -> Iterator[Sequence[str]]:
        for one in day["incidents"]:
            counts = one["counts"]
            yield (
                one["name"],
                f"{one['longest_s']:.2f} s",
                f"{one['p99_s']:.2f} s",
                f"{one['over_1_s']:.2%}",
                f"{counts['replays']:,}",
                f"{counts['lost_turns'] + counts['failed'] + counts['cut']:,}",
                f"{counts['reconnects']:,}",
                f"{counts['refused']:,}",
            )

    yield from table(heads, rows(), len(heads) - 1)


def _hours(day: Run) -> Iterator[str]:
    heads = ("o'clock", "sessions", "replicas", "busy", "with what ends something", "p50", "p99", "longest wait")
    rows = (
        (
            f"{hour['hour']:.0f}",
            f"{hour['sessions']:,}",
            str(hour["replicas"]),
            f"{hour['busy']:.0%}",
            f"{hour['ending']:.0%}",
            f"{hour['p50_s']:.2f} s",
            f"{hour['p99_s']:.2f} s",
            f"{hour['longest_s']:.2f} s",
        )
        for hour in day["hours"][::2]
    )
    yield from table(heads, rows, len(heads) - 1)


def _waits(day: Run) -> str:
    return f"{day['p50_s']:.2f} s, {day['p95_s']:.2f} s, {day['p99_s']:.2f} s"


def _machine(machine: Run) -> Iterator[str]:
    heads = ("one machine, most sessions with p95 under 1 s", "measured", "simulated", "with `crowding` 1")
    rows = (
        (what, str(machine[f"{key}_measured"]), str(machine[key]), str(machine[f"{key}_alone"]))
        for key, what in (("batched", "as it is"), ("plain", "without batches and early finish"))
    )
    yield from table(heads, rows, 3)
