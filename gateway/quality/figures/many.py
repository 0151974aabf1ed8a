# SPDX-License-Identifier: Apache-2.0
"""Many: what is said where there are too many classes for a square of them, and of each class."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import nan
from typing import Final

import numpy as np

from gateway.quality.figures.answer import Baseline, ClassFigures, Confusion
from gateway.quality.figures.matrices import OTHER, main_figure, margins_of
from gateway.quality.figures.query import Query
from gateway.quality.figures.view import View
from gateway.statistics.arrays import ratio
from gateway.statistics.classification import Outcomes, average_scores, mean_defined
from gateway.statistics.estimate import Estimate
from gateway.statistics.figures import AVERAGES, class_figures
from gateway.statistics.intervals import Interval, Method

# With more classes a matrix of all pairs would be more than the rows behind it.
MOST_DENSE: Final = 1500
# An answer tells of so many classes one by one, those with the most rows.
MOST_TOLD: Final = 200
# The exact interval takes a millisecond: of more classes Wilson's is told.
_MOST_EXACT: Final = 20
_MOST_CELLS: Final = 4096
_LEFT_OUT: Final = (
    f"with more than {MOST_DENSE} classes averages have no interval, and neither Matthews' "
    "correlation nor kappa is told"
)
PARTS: Final = ("precision", "recall", "f1")
_UNKNOWN: Final = Interval(nan, nan)


@dataclass(slots=True)
class Scores:
    """Figures by name, the *main* one first, and what stands beside them."""

    main: str
    figures: dict[str, Estimate]
    average: str = ""
    averages: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    classes: list[ClassFigures] = field(default_factory=list)
    confusion: Confusion | None = None
    baseline: Baseline | None = None
    baselines: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def many_classes(view: View, query: Query, average: str) -> Scores:
    """The figures that need no matrix, as scikit-learn has them, averages without interval."""
    level = query.level or view.spec.level
    counts = margins_of(view)
    name, accuracy = main_figure(view, level=level, how=query.ci)
    averages: dict[str, dict[str, Estimate]] = {}
    for how in AVERAGES:
        scores = average_scores(counts, how, beta=query.beta, zero_division=query.zero_division)
        f1 = average_scores(counts, how, zero_division=query.zero_division).f
        averages[how] = {
            "precision": bare(float(scores.precision), view),
            "recall": bare(float(scores.recall), view),
            "f1": bare(float(f1), view),
        }
        if query.beta != 1:
            averages[how]["f_beta"] = bare(float(scores.f), view)
    balanced = mean_defined(ratio(counts.hit, counts.true))
    classes, notes = classes_of(
        view, query, counts, view.effective / counts.all if counts.all else 1.0
    )
    best = int(counts.true.argmax())
    share = float(counts.true[best] / counts.all) if counts.all else nan
    return Scores(
        main=name,
        figures={
            name: accuracy,
            "balanced_accuracy": bare(balanced, view),
            **averages[average],
        },
        average=average,
        averages=averages,
        classes=classes,
        confusion=_pairs(view),
        baseline=Baseline(view.spec.classes[best], share) if counts.all else None,
        baselines={"accuracy": share} if counts.all else {},
        notes=[_LEFT_OUT, *notes],
    )


def classes_of(
    view: View, query: Query, counts: Outcomes, scale: float
) -> tuple[list[ClassFigures], list[str]]:
    """The figures of each class, of many those with the most rows, and what is left out."""
    size, notes = len(counts.true), []
    kept = np.arange(size)
    if size > MOST_TOLD:
        kept = np.sort(np.argsort(-(counts.true + counts.predicted), kind="stable")[:MOST_TOLD])
        notes.append(f"of {size} classes the {MOST_TOLD} with the most rows are told one by one")
    how: Method = query.ci
    if how == "clopper_pearson" and len(kept) > _MOST_EXACT:
        how = "wilson"
        notes.append(f"single classes have Wilson's interval where there are over {_MOST_EXACT}")
    some = Outcomes(counts.hit[kept], counts.predicted[kept], counts.true[kept], counts.all)
    each = class_figures(
        some, level=query.level or view.spec.level, scale=scale, how=how,
        zero_division=query.zero_division,
    )  # fmt: skip
    names = view.spec.classes
    return [
        ClassFigures(names[place], **one) for place, one in zip(kept.tolist(), each, strict=True)
    ], notes


def _pairs(view: View) -> Confusion:
    """The cells with the most rows; the classes by place are those that these are of."""
    cells = view.labelled["cells"]
    order = np.argsort(-cells.table[:, 0], kind="stable")[:_MOST_CELLS]
    true, said = np.divmod(cells.keys[order], view.spec.size + 1)
    met, places = np.unique(np.concatenate((true, said)), return_inverse=True)
    names = [OTHER, *view.spec.classes]
    told = [
        (int(places[one]), int(places[one + len(order)]), round(rows), weight)
        for one, (rows, weight) in enumerate(cells.table[order, :2].tolist())
    ]
    return Confusion([names[each] for each in met.tolist()], told, len(cells.keys) - len(order))


def bare(value: float, view: View) -> Estimate:
    """A figure for which no interval is known."""
    return Estimate.of(value, _UNKNOWN, view.rows, method="none", effective=view.effective)
