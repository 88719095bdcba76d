"""The machines against a server, for as long as told: `python -m fuzz.wire MACHINE SECONDS [--real] [--shrink]`.

Each batch of examples has a seed of its own, which FUZZ_SEED=… tries again. The first fault ends the run, and is shown
as a program; to make that small may take minutes, and `--shrink` asks for it.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import run_state_machine_as_test

from fuzz.wire.machines import MACHINES, tried
from fuzz.wire.served import Served

PATIENCE_S = 5
BATCH = 5
STEPS = 40


def main(name, seconds, *flags):
    machine = MACHINES[name]
    real = {"HARK_MODEL": "auto", "HARK_VOICE_MODEL": "silero-vad", "HARK_TURN_MODEL": "smart-turn"}
    first = int(os.environ.get("FUZZ_SEED", time.time_ns() % 10**9))
    with tempfile.TemporaryDirectory() as folder:
        machine.server = Served(Path(folder), PATIENCE_S, **(real if "--real" in flags else {}))
        try:
            _run(machine, first, time.monotonic() + seconds, shrink="--shrink" in flags)
        finally:
            print("tried:", ", ".join(f"{count} {what}" for what, count in sorted(tried.items())), flush=True)
            machine.server.stop()


def _run(machine, first, deadline, *, shrink):
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    chosen = settings(
        max_examples=BATCH, stateful_step_count=STEPS, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=phases,
    )  # fmt: skip
    number = first
    while time.monotonic() < deadline:
        print(f"seed {number}", flush=True)
        try:
            run_state_machine_as_test(seed(number)(machine), settings=chosen)
        except FlakyStrategyDefinition as error:
            # What a machine may do next depends on whether the server has hung up yet, so an example may not repeat
            # itself; that alone is no fault.
            if _failed(error):
                raise
        number += 1


def _failed(error):
    """Whether a check failed before this was raised."""
    while error is not None and not isinstance(error, AssertionError):
        error = error.__cause__ or error.__context__
    return error is not None


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
