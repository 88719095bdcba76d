"""A worker on Ray Serve: one model, and the streams of gateways that use it.

A replica holds the same Compute that a server on one machine does, with one engine in it, in a process of its own:
batches are formed when the model is free (batching.py). To Serve a stream is one request, however long it lasts, so its
autoscaling counts open streams. `hark ray config` writes what `serve deploy` is told.

Needs `hark[ray]`. Nothing of the gateway imports this.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import grpc
from ray import serve
from ray.serve.grpc_util import RayServegRPCContext

from hark.compute.cluster import wire
from hark.compute.cluster.host import Host
from hark.compute.cluster.serving import DEPLOYMENT
from hark.compute.scheduler import LocalCompute
from hark.config import Settings
from hark.errors import OperatorError
from hark.models.base import EngineModel
from hark.models.catalog import configured, installed
from hark.models.files.pull import missing, models_folder, pull
from hark.telemetry import logs

log = logging.getLogger("hark.compute")


class _Bytes:
    """A message that is serialized already."""

    __slots__ = ("_message",)

    def __init__(self, message: bytes) -> None:
        self._message = message

    def SerializeToString(self) -> bytes:  # noqa: N802  (as Serve calls it)
        return self._message


class Transcriber:
    """`options`: settings of this model's worker by name, as `hark serve` has them: model, threads, models_dir … What
    is not there comes from the environment. Raises OperatorError or ModelError if the model cannot be loaded."""

    async def __init__(self, options: dict[str, Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        settings = Settings(**options)
        logs.set_up(logging.INFO, logs.Style(settings.log_format, None), settings.secrets())
        catalog = configured(installed(), settings)
        engine = catalog.engine
        assert isinstance(engine, EngineModel)
        folder = models_folder(settings.models_dir)
        if lacking := missing(engine.spec.files, folder):
            log.info("fetching %s", ", ".join(lacking))
            await asyncio.to_thread(pull, lacking, folder, progress=lambda name, done, size: None)
        self._compute = LocalCompute(
            {engine.spec.name: engine},
            folder=folder,
            threads=settings.threads,
            options=settings.model_option_table(),
        )
        await self._compute.start(engine.spec.name)
        worker = f"{serve.get_replica_context().replica_id.unique_id} (process {os.getpid()})"
        self._token = settings.compute_token.get_secret_value() if settings.compute_token is not None else None
        self._host = Host(self._compute, engine.spec.name, worker)

    async def Session(  # noqa: N802  (as in wire.py)
        self, messages: AsyncIterator[bytes], grpc_context: RayServegRPCContext
    ) -> AsyncIterator[_Bytes]:
        if not wire.admits(self._token, grpc_context.invocation_metadata()):
            grpc_context.set_code(grpc.StatusCode.UNAUTHENTICATED)
            grpc_context.set_details(
                "This worker has a token (HARK_COMPUTE_TOKEN), and the gateway showed another or none."
            )
            return
        async for answer in self._host.session(messages):
            yield _Bytes(answer)

    def __del__(self) -> None:  # what Serve calls when a replica has drained
        if compute := getattr(self, "_compute", None):
            compute.stop()


def application(options: dict[str, Any]) -> serve.Application:
    """What Serve's configuration names as import path, with `options` as its arguments. Raises OperatorError."""
    if not options.get("model"):
        raise OperatorError("The arguments of this application name no model. Expected args: {model: NAME}.")
    return serve.deployment(name=DEPLOYMENT)(Transcriber).bind(options)
