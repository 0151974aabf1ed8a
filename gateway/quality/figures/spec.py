# SPDX-License-Identifier: Apache-2.0
"""Spec: what the answers of a model mean, as far as figures need to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Task = Literal["classification", "multilabel", "regression"]

# Areas under curves need a histogram a class and cohort: up to so many classes they are kept.
MOST_CURVES: Final = 16
# What probabilities promise of each class is summed up to so many classes.
MOST_EXPECTED: Final = 64
# Labels of a row travel as the bits of one number.
MOST_LABELS: Final = 64
# Of the last rows, scores are kept for up to so many classes.
MOST_KEPT: Final = 32
_BINS_OF_TWO: Final = 2048
_BINS_OF_MANY: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A model's *task*, its *classes* by place, and what is wanted of it.

    *positive* is the place of the class that precision and recall of two classes are about, None
    for more. *targets* are least values of figures by name (greatest, for errors). *level* is that
    of intervals, unless a reader asks for another.
    """

    task: Task
    classes: tuple[str, ...] = ()
    positive: int | None = None
    level: float = 0.95
    targets: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task != "regression" and not self.classes:
            raise ValueError(f"a {self.task} without classes")
        if self.task == "multilabel" and len(self.classes) > MOST_LABELS:
            raise ValueError(f"{len(self.classes)} labels; at most {MOST_LABELS} are counted")

    @property
    def size(self) -> int:
        """How many classes or labels there are."""
        return len(self.classes)

    @property
    def binary(self) -> bool:
        """Whether there are two classes, of which one is meant."""
        return self.task == "classification" and self.size == 2

    @property
    def meant(self) -> int:
        """The place of the class that two classes are about."""
        return 1 if self.positive is None else self.positive

    @property
    def curves(self) -> int:
        """Of how many columns of scores there are histograms: of two classes the one meant."""
        if self.task == "regression" or self.size > MOST_CURVES:
            return 0
        return 1 if self.binary else self.size

    @property
    def bins(self) -> int:
        """Bins of each histogram."""
        return _BINS_OF_TWO if self.curves == 1 else _BINS_OF_MANY

    @property
    def shape(self) -> tuple[Any, ...]:
        """What states of old rows depend on: with another shape they do not fit any more."""
        return (self.task, self.classes, self.positive)
