# SPDX-License-Identifier: Apache-2.0
"""Metrics: a Prometheus page, read twice, and what its counters have grown by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self, TypeAlias

from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.families import Telemetry

Labels: TypeAlias = tuple[tuple[str, str], ...]
# The metrics of a gateway, for their names.
OURS: Final = Telemetry()
_GAUGES: Final = frozenset({"gauge", "unknown"})


class Metrics:
    """The series of one page, by name and labels; *gauges* are names whose values are states."""

    def __init__(
        self, series: Mapping[str, Mapping[Labels, float]], gauges: frozenset[str]
    ) -> None:
        self._series = series
        self._gauges = gauges

    def __repr__(self) -> str:
        return f"<Metrics {len(self._series)} names>"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text format; ValueError for anything else."""
        series: dict[str, dict[Labels, float]] = {}
        gauges = set()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = tuple(sorted(sample.labels.items()))
                series.setdefault(sample.name, {})[labels] = sample.value
                if family.type in _GAUGES:
                    gauges.add(sample.name)
        return cls(series, frozenset(gauges))

    def since(self, before: Metrics) -> Metrics:
        """What counters have grown by; gauges as they are now.

        A counter that fell belongs to a process that began anew, and counts from 0.
        """
        grown: dict[str, dict[Labels, float]] = {}
        for name, values in self._series.items():
            old = {} if name in self._gauges else before._series.get(name, {})
            grown[name] = {
                labels: value - earlier if value >= (earlier := old.get(labels, 0.0)) else value
                for labels, value in values.items()
            }
        return Metrics(grown, self._gauges)

    def total(self, name: str, **labels: str) -> float:
        """The sum of the series of *name* that have *labels*; 0 where there are none."""
        wanted = set(labels.items())
        return sum(
            value for each, value in self._series.get(name, {}).items() if wanted <= set(each)
        )

    def count(self, histogram: str, **labels: str) -> float:
        """How many values *histogram* has counted."""
        return self.total(f"{histogram}_count", **labels)

    def sum(self, histogram: str, **labels: str) -> float:
        """The sum of the values that *histogram* has counted."""
        return self.total(f"{histogram}_sum", **labels)

    def mean(self, histogram: str, **labels: str) -> float | None:
        """The mean of what *histogram* has counted; None for nothing."""
        count = self.count(histogram, **labels)
        return self.sum(histogram, **labels) / count if count else None

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """The series of *name* that have *labels*, summed by *label*."""
        wanted = set(labels.items())
        found: dict[str, float] = {}
        for each, value in self._series.get(name, {}).items():
            if wanted <= set(each):
                key = dict(each).get(label, "")
                found[key] = found.get(key, 0.0) + value
        return found
