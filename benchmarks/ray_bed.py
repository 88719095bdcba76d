"""What `ray_cost.py` measures: a Ray cluster on this machine with Hark's workers, servers with and without it, and the
CPU that each of them takes.

Rule: every process that is counted belongs to exactly one of GROUPS; what the machine did beside them is known too, for
figures count only from a machine that does nothing else. Linux only.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, structs

from hark.bench.processes import tree
from hark.models.files.pull import models_folder

ROOT: Final = Path(__file__).resolve().parents[1]
HARNESS: Final = ROOT / "tests" / "ray"
sys.path.append(str(HARNESS))

from cluster import Cluster  # noqa: E402 - what the tests of Ray start, too

PYTHON: Final = Path(os.environ.get("HARK_RAY_PYTHON", ROOT / ".clients" / "ray" / "bin" / "python"))
REAL: Final = "moonshine-tiny-en"
SCRIPTED: Final = "scripted"
# Of a server whose model answers at once.
SCRIPTED_ENV: Final = {"HARK_MODEL": SCRIPTED, "HARK_VOICE_MODEL": "scripted-vad", "HARK_TURN_MODEL": "none"}
REAL_ENV: Final = {"HARK_MODEL": REAL}
MOST: Final = 3  # replicas of the real model at once
SERVICER: Final = "hark.compute.cluster.service.add_transcriber_to_server"
REPLICA: Final = b"ray::ServeReplica"
GROUPS: Final = ("gateways", "workers", "haproxy", "ray", "generator")


def cluster() -> Cluster:
    """Not started: a head without room, and one node with room for all replicas."""
    return Cluster(
        PYTHON,
        workers=1,
        slots=MOST + 1,
        paths=[HARNESS, ROOT / "src"],
        variables={"HARK_MODELS_DIR": str(models_folder(None))},
    )


def deploy(bed: Cluster, replicas: dict[str, int]) -> None:
    """So many workers of each model, a thread each, and none of others."""
    bed.deploy(
        {
            "grpc_options": {"grpc_servicer_functions": [SERVICER]},
            "applications": [_application(model, count) for model, count in replicas.items()],
        }
    )


def _application(model: str, replicas: int) -> dict[str, Any]:
    return {
        "name": f"hark-{model}",
        "route_prefix": f"/hark-{model}",
        "import_path": "hark.compute.cluster.ray_serve:application",
        "args": {"model": model, "threads": 1},
        "deployments": [
            {
                "name": "Transcriber",
                "num_replicas": replicas,
                "max_ongoing_requests": 2000,
                "graceful_shutdown_timeout_s": 5,
            }
        ],
    }


def address(bed: Cluster) -> str:
    """For --compute."""
    return "ray://" + ",".join(bed.grpc_addresses())


# ---- CPU -----------------------------------------------------------------------------------------------------------


class Spent(Struct, frozen=True):
    """CPU seconds by group, of the whole machine with whatever else runs on it, and the time of day."""

    groups: dict[str, float]
    machine: float
    at: float

    def since(self, before: Spent) -> Spent:
        groups = {name: self.groups[name] - before.groups[name] for name in self.groups}
        return Spent(groups, self.machine - before.machine, self.at - before.at)

    @property
    def others(self) -> float:
        """Of processes that are none of ours."""
        return max(0.0, self.machine - sum(self.groups.values()))


def spent(server: int, bed: Cluster | None) -> Spent:
    """Up to now. `server`: the process of `hark serve`; what transcribes in processes below it counts as workers."""
    groups = dict.fromkeys(GROUPS, 0.0)
    groups["generator"] = time.process_time()
    for pid in tree(server):
        groups["workers" if b"hark.compute.process_main" in _command(pid) else "gateways"] += _cpu_s(pid)
    if bed is not None:
        pids = {pid for node in (bed.head, *bed.workers) for pid in node.pids()}
        work = {below for pid in pids if _command(pid).startswith(REPLICA) for below in tree(pid)}
        for pid in pids | work:
            group = "workers" if pid in work else "haproxy" if b"haproxy.cfg" in _command(pid) else "ray"
            groups[group] += _cpu_s(pid)
    return Spent(groups, _machine_s(), time.monotonic())


def rates(used: Spent, audio_s: float) -> dict[str, float]:
    """CPU in ms a second of audio by group, and cores that were busy."""
    milliseconds = {f"{name}_ms": round(1000 * cpu / max(0.1, audio_s), 2) for name, cpu in used.groups.items()}
    cores = {f"{name}_cores": round(cpu / used.at, 2) for name, cpu in used.groups.items()}
    whole = {"busy_cores": round(used.machine / used.at, 2), "others_cores": round(used.others / used.at, 2)}
    return milliseconds | cores | whole


def limited_by(row: dict[str, float], threads: int, gateways: int, cores: int) -> str:
    """What a level had little left of."""
    found = []
    if row["workers_cores"] >= 0.85 * threads:
        found.append("the workers' threads")
    if row["gateways_cores"] >= 0.85 * gateways:
        found.append("the gateways' threads")
    if row["busy_cores"] >= 0.85 * cores:
        found.append("the machine's cores")
    return " and ".join(found) or "neither cores nor threads: turns that end together"


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _cpu_s(pid: int) -> float:
    """Of the process itself: children that have ended are few here, and their time is small."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _machine_s() -> float:
    """All but idle and waiting for discs."""
    fields = list(map(int, Path("/proc/stat").read_text("utf-8").split("\n", 1)[0].split()[1:]))
    return (sum(fields[:8]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def merged(one: Spent, other: Spent) -> Spent:
    """Of two stretches of time."""
    groups = {name: one.groups[name] + other.groups[name] for name in GROUPS}
    return structs.replace(one, groups=groups, machine=one.machine + other.machine, at=one.at + other.at)
