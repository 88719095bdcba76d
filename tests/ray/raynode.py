"""One node of the cluster: what it is started with, and every process of it.

Rule: every process stays under a keeper (keeper.py), and only what is under one is signalled, by its pid.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from keeper import descendants

ADDRESS = "127.0.0.2"  # Ray takes 127.0.0.1 for "find out which address this machine has"
NODE_PORTS = 16  # that a node takes of the block
INGRESS_PORTS = 200  # for the replicas of all nodes

# What Serve runs with; a deployment of one's own wants the same (docs/scaling.md says why).
SERVE = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "86400",
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "300ms",
    "RAY_SERVE_HAPROXY_MAXCONN": "4000",
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM": "leastconn",
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "5",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
    "RAY_SERVE_HAPROXY_H2_FE_MAX_CONCURRENT_STREAMS": "1000",
    "RAY_SERVE_HAPROXY_H2_BE_MAX_CONCURRENT_STREAMS": "1000",
}
RAY = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
    "RAY_worker_niceness": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_prestart_worker_first_driver": "0",
}


class ClusterError(AssertionError):
    """The cluster did not do what was asked in time; says what was awaited and what its logs end with."""


class Kept:
    """A command under its keeper."""

    def __init__(self, command, environment, log):
        keeper = [sys.executable, str(Path(__file__).with_name("keeper.py"))]
        with log.open("ab") as written:
            self._keeper = subprocess.Popen(
                [*keeper, *command], env=environment, stdin=subprocess.PIPE, stdout=written, stderr=written,
                cwd=log.parent,
            )  # fmt: skip

    def ended(self):
        return self._keeper.poll() is not None

    def pids(self):
        return descendants(self._keeper.pid)

    def kill(self):
        """Kill all of it at once, and see it gone."""
        deadline = time.monotonic() + 15
        while pids := self.pids():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert time.monotonic() < deadline, f"these processes could not be ended: {pids}"
            time.sleep(0.02)
        self._keeper.stdin.close()
        self._keeper.wait(10)


class Node:
    """One `ray start` and everything that it started."""

    def __init__(self, cluster, name, ports, *, head=False, slots=0):
        self.cluster, self.name, self.head, self.slots = cluster, name, head, slots
        (self.http, self.grpc, self.stats, self.metrics, *self._ports) = ports
        self._kept = None

    def start(self):
        manager, objects, agent, agent_grpc, runtime_env, exported = self._ports[:6]
        environment = {
            **self.cluster.environment,
            "RAY_SERVE_HAPROXY_STATS_PORT": str(self.stats),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(self.metrics),
        }
        command = [
            str(self.cluster.python), "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats",
            f"--node-ip-address={ADDRESS}", f"--num-cpus={self.slots}", "--num-gpus=0",
            f"--object-store-memory={100 * 2**20}", f"--temp-dir={self.cluster.folder / 'ray'}",
            f"--node-manager-port={manager}", f"--object-manager-port={objects}",
            f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}",
            f"--runtime-env-agent-port={runtime_env}", f"--metrics-export-port={exported}",
            "--min-worker-port=0", "--max-worker-port=0", "--include-log-monitor=false",
        ]  # fmt: skip
        if self.head:
            environment["RAY_REDIS_ADDRESS"] = f"127.0.0.1:{self.cluster.redis_port}"
            command += [
                "--head", f"--port={self.cluster.gcs}", f"--ray-client-server-port={self.cluster.gcs + 3}",
                "--include-dashboard=true",
                "--dashboard-host=127.0.0.1", f"--dashboard-port={self.cluster.dashboard}",
            ]  # fmt: skip
        else:
            environment["RAY_SERVE_WORKER_PROXY_HTTP_PORT"] = str(self.http)
            environment["RAY_SERVE_WORKER_PROXY_GRPC_PORT"] = str(self.grpc)
            command += [f"--address={ADDRESS}:{self.cluster.gcs}"]
        self._kept = Kept(command, environment, self.cluster.folder / f"{self.name}.log")

    def exited(self):
        return self._kept is not None and self._kept.ended()

    def pids(self):
        """Every process of this node."""
        return self._kept.pids() if self._kept else []

    def haproxies(self):
        """Those that serve, and those that a reload left to finish their streams."""
        return [pid for pid in self.pids() if b"haproxy.cfg" in read(pid, "cmdline")]

    def kill(self):
        if self._kept:
            self._kept.kill()


def read(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def free_block(size):
    """The first of `size` ports in a row that nobody has, below those that the system hands out itself."""
    for _ in range(200):
        first = random.randrange(20_000, 32_000 - size)
        try:
            for port in range(first, first + size):
                with socket.socket() as probe:
                    probe.bind(("", port))
        except OSError:
            continue
        return first
    raise ClusterError(f"no {size} free ports in a row")
