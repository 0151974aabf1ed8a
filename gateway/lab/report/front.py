# SPDX-License-Identifier: Apache-2.0
"""Front: settings that were tried, and those among them that nothing else beats in everything."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as measured: *throughput* a second, *p99* in seconds, *memory* in bytes.

    *accuracy* is a share, None where it was not measured. *refused* says why it may not be used,
    such as the words of an accuracy gate; "" where it may.
    """

    label: str
    throughput: float
    p99: float
    memory: float | None = None
    accuracy: float | None = None
    settings: dict[str, str] = {}
    refused: str = ""
    # What ran before, and what was chosen in the end.
    is_default: bool = False
    is_chosen: bool = False


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """All *candidates* of a search; *reason* says why the chosen one was chosen, line by line."""

    candidates: tuple[Candidate, ...]
    reason: str = ""
    # Seconds within which 99 % must be; None without an SLO.
    p99_bound: float | None = None

    @property
    def best(self) -> tuple[Candidate, ...]:
        """Those that may be used and that no other one beats, by falling throughput."""
        return pareto(self.candidates)


def pareto(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Candidates such that none other is at least as good in everything and better in something."""
    usable = [one for one in candidates if not one.refused]
    kept = [one for one in usable if not any(_beats(other, one) for other in usable)]
    return tuple(sorted(kept, key=lambda one: -one.throughput))


def _beats(one: Candidate, other: Candidate) -> bool:
    pairs = [
        (one.throughput, other.throughput),
        (-one.p99, -other.p99),
        (-(one.memory or 0), -(other.memory or 0)),
        (one.accuracy or 0, other.accuracy or 0),
    ]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
