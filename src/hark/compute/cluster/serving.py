"""What Ray is told of the workers: Serve's declarative configuration, and the environment of every node.

Rule: each value that is not Ray's own default says why, where it is written down. No key is ever written: what a worker
needs besides its `args` it reads from the environment of its node, as `hark serve` does.

Imports nothing of Ray's; tests hold what is here to Ray's own schema and constants.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any, Final, TypeAlias

from msgspec import Struct

from hark.compute.cluster.address import PORT
from hark.compute.cluster.wire import application
from hark.models.catalog import DEFAULT_ENGINE

DEPLOYMENT: Final = "Transcriber"
IMPORT_PATH: Final = "hark.compute.cluster.ray_serve:application"
SERVICER: Final = "hark.compute.cluster.service.add_transcriber_to_server"
# Serve's HTTP is asked for its health alone. Its own port, 8000, is that of `hark serve`.
HTTP_PORT: Final = 8001
# Open streams for a core of a worker. With the default engine a machine carries 76 live sessions a core, all told
# (docs/performance.md); a gateway takes a third of that work, and so a worker's cores stay below what they can do.
STREAMS_A_CORE: Final = {DEFAULT_ENGINE: 75, "scripted": 75}
# Of other engines, and of GPUs, nobody knows before measuring (`hark bench`): these are assumed.
STREAMS_ELSE: Final = 8
STREAMS_A_GPU: Final = 100
# Replicas are added where the mean passes this share of what one carries: a new one takes seconds to load its model.
FULL_ENOUGH: Final = 0.6

WHERE: Final = """\
Loopback is for one machine. With several nodes: 0.0.0.0, on a private network, and a HARK_COMPUTE_TOKEN."""
ROUTE: Final = """\
Nothing is served over HTTP, but an application without a prefix gets no HAProxy."""
QUEUED: Final = """\
Of the streams that a full replica gets, this many wait (1 is the least that Serve takes); the others are refused
(RESOURCE_EXHAUSTED), and their gateways try another replica. Without it all would wait, unseen."""
GRACE: Final = """\
A replica that is to end keeps its streams for so long. A gateway leaves a stream after 60 s (--compute-rotate-seconds)
when a turn is over, after twice that at any pause; what is longer is told to another replica, and nothing is lost."""
LEAST_GRACE_S: Final = 120
HEALTH: Final = """\
A frozen replica is replaced after three such failures. HAProxy has sent no new streams there long before."""
SCALING: Final = """\
By open streams: about one for each session that spoke in the last minute."""


class Variable(Struct, frozen=True):
    """One of the environment of Ray's nodes, and why."""

    name: str
    value: str
    why: str


# On every node, and before `ray start`: processes of Ray's read them when they begin.
VARIABLES: Final = (
    Variable(
        "RAY_SERVE_ENABLE_HA_PROXY",
        "1",
        "HAProxy before the replicas: 2.3 ms for a request of 160 KB, 10 ms behind Serve's proxy in Python.",
    ),
    Variable(
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S",
        "600",
        "A change of replicas leaves streams to an old process, which ends after this time and cuts those that are "
        "left. Streams live for 120 s and a turn.",
    ),
    Variable(
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER",
        "300ms",
        "A frozen replica gets no new stream after 3 x this and 250 ms: before a gateway's patience, 1.5 s, is over.",
    ),
    Variable(
        "RAY_SERVE_HAPROXY_MAXCONN",
        "4000",
        "Connections of a node's HAProxy: one for 50 streams of a gateway, and those to replicas. It wants 2.5 "
        "descriptors for each (ulimit -n 65536) and does not start with fewer.",
    ),
    Variable(
        "RAY_SERVE_HAPROXY_H2_FE_MAX_CONCURRENT_STREAMS",
        "1000",
        "Streams of one connection: with 100, Ray's own, the next one waits in the gateway while others are shunned.",
    ),
    Variable("RAY_SERVE_HAPROXY_H2_BE_MAX_CONCURRENT_STREAMS", "1000", "The same towards replicas."),
    Variable(
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT",
        "31001",
        "Ports of replicas, beside those for HTTP, 30000 to 31000: Ray's own, 40000 to 41000, are among those that "
        "Linux hands out to anybody.",
    ),
    Variable("RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT", "32000", "The last of them."),
    Variable(
        "RAY_gcs_rpc_server_reconnect_timeout_s",
        "600",
        "A node works on without its head for so long. Ray's own 60 s would end all workers before a head is back.",
    ),
    Variable(
        "RAY_worker_niceness",
        "0",
        "Workers beside gateways get as much of a core as these. Ray's own 15 lets everything else go first.",
    ),
    Variable("RAY_USAGE_STATS_ENABLED", "0", "Nothing is told to anybody."),
)
AUTH: Final = "RAY_AUTH_MODE"
AUTH_WHY: Final = {
    "token": "Whoever speaks to the head shows a token: RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, the same on all nodes. "
    "It says nothing of port 9000: that is HARK_COMPUTE_TOKEN's.",
    "disabled": "Whoever reaches this machine may run any program as this user: Ray listens on all of its addresses.",
}


