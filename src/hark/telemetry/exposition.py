"""Metrics as they travel: between the workers of a server as MessagePack, to Prometheus in its text format 0.0.4.

Rule: each sample says by the label `worker` whose it is, so that those of several never collide. Times of creation, of
which the library makes a series for each counter, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct, msgpack
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
WORKER: Final = "worker"


class Family(Struct, array_like=True):
    """`samples`: name, labels, value."""

    name: str
    words: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


_decoder: Final = msgpack.Decoder(list[Family])


def collected(registry: CollectorRegistry, worker: str) -> list[Family]:
    return [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [
                (sample.name, {**sample.labels, WORKER: worker}, float(sample.value))
                for sample in metric.samples
                if not sample.name.endswith("_created")
            ],
        )
        for metric in registry.collect()
    ]


def packed(families: list[Family]) -> bytes:
    return msgpack.encode(families)


def unpacked(body: bytes) -> list[Family]:
    """Raises msgspec.DecodeError."""
    return _decoder.decode(body)


def text(workers: Sequence[list[Family]]) -> bytes:
    """Of all workers: a family once, with the samples of each."""
    return generate_latest(_Merged(workers))


class _Merged:
    """What the library writes."""

    def __init__(self, workers: Sequence[list[Family]]) -> None:
        self._workers = workers

    def collect(self) -> Iterable[Metric]:
        return list(self._merged())

    def _merged(self) -> Iterator[Metric]:
        merged: dict[str, Metric] = {}
        for family in (family for families in self._workers for family in families):
            metric = merged.setdefault(family.name, Metric(family.name, family.words, family.kind))
            for name, labels, value in family.samples:
                metric.add_sample(name, labels, value)
        yield from merged.values()
