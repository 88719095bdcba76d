"""A Ray cluster on this machine that a test does violence to: a head without room for replicas, workers beside it, a
Redis that outlives the head, and HAProxy on every node. What talks to it needs no Ray: deploys are declarative, through
the REST of the head's dashboard.

Rule: stopping leaves no process and no file; if the test itself is killed, the keepers end it all (raynode.py). All
listen on loopback, where Ray 2.60 can be told: it cannot for replicas' gRPC, its own, and HAProxy's figures.
"""

import json
import os
import shutil
import signal
import socket
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from raynode import INGRESS_PORTS, NODE_PORTS, RAY, SERVE, ClusterError, Kept, Node, free_block, read


@dataclass(frozen=True)
class Replica:
    id: str
    pid: int | None  # while it starts
    node: str | None
    state: str


class Cluster:
    """`with Cluster(python) as cluster:` has Redis, a head and `workers` nodes, each with room for `slots` replicas.

    `python` has ray[serve]; `paths` is what its processes import from; `variables` are added to their environment.
    """

    def __init__(self, python, *, workers=1, slots=4, paths=(), variables=None):
        self.python = Path(python)
        self.folder = Path(tempfile.mkdtemp(prefix="hark-ray-", dir="/tmp"))
        block = free_block(8 + NODE_PORTS * (workers + 1) + INGRESS_PORTS)
        self.gcs, self.dashboard, self.redis_port = block, block + 1, block + 2
        of_node = [range(block + 8 + NODE_PORTS * n, block + 8 + NODE_PORTS * (n + 1)) for n in range(workers + 1)]
        ingress = block + 8 + NODE_PORTS * (workers + 1)
        middle = ingress + INGRESS_PORTS // 2
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
        files = {
            "CONFIG_FILE_LOC": "haproxy.cfg", "SOCKET_PATH": "admin.sock", "SERVER_STATE_FILE": "state",
            "METRICS_SOCKET_PATH": "metrics.sock", "SERVER_STATE_BASE": "",
        }  # fmt: skip
        self.environment = {
            **kept, **RAY, **SERVE,
            **{f"RAY_SERVE_HAPROXY_{name}": str(self.folder / "ha" / file) for name, file in files.items()},
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(block + 4),
            "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(block + 5),
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ingress),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(middle),
            "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(middle),
            "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ingress + INGRESS_PORTS),
            "PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parent / "site", *paths))),
            **(variables or {}),
        }  # fmt: skip
        self.head = Node(self, "head", of_node[0], head=True)
        self.workers = [Node(self, f"worker{n}", of_node[n], slots=slots) for n in range(1, workers + 1)]
        self._config = self._redis = None

    def __enter__(self):
        try:
            self._start_redis()
            self.head.start()
            self._until("the head's REST", self._answers, node=self.head, within=60)
            for worker in self.workers:
                self.start_node(worker)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """End every process, and remove every file."""
        for node in (*self.workers, self.head):
            node.kill()
        if self._redis:
            self._redis.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_redis(self):
        program = shutil.which("redis-server")
        if program is None:
            raise ClusterError("there is no redis-server: apt-get install redis-server")
        command = [
            program, "--bind", "127.0.0.1", "--port", str(self.redis_port), "--save", "", "--appendonly", "no",
            "--dir", str(self.folder),
        ]  # fmt: skip
        self._redis = Kept(command, dict(os.environ), self.folder / "redis.log")
        self._until("Redis", lambda: reachable(self.redis_port), within=10)

    # What is asked of the head.

    def _rest(self, method, path, body=None, within=30):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.dashboard}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=within) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise ClusterError(f"{method} {path}: {error.code} {error.read().decode()[:2000]}") from error

    def _answers(self):
        try:
            self._rest("GET", "/api/serve/applications/", within=10)
        except (OSError, ClusterError):
            return False
        return True

    def nodes(self):
        """The ids of the nodes that are alive."""
        answer = self._rest("GET", "/nodes?view=summary")
        return [
            node["raylet"]["nodeId"]
            for node in answer["data"]["summary"]
            if node["raylet"].get("state", "ALIVE") == "ALIVE"
        ]

    def details(self):
        return self._rest("GET", "/api/serve/applications/")

    def deploy(self, config, *, within=120):
        """Put a declarative config (`applications`, and `grpc_options` with the servicer functions); wait for it."""
        self._config = {
            "proxy_location": "EveryNode",
            "http_options": {"host": "127.0.0.1", "port": self.head.http},
            **config,
            "grpc_options": {"port": self.head.grpc, **config["grpc_options"]},
        }
        self._rest("PUT", "/api/serve/applications/", self._config, within=60)
        if within:
            self.wait_until_healthy(within=within)

    def _changed(self, change, application, deployment):
        for app in self._config["applications"]:
            if application in (None, app.get("name")):
                for one in app["deployments"]:
                    if deployment in (None, one["name"]):
                        change(one)
        self.deploy(self._config, within=0)

    def scale(self, replicas, *, application=None, deployment=None):
        """Declare another count; nothing is awaited."""
        self._changed(lambda one: one.update(num_replicas=replicas), application, deployment)

    def update(self, user_config=None, *, application=None, deployment=None):
        """A rolling update: every replica is replaced by a new one; nothing is awaited."""

        def change(one):
            options = one.setdefault("ray_actor_options", {})
            variables = options.setdefault("runtime_env", {}).setdefault("env_vars", {})
            variables["HARK_TEST_ROLLED"] = str(int(variables.get("HARK_TEST_ROLLED", 0)) + 1)
            if user_config is not None:
                one["user_config"] = user_config

        self._changed(change, application, deployment)

    def replicas(self, application=None):
        """Those that the controller counts, starting and stopping ones too."""
        return [
            Replica(one["replica_id"], one.get("pid"), one.get("node_id"), one["state"])
            for name, app in self.details()["applications"].items()
            if application in (None, name)
            for deployment in app["deployments"].values()
            for one in deployment["replicas"]
        ]

    def running(self, application=None):
        return [one for one in self.replicas(application) if one.state == "RUNNING"]

    def wait_until_healthy(self, *, within=120):
        """Until every application runs, all nodes are there, and the HAProxy of each worker that has a replica knows
        all of them. Serve runs none where there is no replica."""
        wanted = sum(one.get("num_replicas", 1) for app in self._config["applications"] for one in app["deployments"])

        def healthy():
            details = self.details()
            states = {app["status"] for app in details["applications"].values()}
            replicas = [
                one for app in details["applications"].values()
                for deployment in app["deployments"].values() for one in deployment["replicas"]
            ]  # fmt: skip
            return (
                states == {"RUNNING"}
                and [one["state"] for one in replicas] == ["RUNNING"] * wanted
                and all(proxy["status"] == "HEALTHY" for proxy in details["proxies"].values())
                and len(self.nodes()) == 1 + len(self.workers)
                and all(
                    self.servers(worker) == {"UP": wanted}
                    for worker in self.workers
                    if not {one["pid"] for one in replicas}.isdisjoint(worker.pids())
                )
            )

        def settled():
            """Two looks half a second apart see the same HAProxy processes, so no reload is under way."""
            before = [self.serving_haproxy(worker) for worker in self.workers]
            time.sleep(0.5)
            return healthy() and before == [self.serving_haproxy(worker) for worker in self.workers]

        self._until("a healthy cluster", lambda: healthy() and settled(), within=within)

    def grpc_addresses(self):
        """Of each worker's HAProxy: what remains when the head is gone."""
        return [f"127.0.0.1:{worker.grpc}" for worker in self.workers]

    def servers(self, node):
        """How many replicas each state has for a node's HAProxy: {"UP": 3}."""
        counts = {}
        for row in self.haproxy(node, "show stat").splitlines():
            columns = row.split(",")
            if columns[0].startswith("grpc-") and columns[1].startswith("SERVE_REPLICA"):
                counts[columns[17].split()[0]] = counts.get(columns[17].split()[0], 0) + 1
        return counts

    def haproxy(self, node, command):
        """What a node's HAProxy answers on its socket, or nothing where there is none."""
        words = {word for pid in node.haproxies() for word in read(pid, "cmdline").split(b"\0")}
        for path in {Path(word.decode()).with_name("admin.sock") for word in words if word.endswith(b"haproxy.cfg")}:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(5)
                try:
                    link.connect(str(path))
                except OSError:
                    continue
                link.sendall(command.encode() + b"\n")
                link.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: link.recv(65536), b"")).decode()
        return ""

    def serving_haproxy(self, node):
        """The pid of the one that takes new streams; others have been left by a reload to finish theirs."""
        return next((line for line in self.haproxy(node, "show info").splitlines() if line.startswith("Pid:")), None)

    # Violence.

    def kill_replica(self, pid):
        self._signal(pid, signal.SIGKILL)

    def freeze(self, pid):
        self._signal(pid, signal.SIGSTOP)

    def thaw(self, pid):
        self._signal(pid, signal.SIGCONT)

    def _signal(self, pid, what):
        assert any(pid in node.pids() for node in (self.head, *self.workers)), f"{pid} is no process of this cluster"
        os.kill(pid, what)

    def kill_head(self):
        """Everything of the head at once: GCS, raylet, controller, dashboard, its HAProxy."""
        self.head.kill()

    def start_head_again(self, *, within=120):
        """The same Redis, the same ports; until the controller answers."""
        # A head refuses to start beside a raylet of its cluster, which it would not find on a machine of its own.
        (self.folder / "ray" / "ray_current_cluster").unlink(missing_ok=True)
        self.head.start()
        self._until("the head's REST", self._answers, node=self.head, within=within)
        self._until("all nodes", lambda: len(self.nodes()) == 1 + len(self.workers), within=within)

    def start_node(self, worker, *, within=60):
        """Start a worker, also one after its `kill()`; one at a time, for two would take the same names of sockets."""
        there = set(self.nodes())
        worker.start()
        self._until(worker.name, lambda: set(self.nodes()) - there, node=worker, within=within)

    def kill_haproxy(self, node):
        """All of a node's HAProxy processes, the ones that a reload left too."""
        pids = node.haproxies()
        assert pids, "there is no HAProxy"
        for pid in pids:
            self._signal(pid, signal.SIGKILL)
        return pids

    # Waiting, and what is said when it was in vain.

    def _until(self, what, holds, *, within, node=None):
        deadline = time.monotonic() + within
        while True:
            fault = None
            try:
                if holds():
                    return
            except (OSError, ClusterError) as error:
                fault = error
            if node is not None and node.exited():
                raise ClusterError(f"{node.name} exited before {what}\n{self.logs()}")
            if time.monotonic() > deadline:
                raise ClusterError(f"no {what} within {within} s ({fault})\n{self.logs()}")
            time.sleep(0.1)

    def logs(self, lines=25):
        """The ends of the logs that may say why."""
        files = [*self.folder.glob("*.log"), *self.folder.glob("*/*/*.std*.log")]
        session = self.folder / "ray" / "session_latest" / "logs"
        files += [*session.glob("serve/*"), *session.glob("gcs_server.out"), *session.glob("dashboard.err")]
        ends = []
        for file in sorted(file for file in files if file.is_file() and file.stat().st_size):
            tail = file.read_text("utf-8", "replace").splitlines()[-lines:]
            ends += [f"--- {file.relative_to(self.folder)}", *tail]
        return "\n".join(ends)


def reachable(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
