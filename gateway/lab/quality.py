# SPDX-License-Identifier: Apache-2.0
"""Quality: the outcome of an evaluation, as JSON for programs and as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec
from rich.box import SIMPLE_HEAD
from rich.table import Table

from gateway.lab.metrics import (
    Average,
    accuracy,
    average_scores,
    class_scores,
    f1_interval,
    wilson,
)

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.lab.metrics import Classes, Counts, Interval

# Raised when a field changes its meaning or goes; new fields leave it.
SCHEMA_VERSION: Final = 1
# A terminal shows so many classes; the JSON has all of them.
_MOST_CLASSES: Final = 40
_MOST_CELLS: Final = 16


class Estimate(msgspec.Struct, frozen=True):
    """A share *value* of *n* rows and the interval of the true share."""

    value: float
    lower: float
    upper: float
    n: int

    @classmethod
    def of(cls, value: float, interval: Interval, n: int) -> Estimate:
        """*value* with its *interval*."""
        return cls(value, interval.lower, interval.upper, n)

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.lower:.4f}, {self.upper:.4f}]"


class AverageQuality(msgspec.Struct, frozen=True):
    """Precision, recall and F1 over all classes; these have no simple interval."""

    precision: float
    recall: float
    f1: float


class ClassQuality(msgspec.Struct, frozen=True):
    """One class: how many of its predictions and of its rows are right."""

    label: int | str
    precision: Estimate
    recall: Estimate
    f1: Estimate


class Quality(msgspec.Struct, frozen=True):
    """An evaluation. *confusion* counts rows by true class (rows) and predicted class (columns).

    *rule* says how *output* names a class: ``class`` or ``argmax``. *classes_from*: averages go
    over the classes that were ``seen`` or ``given``. *seconds* is the time of all requests.
    """

    schema_version: int
    model: str
    url: str
    protocol: str
    output: str
    rule: str
    data: str
    rows: int
    seconds: float
    finished: str
    level: float
    classes_from: str
    accuracy: Estimate
    averages: dict[str, AverageQuality]
    classes: list[ClassQuality]
    confusion: list[list[int]]

    @classmethod
    def of(cls, matrix: Counts, classes: Classes, *, level: float, **about: Any) -> Quality:  # noqa: ANN401 - fields of this class
        """The quality that the confusion *matrix* [C, C] of *classes* [C] shows.

        *about* gives the fields that say what was evaluated.
        """
        rows, right = int(matrix.sum()), int(matrix.trace())
        scores = class_scores(matrix)
        each = []
        for place, label in enumerate(classes.tolist()):
            hits = int(matrix[place, place])
            predicted, true = int(matrix[:, place].sum()), int(matrix[place].sum())
            each.append(
                ClassQuality(
                    label=label,
                    precision=Estimate.of(
                        float(scores.precision[place]),
                        wilson(hits, predicted, level=level),
                        predicted,
                    ),
                    recall=Estimate.of(
                        float(scores.recall[place]), wilson(hits, true, level=level), true
                    ),
                    f1=Estimate.of(
                        float(scores.f1[place]),
                        f1_interval(hits, predicted, true, level=level),
                        predicted + true - hits,
                    ),
                )
            )
        averages = {}
        for how in get_args(Average):
            average = average_scores(matrix, how)
            averages[how] = AverageQuality(
                float(average.precision), float(average.recall), float(average.f1)
            )
        return cls(
            schema_version=SCHEMA_VERSION,
            rows=rows,
            level=level,
            accuracy=Estimate.of(accuracy(matrix), wilson(right, rows, level=level), rows),
            averages=averages,
            classes=each,
            confusion=matrix.tolist(),
            **about,
        )

    def json(self) -> bytes:
        """This as an indented JSON object."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def show(self, console: Console) -> None:
        """Print it as tables."""
        console.print(
            f"{self.model}: {self.rows} rows of {self.data} by {self.protocol}, "
            f"{self.rule} of '{self.output}', {self.seconds:.2f} s",
            markup=False,
            highlight=False,
        )
        console.print(
            f"accuracy {self.accuracy} at level {self.level:g}", markup=False, highlight=False
        )
        table = Table("class", "precision", "recall", "F1", "rows", box=SIMPLE_HEAD)
        for one in self.classes[:_MOST_CLASSES]:
            table.add_row(str(one.label), *map(_cell, (one.precision, one.recall, one.f1)),
                          str(one.recall.n))  # fmt: skip
        if len(self.classes) > _MOST_CLASSES:
            table.add_row(f"… {len(self.classes) - _MOST_CLASSES} more")
        table.add_section()
        for name, average in self.averages.items():
            table.add_row(name, f"{average.precision:.3f}", f"{average.recall:.3f}",
                          f"{average.f1:.3f}", str(self.rows))  # fmt: skip
        console.print(table)
        if len(self.classes) <= _MOST_CELLS:
            names = [str(one.label) for one in self.classes]
            cells = Table("true \\ predicted", *names, box=SIMPLE_HEAD)
            for name, counts in zip(names, self.confusion, strict=True):
                cells.add_row(name, *(str(count) if count else "·" for count in counts))
            console.print(cells)


def _cell(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} {estimate.lower:.3f}-{estimate.upper:.3f}"
