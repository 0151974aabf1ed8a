# SPDX-License-Identifier: Apache-2.0
"""Slo: what a deployment promises, as a person writes it: ``p99=20ms,errors=0.1%``."""

from __future__ import annotations

import re
from typing import Final, Self

import msgspec

from gateway.lab import LabError
from gateway.units import format_duration, parse_duration, parse_share

_PERCENTILE: Final = re.compile(r"p([0-9]{1,2}(?:\.[0-9]{1,4})?)")
_EXAMPLE: Final = "such as p99=20ms,errors=0.1%"


class Bound(msgspec.Struct, frozen=True):
    """The *share* of requests, as 0.99, that must be answered with success within *seconds*."""

    share: float
    seconds: float

    @property
    def name(self) -> str:
        """As it was written: p99, p99.9."""
        return f"p{self.share * 100:.6g}"

    def __str__(self) -> str:
        return f"{self.name} <= {format_duration(self.seconds)}"


class Slo(msgspec.Struct, frozen=True):
    """*bounds* of the response time, and the share of *errors* that is allowed.

    A request that fails, is refused or never answered is within no bound of the response time.
    """

    bounds: tuple[Bound, ...] = ()
    errors: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """What *text* says; LabError where it cannot be read."""
        bounds: dict[str, Bound] = {}
        errors: float | None = None
        for part in text.split(","):
            name, equals, value = part.strip().partition("=")
            if not equals:
                raise LabError(f"SLO '{text}': expected name=value, {_EXAMPLE}, got '{part}'")
            if name == "errors":
                errors = _share(value)
            elif found := _PERCENTILE.fullmatch(name):
                bounds[name] = Bound(_percentile(found[1]), _seconds(name, value))
            else:
                raise LabError(f"SLO '{text}': no '{name}'; expected p50 to p99.9999 or errors")
        if not bounds:
            raise LabError(f"SLO '{text}': expected a bound of the response time, {_EXAMPLE}")
        return cls(tuple(sorted(bounds.values(), key=lambda one: one.share)), errors)

    def __str__(self) -> str:
        words = [str(one) for one in self.bounds]
        if self.errors is not None:
            words.append(f"errors <= {self.errors * 100:.6g} %")
        return ", ".join(words)

    @property
    def within(self) -> float:
        """Seconds within which an answer counts for goodput: the bound of the highest share."""
        return self.bounds[-1].seconds


def _seconds(name: str, value: str) -> float:
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise LabError(f"SLO {name}: {error}") from None
    if seconds <= 0:
        raise LabError(f"SLO {name}: expected a time above 0, got '{value}'")
    return seconds


def _share(value: str) -> float:
    try:
        share = parse_share(value)
    except ValueError as error:
        raise LabError(f"SLO errors: {error}") from None
    if not 0 < share < 1:
        raise LabError(
            f"SLO errors: expected a share between 0 and 1, such as 0.1%, got '{value}'; no number "
            "of requests proves that there are none"
        )
    return share


def _percentile(digits: str) -> float:
    percent = float(digits)
    if not 0 < percent < 100:
        raise LabError(f"SLO p{digits}: expected a percentile between 0 and 100")
    # 99.9 / 100 is not 0.999 in binary; nine digits of it are.
    return round(percent / 100, 9)
