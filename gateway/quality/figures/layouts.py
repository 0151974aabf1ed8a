# SPDX-License-Identifier: Apache-2.0
"""Layouts: which tables rows go into, for labelled rows of each task and for all predictions.

Columns of labelled rows: *true* and *predicted* [n], *weight* [n], *delay* [n] int64 bins,
*question* [n] int64, *stated* [n] float64, *scores* [n, C] uint16 or None. *stated* is the
probability of what was predicted, nan where there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from gateway.quality.figures.cube import QUESTION_BITS, QUESTIONS, Entry, Layout, question_entries
from gateway.quality.figures.spec import MOST_EXPECTED, Spec
from gateway.statistics.arrays import Booleans, Integers, Values
from gateway.statistics.delays import BINS
from gateway.statistics.multilabel import row_columns
from gateway.statistics.questions import ALONE_WIDTH, QUESTION_WIDTH
from gateway.statistics.regression import moments_about
from gateway.statistics.sketch import sketch_keys
from gateway.wire.samples import FULL

# Divides into the fifteen bins of the calibration error and into ten for people.
CONFIDENCES: Final = 120
DECILES: Final = 10
# Rows by predicted class (its place + 1, 0 for none) and confidence; the last is "not said".
STRATA: Final = DECILES + 1

_SHARED: Final = {
    "delay": (BINS, 1),
    QUESTIONS: (1 << QUESTION_BITS, QUESTION_WIDTH),
    "alone": (1, ALONE_WIDTH),
}
# Half a part of a probability: where one was rounded to 0, it was about this.
_LEAST: Final = 0.5 / FULL


def labelled_layout(spec: Spec, *, centre: float = 0.0) -> Layout:
    """The tables of labelled rows; moments of a regression are kept about *centre*."""
    if spec.task == "regression":
        tables = {"moments": (1, 15), "errors": (1 << 22, 2), **_SHARED}
        return Layout(tables, _Numbers(centre))
    if spec.task == "multilabel":
        tables = {"columns": (spec.size, 4), "rows": (1, 11), **_SHARED}
        if spec.curves:
            tables["curves"] = (spec.curves * spec.bins, 4)
        return Layout(tables, _Sets(spec))
    size = spec.size + 1
    tables = {
        "cells": (size * size, 3),
        "strata": (size * STRATA, 3),
        "confidence": (CONFIDENCES, 6),
        "ranks": (size, 3),
        "losses": (1, 7),
        **_SHARED,
    }
    if spec.curves:
        tables["curves"] = (spec.curves * spec.bins, 4)
    return Layout(tables, _Classes(spec))


def stream_layout(spec: Spec) -> Layout:
    """The tables of all predictions, labelled or not.

    Columns: *predicted* [n] places (-1 for other tasks), *weight* [n], *stated* [n], *scores*
    [n, C] uint16 or None.
    """
    classes = spec.size if spec.task == "classification" else 0
    tables = {"strata": ((classes + 1) * STRATA, 3), "confidence": (CONFIDENCES, 6)}
    if 0 < classes <= MOST_EXPECTED:
        tables["expected"] = (classes, 4)
    return Layout(tables, _Stream(spec))


def strata_of(places: Integers, stated: Values) -> Integers:
    """The stratum of each row: *places* [n] are predicted classes, -1 for none."""
    known = ~np.isnan(stated)
    decile = np.ceil(np.where(known, stated, 0) * DECILES).clip(1, DECILES).astype(np.int64) - 1
    strata: Integers = (places + 1) * STRATA + np.where(known, decile, DECILES)
    return strata


def confidence_bins(stated: Values) -> Integers:
    """The bin of each probability, each with its upper end."""
    bins: Integers = np.ceil(stated * CONFIDENCES).clip(1, CONFIDENCES).astype(np.int64) - 1
    return bins


def bits_of(sets: Values, size: int) -> Booleans:
    """*sets* [n] uint64 as [n, size] of whether each label is there."""
    shifts = np.arange(size, dtype=np.uint64)
    bits: Booleans = ((sets.astype(np.uint64)[:, None] >> shifts) & np.uint64(1)).astype(bool)
    return bits


class _Stream:
    """All predictions."""

    def __init__(self, spec: Spec) -> None:
        self._expected = spec.task == "classification" and spec.size <= MOST_EXPECTED
        self._places = np.arange(spec.size)

    def __call__(
        self, predicted: Integers, weight: Values, stated: Values, scores: Values | None
    ) -> Iterator[Entry]:
        yield Entry("strata", strata_of(predicted, stated), (weight, weight * weight))
        known = ~np.isnan(stated)
        if known.any():
            f, w = stated[known], weight[known]
            columns = (w, w * f, w * f * f, w * f * (1 - f), w * w)
            yield Entry("confidence", confidence_bins(f), columns, known)
        if scores is not None and self._expected:
            n, size = scores.shape
            heavy = np.repeat(weight, size)
            chosen = (predicted[:, None] == self._places).ravel() * heavy
            each = (scores / FULL).ravel()
            yield Entry("expected", np.tile(self._places, n), (chosen, chosen * each, heavy * each))


class _Classes:
    """Rows of a classifier."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._bins = logit_bins(spec.bins)
        self._columns = np.asarray([spec.meant]) if spec.binary else np.arange(spec.curves)

    def __call__(self, *columns: Any) -> Iterator[Entry]:  # noqa: ANN401 - see above
        true, predicted, weight, delay, question, stated, scores = columns
        right = (true == predicted) & (true >= 0)
        cells = (true + 1) * (self._spec.size + 1) + predicted + 1
        yield Entry("cells", cells, (weight, weight * weight))
        yield Entry("delay", delay, ())
        yield from question_entries(question, weight, right.astype(np.float64))
        yield Entry("strata", strata_of(predicted, stated), (weight, weight * right))
        known = ~np.isnan(stated)
        if known.any():
            f, w, y = stated[known], weight[known], right[known]
            sums = (w, w * f, w * y, w * f * f, w * f * y)
            yield Entry("confidence", confidence_bins(f), sums, known)
        if scores is not None:
            yield from self._scored(true, weight, scores)

    def _scored(self, true: Integers, weight: Values, scores: Values) -> Iterator[Entry]:
        """What a row of all scores adds, for rows whose true class is configured."""
        named = true >= 0
        if not named.all():
            true, weight, scores = true[named], weight[named], scores[named]
        if not len(true):
            return
        size = self._spec.size
        own = np.take_along_axis(scores, true[:, None], axis=1)
        # Of equal scores the later column counts as higher, as in scikit-learn.
        later = np.arange(size) > true[:, None]
        ranks = ((scores > own) | ((scores == own) & later)).sum(axis=1).astype(np.int64)
        squares = weight * weight
        yield Entry("ranks", ranks, (weight, squares), named)
        stated = own[:, 0] / FULL
        whole = scores.astype(np.float64) / FULL
        brier = np.einsum("ij,ij->i", whole, whole) - stated * stated + (1 - stated) ** 2
        if size == 2:
            brier = brier / 2
        log = -np.log(np.maximum(stated, _LEAST))
        columns = (
            weight, squares, weight * brier, weight * brier**2, weight * log, weight * log**2
        )  # fmt: skip
        yield Entry("losses", np.zeros(len(true), dtype=np.int64), columns, named)
        if self._spec.curves:
            truth = true[:, None] == self._columns
            yield _curves(scores[:, self._columns], truth, weight, self._bins, named)


