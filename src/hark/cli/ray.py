"""`hark ray`: what a Ray cluster is told so that its workers are those that gateways ask for.

Rule: standard output is the file alone, to be kept or piped. The settings are read as `hark serve` reads them, and what
may be a key is not among what is printed: it is named on standard error, and belongs into the nodes' environment.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from cyclopts import App, Parameter, validators
from rich.console import Console

from hark.compute.cluster.address import PORT
from hark.compute.cluster.serving import HTTP_PORT, Worker, environment, serve_config, streams_of
from hark.config import Settings
from hark.errors import OperatorError
from hark.models.base import EngineModel
from hark.models.catalog import configured, installed

Of = TypeVar("Of")

# What a worker is told by its application, and what it reads from its own environment: keys may be among that.
ARGS: Final = ("models_dir", "log_format")
FROM_ENVIRONMENT: Final = (
    "compute_token", "model_options", "upstream", "upstream_key", "upstream_model", "upstream_concurrency",
    "upstream_timeout_s", "upstream_partials",
)  # fmt: skip
WIDTH: Final = 118

ray_app = App(name="ray", help="Print what a Ray cluster is told of the workers that gateways ask for.")

_PORT: Final = validators.Number(gte=1, lte=65_535)

Auth = Annotated[Literal["token", "disabled"], Parameter(help="disabled is for a machine that nobody else reaches.")]


@ray_app.command
def config(
    *,
    model: Annotated[str | None, Parameter(help="As gateways have it.")] = None,
    aliases: Annotated[str | None, Parameter(help="As gateways have it: each of its models is an application.")] = None,
    env_file: Annotated[Path | None, Parameter(help="As gateways have it.")] = None,
    models_dir: Annotated[Path | None, Parameter(help="Folder with pulled model files on the workers' nodes.")] = None,
    threads: Annotated[
        int | None,
        Parameter(help="Cores that a replica uses. Default: its --cpus.", validator=validators.Number(gte=1)),
    ] = None,
    replicas: Annotated[
        str, Parameter(help="Of each model: N, or MIN-MAX to follow the open streams. 1-8,MODEL=2-4: one model apart.")
    ] = "1-4",
    streams: Annotated[
        str | None, Parameter(help="That a replica carries, N or N,MODEL=N. Default: by its cores, or its GPU.")
    ] = None,
    cpus: Annotated[str, Parameter(help="Cores of a replica, N or N,MODEL=N.")] = "2",
    gpus: Annotated[str, Parameter(help="GPUs of a replica, N or N,MODEL=N; 0.5 lets two share one.")] = "0",
    host: Annotated[str, Parameter(help="Where the ingress of each node listens.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Of its gRPC.", validator=_PORT)] = PORT,
    http_port: Annotated[int, Parameter(help="Of its HTTP, which tells health alone.", validator=_PORT)] = HTTP_PORT,
) -> None:
    """Print Serve's configuration, for serve deploy: an application for each model that the settings name."""
    if port == http_port:
        raise OperatorError(f"--port and --http-port are both {port}: expected a port for gRPC and another for HTTP.")
    given: dict[str, Any] = {
        "model": model,
        "aliases": aliases,
        "env_file": env_file,
        "models_dir": models_dir,
        "threads": threads,
    }
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    engines = _engines(settings)
    number = _each("--replicas", replicas, _range, engines)
    cores = _each("--cpus", cpus, _amount, engines)
    cards = _each("--gpus", gpus, _cards, engines)
    carried = _each("--streams", streams or "", _count, engines)
    workers = []
    for engine in engines:
        least, most = number[engine]
        size = cores[engine], cards.get(engine, 0.0)
        args = _args(settings) | {"threads": settings.threads or max(1, int(size[0]))}
        places = carried.get(engine) or streams_of(engine, *size)
        workers.append(Worker(engine, least, most, places, *size, args, settings.compute_rotate_seconds))
    print("# Written by `hark ray config`. Every node wants the environment of `hark ray env`.")
    print(serve_config(workers, host=host, port=port, http_port=http_port), end="")
    if kept := [f"HARK_{name.upper()}" for name in FROM_ENVIRONMENT if name in settings.model_fields_set]:
        _say(f"Not printed, for keys may be in it: {', '.join(kept)}. Put it into the environment of every Ray node.")


@ray_app.command
def env(*, auth: Auth = "token") -> None:
    """Print the environment that every node of the cluster needs before ray start, as lines NAME=value."""
    for variable in environment(auth):
        for line in textwrap.wrap(variable.why, WIDTH):
            print(f"# {line}")
        print(f"{variable.name}={variable.value}")


def _engines(settings: Settings) -> list[str]:
    """What gateways with these settings ask for. Raises OperatorError."""
    there = settings.model_copy(update={"compute": "ray://workers"})
    catalog = configured(installed(), there)
    named = [catalog.engine.spec.name, *(name for name, m in catalog.models.items() if isinstance(m, EngineModel))]
    return list(dict.fromkeys(named))


def _args(settings: Settings) -> dict[str, Any]:
    """What of the settings was set and is for workers."""
    told: dict[str, Any] = {name: getattr(settings, name) for name in ARGS if name in settings.model_fields_set}
    if path := told.get("models_dir"):
        told["models_dir"] = str(path if str(path).startswith("~") else path.absolute())
    return told


def _each(option: str, text: str, read: Callable[[str], Of | None], engines: list[str]) -> dict[str, Of]:
    """The value for each engine: VALUE, or VALUE,MODEL=VALUE. Raises OperatorError."""
    of_all: dict[str, Of] = {}
    of_one: dict[str, Of] = {}
    for entry in (part.strip() for part in text.split(",") if part.strip()):
        name, _, value = entry.rpartition("=")
        found = read(value.strip())
        known = [engine for engine in engines if engine.casefold() == name.strip().casefold()]
        if found is None or (name and not known) or (not name and of_all):
            raise OperatorError(
                f"{option} {text}: expected {_FORMS[option]}, and MODEL={_FORMS[option]} after a comma for one of "
                f"{', '.join(engines)}; got '{entry}'."
            )
        if name:
            of_one[known[0]] = found
        else:
            of_all = dict.fromkeys(engines, found)
    return of_all | of_one


_FORMS: Final = {
    "--replicas": "N or MIN-MAX", "--streams": "N", "--cpus": "a number", "--gpus": "a share of one or a whole number"
}  # fmt: skip


def _range(text: str) -> tuple[int, int] | None:
    least, _, most = text.partition("-")
    if least.isdecimal() and (most or least).isdecimal() and 1 <= int(most or least) >= int(least):
        return (int(least), int(most or least)) if most or int(least) else None
    return None


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() and int(text) else None


def _amount(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < 1_000 else None


def _cards(text: str) -> float | None:
    """Ray has no shares of more than one GPU."""
    number = _amount(text)
    return number if number is not None and (number <= 1 or number.is_integer()) else None


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)
