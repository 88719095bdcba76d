"""A plan for many machines, and what a day does to it: the arithmetic of docs/scaling.md and a simulation of one cell.

    python benchmarks/fleet.py plan                                   # the arithmetic
    python benchmarks/fleet.py day [--kind gpu] [--sessions 1500] [--first-hour 9 --hours 1] [--json FILE]
    python benchmarks/fleet.py machine                                # the simulator against `make bench`
    python benchmarks/fleet.py page docs/scaling.md [--json FILE]     # all of them, into the page: `make fleet`

`--from FILE` writes the page from the figures of an earlier run.

What is known and what is assumed stands in fleet.toml; `--set load=0.7 --set rtc_share=0` tries other figures. A day of
a whole cell takes some minutes, of which most is incidents that are played turn by turn; the same seed gives the same
day. Times are those of the simulated clock, so nothing here depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fleet_day import Day, Player
from fleet_inputs import Inputs, load
from fleet_machine import most
from fleet_page import digest, inputs_lines, plan_lines, run_lines, written

GPU_SHARE = 4  # a quarter of a cell, for an hour: GPUs are assumptions, and one hour shows what follows from them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("plan", "day", "machine", "page"))
    parser.add_argument("page", type=Path, nargs="?", metavar="PAGE", help="of `page`: where the tables stand")
    parser.add_argument("--kind", choices=("cpu", "gpu"), default="cpu", help="workers of `day`")
    parser.add_argument("--sessions", type=int, help="at the peak; a cell's by default")
    parser.add_argument("--first-hour", type=float, default=0.0)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a figure of fleet.toml")
    parser.add_argument("--from", dest="kept", type=Path, metavar="FILE", help="of `page`: figures of an earlier run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    options = parser.parse_args()
    inputs = load().replaced(**{name: json.loads(value) for name, _, value in (s.partition("=") for s in options.set)})
    match options.what:
        case "plan":
            print("\n".join((*inputs_lines(inputs), "", *plan_lines(inputs))))
            return
        case "machine":
            run: dict[str, Any] = {"machine": machine(inputs)}
            print(json.dumps(run, indent=2))
        case "day":
            sessions = options.sessions or round(inputs.sessions / inputs.cells)
            run = one(inputs, options.kind, sessions, options.first_hour, options.hours, options.seed)
            print(json.dumps(run, indent=2))
        case _:
            if options.page is None:
                parser.error("page needs the PAGE to write")
            kept = options.kept and json.loads(options.kept.read_text("utf-8"))
            run = kept or everything(inputs, options.seed)
            text = options.page.read_text("utf-8")
            for block, lines in (
                ("inputs", inputs_lines(inputs)),
                ("plan", plan_lines(inputs)),
                ("run", run_lines(run)),
            ):
                text = written(text, block, lines)
            options.page.write_text(text, "utf-8")
    if options.json:
        options.json.write_text(json.dumps(run, indent=2) + "\n", "utf-8")


def everything(inputs: Inputs, seed: int) -> dict[str, Any]:
    begun = time.process_time()
    cell = round(inputs.sessions / inputs.cells)
    days = [one(inputs, "cpu", cell, 0.0, 24.0, seed), one(inputs, "gpu", cell // GPU_SHARE, 9.0, 1.0, seed)]
    run = {"inputs": digest(inputs), "seed": seed, "days": days, "machine": machine(inputs)}
    return run | {"seconds": round(time.process_time() - begun)}


def one(inputs: Inputs, kind: str, sessions: int, first_h: float, hours: float, seed: int) -> dict[str, Any]:
    player = Player(inputs, kind=kind, sessions=sessions, first_h=first_h, hours=hours, seed=seed)
    day: Day = player.play(lambda line: print(f"{kind}: {line}", file=sys.stderr))
    return {"sessions": sessions, "hours_played": hours, "seed": seed} | asdict(day)


def machine(inputs: Inputs) -> dict[str, int]:
    """Sessions that one machine carries: measured, simulated, and simulated with what batches take alone."""
    alone = inputs.replaced(crowding=1.0)
    found: dict[str, int] = {}
    for key, plain in (("batched", False), ("plain", True)):
        found[f"{key}_measured"] = int(inputs.machine["carried_plain" if plain else "carried"])
        found[key] = most(inputs, 300, plain=plain).sessions
        found[f"{key}_alone"] = most(alone, 300, plain=plain).sessions
    return found


if __name__ == "__main__":
    main()