class Worker(Struct, frozen=True):
    """The replicas of one engine. `least` < `most`: their number follows the open streams. `streams`: how many a
    replica carries at once. `args`: what the worker is told, by the names of Settings, besides its model.
    `rotate_s`: when gateways leave a stream."""

    engine: str
    least: int
    most: int
    streams: int
    cpus: float
    gpus: float
    args: Mapping[str, Any]
    rotate_s: float = 60.0


def streams_of(engine: str, cpus: float, gpus: float) -> int:
    """How many streams a replica of this size is to carry, where nobody has said."""
    a_core = STREAMS_A_CORE.get(engine, STREAMS_ELSE)
    return max(1, round(gpus * STREAMS_A_GPU if gpus else cpus * a_core))


# ---- Serve's configuration


class _Why(Struct, frozen=True):
    """A value, and what stands above it as a comment."""

    value: Any
    why: str


_Tree: TypeAlias = Mapping[str, Any]


def serve_config(workers: Sequence[Worker], *, host: str, port: int = PORT, http_port: int = HTTP_PORT) -> str:
    """YAML for `serve deploy`, with comments. `host`: where the ingress of each node listens."""
    return "\n".join(_lines(_config(workers, host, port, http_port), "")) + "\n"


def _config(workers: Sequence[Worker], host: str, port: int, http_port: int) -> _Tree:
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": _Why(host, WHERE), "port": http_port},
        "grpc_options": {"port": port, "grpc_servicer_functions": [SERVICER]},
        "logging_config": {
            "encoding": "TEXT",
            "log_level": "INFO",
            "enable_access_log": _Why(False, "It would be a line for each stream, each minute."),
        },
        # What the first one has explained, the others only say.
        "applications": [_application(workers[0]), *(_bare(_application(worker)) for worker in workers[1:])],
    }


def _application(worker: Worker) -> _Tree:
    name = application(worker.engine)
    return {
        "name": name,
        "import_path": IMPORT_PATH,
        "route_prefix": _Why(f"/{name}", ROUTE),
        "args": {"model": worker.engine, **worker.args},
        "deployments": [_deployment(worker)],
    }


def _deployment(worker: Worker) -> _Tree:
    resources: dict[str, float] = {"num_cpus": worker.cpus} | ({"num_gpus": worker.gpus} if worker.gpus else {})
    return {
        "name": DEPLOYMENT,
        "max_ongoing_requests": _Why(worker.streams, "Streams that a replica carries."),
        "max_queued_requests": _Why(1, QUEUED),
        **_number(worker),
        "graceful_shutdown_timeout_s": _Why(max(LEAST_GRACE_S, ceil(2 * worker.rotate_s)), GRACE),
        "health_check_period_s": _Why(2, HEALTH),
        "health_check_timeout_s": 5,
        "ray_actor_options": resources,
    }


def _number(worker: Worker) -> _Tree:
    if worker.least == worker.most:
        return {"num_replicas": worker.most}
    scaling = {
        "min_replicas": worker.least,
        "max_replicas": worker.most,
        "target_ongoing_requests": max(1, round(worker.streams * FULL_ENOUGH)),
        "look_back_period_s": 15,
        "upscale_delay_s": 5,
        "downscale_delay_s": _Why(300, "Talk comes in waves, and each end of a replica moves its streams."),
    }
    return {"autoscaling_config": _Why(scaling, SCALING)}


def _bare(value: Any) -> Any:
    """The same without comments."""
    match value:
        case _Why(inner):
            return _bare(inner)
        case Mapping():
            return {name: _bare(inner) for name, inner in value.items()}
        case list():
            return [_bare(inner) for inner in value]
    return value


def _lines(value: Any, indent: str) -> Iterator[str]:
    """YAML of mappings, lists and scalars. Strings are written as in JSON, of which YAML is a superset."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _entry(f"{indent}{name}:", inner, indent)
    else:
        for item in value:
            if isinstance(item, Mapping):
                first, *others = _lines(item, f"{indent}  ")
                yield f"{indent}- {first.lstrip()}"
                yield from others
            else:
                yield f"{indent}- {_scalar(item)}"


def _entry(key: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, _Why):
        for line in value.why.splitlines():
            yield f"{indent}# {line}"
        value = value.value
    if isinstance(value, Mapping | list):
        yield key
        yield from _lines(value, f"{indent}  ")
    else:
        yield f"{key} {_scalar(value)}"


def _scalar(value: str | float | bool) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, str):
        return json.dumps(value)
    plain = value[:1].isalpha() and value.replace("-", "").replace("_", "").isalnum() and value.isascii()
    return value if plain and value.casefold() not in _WORDS else json.dumps(value)


# What YAML takes for something else than text.
_WORDS: Final = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


# ---- the environment


def environment(auth: str) -> list[Variable]:
    """What every node is started with. `auth`: token or disabled."""
    return [*VARIABLES, Variable(AUTH, auth, AUTH_WHY[auth])]