class _Sets:
    """Rows of a multilabel model: labels are the bits of *true* and *predicted*, uint64."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._bins = logit_bins(spec.bins)

    def __call__(self, *columns: Any) -> Iterator[Entry]:  # noqa: ANN401 - see above
        true, predicted, weight, delay, question, _, scores = columns
        size = self._spec.size
        truth, said = bits_of(true, size), bits_of(predicted, size)
        by_label, rows = row_columns(truth, said, weight)
        yield Entry("columns", np.tile(np.arange(size), len(true)), by_label)
        yield Entry("rows", np.zeros(len(true), dtype=np.int64), rows)
        yield Entry("delay", delay, ())
        exact = (truth == said).all(axis=1)
        yield from question_entries(question, weight, exact.astype(np.float64))
        if scores is not None and self._spec.curves:
            yield _curves(scores, truth, weight, self._bins, None)


class _Numbers:
    """Rows of a regression."""

    def __init__(self, centre: float) -> None:
        self._centre = centre

    def __call__(self, *columns: Any) -> Iterator[Entry]:  # noqa: ANN401 - see above
        true, predicted, weight, delay, question, *_ = columns
        size = np.abs(predicted - true)
        moments = moments_about(self._centre, true, predicted, weight)
        yield Entry("moments", np.zeros(len(true), dtype=np.int64), tuple(moments))
        yield Entry("errors", sketch_keys(size), (weight,))
        yield Entry("delay", delay, ())
        yield from question_entries(question, weight, size)


def _curves(
    scores: Values, truth: Booleans, weight: Values, bins: Integers, rows: Booleans | None
) -> Entry:
    size = scores.shape[1]
    keys = bins[scores] + np.arange(size) * (int(bins[-1]) + 1)
    heavy, ones = np.repeat(weight, size), truth.ravel()
    return Entry("curves", keys.ravel(), (ones.astype(float), heavy, heavy * ones), rows)


def logit_bins(bins: int) -> Integers:
    """The bin of each of the `FULL` + 1 probabilities, even on the logit scale.

    At both ends of the scale there are more bins than probabilities: some stay empty.
    """
    stated = np.arange(FULL + 1).clip(0.5, FULL - 0.5) / FULL
    logit = np.log(stated) - np.log1p(-stated)
    places = np.floor((logit / logit[-1] + 1) / 2 * bins)
    found: Integers = places.clip(0, bins - 1).astype(np.int64)
    return found
