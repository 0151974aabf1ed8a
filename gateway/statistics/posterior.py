# SPDX-License-Identifier: Apache-2.0
"""Posterior: intervals of figures that have no formula, from draws of the confusion matrix.

The rows behind a matrix are multinomial; with a prior, the shares of its cells are Dirichlet, and
any figure of them can be drawn. C. Goutte and E. Gaussier, "A probabilistic interpretation of
precision, recall and F-score", 2005. The prior is the choice that matters: docs/decisions/0034.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from gateway.statistics.arrays import Booleans, Floats, ratio
from gateway.statistics.confusion import Matrix
from gateway.statistics.intervals import Interval

Figure = Literal["balanced_accuracy", "matthews", "kappa"]
DRAWS: Final = 2000
# So many cells are held in memory at once, 32 MB.
_MOST_CELLS: Final = 4_000_000
# With more classes most cells are empty, and only those that are not are drawn.
_DENSE: Final = 48


class Posterior:
    """Confusion matrices that could be behind the one seen, *draws* of them.

    The prior gives each class that occurs half a row that is right and half a row that is wrong,
    over all other classes together: Jeffreys' prior for the recall of the class. Its pull on the
    figures, which adds up over many classes, is taken off again: draws are moved so that their
    median is the figure itself. Weights count as effective rows. Draws come from *random*, so that
    the same seed gives the same interval.
    """

    def __init__(self, matrix: Matrix, random: np.random.Generator, *, draws: int = DRAWS) -> None:
        squares = float(matrix.squares.sum())
        cells = matrix.weights * (float(matrix.weights.sum()) / squares if squares else 1.0)
        met = (cells.sum(axis=0) + cells.sum(axis=1)) > 0
        size = len(cells)
        self._listed = matrix.listed
        self._seen = _Margins.of(cells[None])
        if size > _DENSE:
            self._drawn = _sparse(cells, met, random, draws)
            return
        prior = np.zeros_like(cells)
        known = np.flatnonzero(met)
        if len(known) > 1:
            prior[np.ix_(known, known)] = 0.5 / (len(known) - 1)
        prior[known, known] = 0.5
        shape = (cells + prior).ravel()
        count = max(200, min(draws, _MOST_CELLS // max(size * size, 1)))
        # Gamma variables are a Dirichlet up to their sum, which no figure here depends on.
        drawn = random.standard_gamma(shape, size=(count, len(shape))).reshape(count, size, size)
        # Every figure is one of the diagonal and the margins: far smaller than the matrices.
        self._drawn = _Margins.of(drawn)

    def average(
        self, part: Literal["precision", "recall", "f"], how: str, *, level: float = 0.95
    ) -> Interval:
        """The interval of an average of *part* over the listed classes, F with beta 1.

        *how* is "macro", "weighted" or "micro". A class without rows counts as 0, as it does by
        default in the figure itself.
        """
        return self._interval(lambda each: _average(each, self._listed, part, how), level, 0.0)

    def figure(self, name: Figure, *, level: float = 0.95) -> Interval:
        """The interval of a figure of the whole matrix."""
        return self._interval(_FIGURES[name], level, 0.0 if name == "balanced_accuracy" else -1.0)

    def _interval(
        self, figure: Callable[[_Margins], Floats], level: float, least: float
    ) -> Interval:
        if not self._seen.true.any():
            return Interval(least, 1.0)
        drawn = figure(self._drawn)
        value = float(figure(self._seen)[0])
        tail = (1 - level) / 2
        lower, middle, upper = np.quantile(drawn, [tail, 0.5, 1 - tail])
        moved = value - middle
        return Interval(
            float(min(value, max(least, lower + moved))), float(max(value, min(1.0, upper + moved)))
        )


@dataclass(frozen=True, slots=True)
class _Margins:
    """Hit, predicted and true weights of matrices, each [draws, C]."""

    hit: Floats
    predicted: Floats
    true: Floats

    @classmethod
    def of(cls, cells: Floats) -> _Margins:
        return cls(np.einsum("dii->di", cells).copy(), cells.sum(axis=1), cells.sum(axis=2))


def _sparse(cells: Floats, met: Booleans, random: np.random.Generator, draws: int) -> _Margins:
    """Draws of a matrix with many classes: of its cells that hold something.

    The half row that is wrong goes to the classes with which this one was confused, in equal parts,
    or to no class where there was none: spread over a thousand cells it would move none of them.
    """
    size = len(cells)
    shapes = cells.copy()
    known = np.flatnonzero(met)
    errors = cells > 0
    np.fill_diagonal(errors, val=False)
    each = errors.sum(axis=1)
    rows, columns = np.nonzero(errors)
    shapes[rows, columns] += 0.5 / each[rows]
    shapes[known, known] += 0.5
    rows, columns = np.nonzero(shapes)
    alone = known[each[known] == 0]
    count = max(200, min(draws, _MOST_CELLS // max(len(rows), 1)))
    true, predicted, hit = (np.zeros((count, size)) for _ in range(3))
    if not len(rows):
        return _Margins(hit, predicted, true)
    drawn = random.standard_gamma(shapes[rows, columns], size=(count, len(rows)))
    # Cells come by row, so that each row is one stretch; by column after a sort.
    present, starts = np.unique(rows, return_index=True)
    true[:, present] = np.add.reduceat(drawn, starts, axis=1)
    true[:, alone] += random.standard_gamma(0.5, size=(count, len(alone)))
    order = np.argsort(columns, kind="stable")
    present, starts = np.unique(columns[order], return_index=True)
    predicted[:, present] = np.add.reduceat(drawn[:, order], starts, axis=1)
    diagonal = np.flatnonzero(rows == columns)
    hit[:, rows[diagonal]] = drawn[:, diagonal]
    return _Margins(hit, predicted, true)


def _average(each: _Margins, listed: int, part: str, how: str) -> Floats:
    parts = (each.hit, each.predicted, each.true)
    hit, predicted, true = (one[:, :listed] for one in parts)
    if how == "micro":
        hit, predicted, true = (one.sum(axis=1, keepdims=True) for one in (hit, predicted, true))
    if part == "precision":
        values = ratio(hit, predicted, 0.0)
    elif part == "recall":
        values = ratio(hit, true, 0.0)
    else:
        values = ratio(2 * hit, predicted + true, 0.0)
    if how == "weighted":
        return np.asarray(ratio((values * true).sum(axis=1), true.sum(axis=1), 0.0))
    return np.asarray(values.mean(axis=1))


def _balanced(each: _Margins) -> Floats:
    present = (each.true > 0).sum(axis=1)
    return ratio(ratio(each.hit, each.true, 0.0).sum(axis=1), present, 0.0)


def _matthews(each: _Margins) -> Floats:
    predicted, true = each.predicted, each.true
    total = true.sum(axis=1)
    spread = (total**2 - (predicted**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1))
    above = each.hit.sum(axis=1) * total - (predicted * true).sum(axis=1)
    return ratio(above, np.sqrt(np.maximum(spread, 0.0)), 0.0)


def _kappa(each: _Margins) -> Floats:
    total = each.true.sum(axis=1)
    chance = ratio((each.predicted * each.true).sum(axis=1), total)
    return 1 - ratio(total - each.hit.sum(axis=1), total - chance, 0.0)


_FIGURES: Final[dict[Figure, Callable[[_Margins], Floats]]] = {
    "balanced_accuracy": _balanced,
    "matthews": _matthews,
    "kappa": _kappa,
}
