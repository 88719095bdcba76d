"""Everything at once, for as long as told: `python -m fuzz.run MINUTES [TARGET…]`; `make fuzz` runs it.

The targets share the time and the cores: each runs in a process of its own, as many at once as `FUZZ_JOBS` (2) says. A
process that ends before its time is started again. The last lines say how many inputs each target was given, and what
was found; where anything was, the exit status is 1.
"""

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzz import ROOT
from fuzz.corpus import FOUND, TARGETS

WIRE = ["wire-ga", "wire-beta", "wire-mixed", "wire-real"]
# libFuzzer starts and ends; machines shut their server down.
GRACE_S = 120
DONE = re.compile(r"stat::number_of_executed_units: (\d+)")
AT = re.compile(r"^#(\d+)\s", re.MULTILINE)
TRIED = re.compile(r"(\d+) (connections|frames|requests)")


def command(name, seconds):
    if not name.startswith("wire-"):
        return ["fuzz.guided", name, str(seconds)]
    kind = name.removeprefix("wire-")
    return ["fuzz.wire", *(["mixed", str(seconds), "--real"] if kind == "real" else [kind, str(seconds)])]


def run(name, seconds):
    """The inputs that were tried, and whether anything was found."""
    log, deadline, tried, failed = FOUND / "logs" / f"{name}.log", time.monotonic() + seconds, 0, False
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    while (left := round(deadline - time.monotonic())) > 2 and not failed:
        with log.open("a+", errors="replace") as output:
            begins = output.tell()
            path = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
            ran = subprocess.Popen(
                [sys.executable, "-m", *command(name, left)],
                stdout=output,
                stderr=output,
                env=os.environ | path,
                cwd=ROOT,
            )
            try:
                code = ran.wait(timeout=left + GRACE_S)
            except subprocess.TimeoutExpired:
                ran.kill()
                code = ran.wait()
        said = log.read_bytes()[begins:].decode(errors="replace")
        tried += inputs(name, said)
        failed = code != 0 or "FOUND " in said
    return tried, failed


def inputs(name, said):
    if name.startswith("wire-"):
        return sum(int(count) for count, _ in TRIED.findall(said.rpartition("tried:")[2]))
    done = DONE.findall(said) or AT.findall(said)
    return int(done[-1]) if done else 0


def main(minutes, *names):
    names = names or (*TARGETS, *WIRE)
    jobs = int(os.environ.get("FUZZ_JOBS", "2"))
    seconds = max(10, round(float(minutes) * 60 * jobs / len(names)))
    with ThreadPoolExecutor(jobs) as pool:
        results = dict(zip(names, pool.map(lambda name: run(name, seconds), names), strict=True))
    for name, (tried, failed) in results.items():
        print(f"{name:14} {tried:>12,} inputs   {'FOUND, see ' + str(shown(name)) if failed else 'nothing found'}")
    faults = sum(failed for _, failed in results.values())
    print(
        f"{sum(tried for tried, _ in results.values()):,} inputs in {seconds} s a target; faults in {faults} targets."
    )
    return 1 if faults else 0


def shown(name):
    return (FOUND / "logs" / f"{name}.log").relative_to(Path.cwd()) if Path.cwd() == ROOT else FOUND / "logs" / name


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
