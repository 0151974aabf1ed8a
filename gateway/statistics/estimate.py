# SPDX-License-Identifier: Apache-2.0
"""Estimate: a figure that never stands without its rows and its interval, and what it says."""

from __future__ import annotations

from math import isfinite, isnan

import msgspec

from gateway.statistics.confidence_sequences import share_sequence
from gateway.statistics.intervals import Interval, Method, enough, share_interval


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A *value* of *n* rows, worth *effective* rows of equal weight, and the interval of the truth.

    *method* says how the interval was made. *always* is [lower, upper] of an interval that holds
    however often one looks, where there is one. A bound that is unknown is null in JSON.
    """

    value: float
    lower: float
    upper: float
    n: int
    effective: float
    method: str
    always: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        value: float,
        interval: Interval,
        n: int,
        *,
        method: str,
        effective: float | None = None,
        always: Interval | None = None,
    ) -> Estimate:
        """*value* of *n* rows with its *interval*; *effective* rows are *n* where not given."""
        # Plain floats: numpy's own have no place in JSON.
        return cls(
            value=float(value),
            lower=float(interval.lower),
            upper=float(interval.upper),
            n=n,
            effective=float(n if effective is None else effective),
            method=method,
            always=None if always is None else (float(always.lower), float(always.upper)),
        )

    @classmethod
    def share(
        cls,
        value: float,
        n: int,
        effective: float,
        *,
        level: float,
        always: bool = False,
        how: Method = "wilson",
    ) -> Estimate:
        """A share *value* of *n* rows with its interval by *how*, and one that holds *always*."""
        known = 0.0 if isnan(value) else value
        return cls.of(
            value,
            share_interval(known * effective, effective, level=level, how=how),
            n,
            method=how.replace("_", "-"),
            effective=effective,
            always=share_sequence(known * effective, effective, level=level) if always else None,
        )

    def __str__(self) -> str:
        if not isfinite(self.lower) or not isfinite(self.upper):
            return f"{self.value:.4f}"
        return f"{self.value:.4f} [{self.lower:.4f}, {self.upper:.4f}]"

    def sufficient(self, level: float) -> bool:
        """Whether there are rows enough for a verdict."""
        return enough(self.effective, level=level)


def accuracy_sentence(
    accuracy: Estimate, *, level: float, constant: object = None, constant_accuracy: float = 0.0
) -> str:
    """What an *accuracy* means, in words, beside always saying the class *constant*."""
    if not accuracy.n:
        return "No row has a label yet, so nothing is known of the accuracy."
    said = (
        f"Of {accuracy.n} labelled rows {accuracy.value:.2%} are right; with {level:.0%} "
        f"confidence the true share is between {accuracy.lower:.2%} and {accuracy.upper:.2%}."
    )
    if not accuracy.sufficient(level):
        said += " These are too few rows for a verdict."
    if constant is not None:
        better = "more" if accuracy.lower > constant_accuracy else (
            "less" if accuracy.upper < constant_accuracy else "not clearly more or less"
        )  # fmt: skip
        said += (
            f" Always saying '{constant}' would be right on {constant_accuracy:.2%}: the model is "
            f"right {better} often than that."
            if better in {"more", "less"}
            else f" Always saying '{constant}' would be right on {constant_accuracy:.2%}, which is "
            "within what these rows leave open."
        )
    return said
