"""The Compute of a server, by its settings: this machine alone, or with engines on a Ray cluster."""

from __future__ import annotations

import ssl
from typing import Final, Protocol

from hark.compute.cluster.address import Ingress, ingress
from hark.compute.scheduler import LocalCompute
from hark.config import Settings, read_file
from hark.core.work import Compute, Strain
from hark.errors import OperatorError
from hark.models.base import EngineModel
from hark.models.catalog import Catalog
from hark.models.files.pull import models_folder
from hark.telemetry.metrics import Metrics

MEBIBYTE: Final = 1024 * 1024


class Running(Compute, Protocol):
    """A Compute, and what the server does with it beside its sessions: on the loop, but for `stop`, which blocks."""

    async def start(self, *engines: str) -> None:
        """Make ready what every session needs, and these engines. Raises OperatorError or ModelError."""

    def strain(self) -> Strain: ...

    def look(self) -> None:
        """Note how everything is now."""

    async def keep_within_memory(self) -> None:
        """For as long as nobody cancels this."""

    async def leave(self) -> None:
        """Let go of what is elsewhere."""

    def stop(self) -> None: ...


def compute_of(
    settings: Settings, catalog: Catalog, threads: int | None, metrics: Metrics, *, explains: bool
) -> Running:
    """`threads`, `explains`: as in LocalCompute. On a running loop. Raises OperatorError."""
    where = ingress(settings.compute)
    models = catalog.models
    if where is not None:
        models = {name: model for name, model in models.items() if not isinstance(model, EngineModel)}
    local = LocalCompute(
        models,
        scorer=catalog.scorer.spec.name,
        judge=catalog.judge.spec.name if catalog.judge else None,
        speaker=catalog.speakers.spec.name if catalog.speakers else None,
        folder=models_folder(settings.models_dir),
        threads=threads,
        memory=settings.models_memory_mb and settings.models_memory_mb * MEBIBYTE // settings.workers,
        options=settings.model_option_table(),
        notes=metrics.models,
        explains=explains,
    )
    return local if where is None else _over(where, local, settings, metrics)


def _over(where: Ingress, local: LocalCompute, settings: Settings, metrics: Metrics) -> Running:
    try:
        from hark.compute.cluster.channels import Channels  # noqa: PLC0415
        from hark.compute.cluster.remote import ClusterCompute  # noqa: PLC0415

        root = _root(where, settings)
    except ImportError as error:
        raise OperatorError(
            f"--compute {settings.compute} needs a package that is not installed: {error.name}. "
            "Run `pip install 'hark[cluster]'`."
        ) from error
    token = settings.compute_token.get_secret_value() if settings.compute_token is not None else None
    channels = Channels(where.addresses, root, token)
    return ClusterCompute(local, channels, rotate_s=settings.compute_rotate_seconds, notes=metrics.cluster)


def _root(where: Ingress, settings: Settings) -> bytes | None:
    """As Channels takes it. Raises OperatorError if the file cannot be read or holds no certificate."""
    if not where.tls:
        return None
    if settings.compute_ca is None:
        return b""
    path = settings.compute_ca.expanduser()
    certificates = read_file("--compute-ca", path)
    try:  # gRPC would say of it that a handshaker could not be made
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificates)
    except (ssl.SSLError, ValueError) as error:
        raise OperatorError(
            f"--compute-ca {path}: expected certificates in PEM, each from -----BEGIN CERTIFICATE----- to its END; "
            "the file holds none that can be read. Name that of the authority that signed the workers' certificate."
        ) from error
    return certificates.encode()
