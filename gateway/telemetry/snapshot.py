# SPDX-License-Identifier: Apache-2.0
"""Snapshot: what one process has counted, in a form that travels, merges and renders.

A snapshot carries its families' names and help, so that any process can render any other's.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]
Across = Literal["sum", "max"]


class FamilySnapshot(msgspec.Struct, frozen=True, array_like=True):
    """One metric with all of its samples: label values, and one number or sum and bucket counts."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    across: Across
    bounds: tuple[float, ...]
    samples: list[tuple[tuple[str, ...], list[float]]]


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """All metrics of *process* at the instant *written* of the machine's monotonic clock."""

    process: str
    pid: int
    written: float
    families: list[FamilySnapshot]


_decoder: Final = msgspec.msgpack.Decoder(Snapshot)


def encode(snapshot: Snapshot) -> bytes:
    """*snapshot* as msgpack."""
    return msgspec.msgpack.encode(snapshot)


def decode(data: bytes) -> Snapshot:
    """The snapshot in *data*; raises msgspec.DecodeError where there is none."""
    return _decoder.decode(data)


def without_gauges(snapshot: Snapshot) -> Snapshot:
    """*snapshot* of a process that is gone: what it counted stays true, what it held is no more."""
    families = [family for family in snapshot.families if family.kind != "gauge"]
    return Snapshot(snapshot.process, snapshot.pid, snapshot.written, families)


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """One snapshot of many processes; each family says whether its values add or the most wins.

    Where two processes disagree on a family's shape, the first one's shape is kept and the samples
    that do not fit it are left out.
    """
    families: dict[str, FamilySnapshot] = {}
    merged: dict[str, dict[tuple[str, ...], list[float]]] = {}
    for snapshot in snapshots:
        for family in snapshot.families:
            first = families.setdefault(family.name, family)
            shape = (first.kind, first.labels, first.bounds)
            if shape != (family.kind, family.labels, family.bounds):
                continue
            samples = merged.setdefault(family.name, {})
            for values, numbers in family.samples:
                known = samples.get(values)
                if known is None:
                    samples[values] = list(numbers)
                elif family.across == "max":
                    samples[values] = [max(pair) for pair in zip(known, numbers, strict=True)]
                else:
                    samples[values] = [sum(pair) for pair in zip(known, numbers, strict=True)]
    return Snapshot(
        process="",
        pid=0,
        written=0.0,
        families=[
            msgspec.structs.replace(family, samples=list(merged.get(name, {}).items()))
            for name, family in families.items()
        ],
    )


class _Families:
    """The families of a snapshot as the Prometheus library wants them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """One Prometheus metric a family."""
        for family in self._snapshot.families:
            yield _metric(family)


def _metric(family: FamilySnapshot) -> Metric:
    # Imported late: a process that only counts starts without the library.
    from prometheus_client.core import (  # noqa: PLC0415
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    labels = list(family.labels)
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=labels)
        limits = [*map(str, family.bounds), "+Inf"]
        for values, (total, *counts) in family.samples:
            buckets = list(zip(limits, accumulate(counts), strict=True))
            histogram.add_metric(list(values), buckets=buckets, sum_value=total)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=labels)
    for values, numbers in family.samples:
        metric.add_metric(list(values), numbers[0])
    return metric


def render(snapshot: Snapshot) -> bytes:
    """*snapshot* in the Prometheus text format, of the media type `CONTENT_TYPE`."""
    from prometheus_client import generate_latest  # noqa: PLC0415
    from prometheus_client.registry import CollectorRegistry  # noqa: PLC0415

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(snapshot))
    return generate_latest(registry)
