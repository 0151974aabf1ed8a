# SPDX-License-Identifier: Apache-2.0
"""Sampling: what weights and clusters do to a share of rows and to how sure it is.

A row that was kept with probability pi has the weight 1 / pi. W. G. Cochran, "Sampling
Techniques", 1977, chapters 6 and 9; C.-E. Särndal et al., "Model Assisted Survey Sampling", 1992.
"""

from __future__ import annotations

from math import nan

import numpy as np

from gateway.statistics.arrays import Floats, Values, weights_of


def effective_rows(weights: Values) -> float:
    """Kish's (sum w)^2 / sum w^2: how many rows of equal weight say as much as *weights* [n]."""
    weight = weights_of(weights, len(weights))
    squares = float(weight @ weight)
    return float(weight.sum()) ** 2 / squares if squares else 0.0


def hajek(
    outcomes: Values, probabilities: Values, *, of_this_stream: bool = False
) -> tuple[float, float]:
    """The mean outcome and its variance, of rows kept with *probabilities*: both [n].

    sum w y / sum w with w = 1 / pi, and sum w^2 (y - mean)^2 / (sum w)^2. *of_this_stream*: the
    target is the mean over this very stream and not the model's true share, which takes the factor
    1 - pi into each term (Poisson sampling). Raises ValueError for a probability outside (0, 1].
    """
    values = np.asarray(outcomes, dtype=np.float64)
    kept = np.asarray(probabilities, dtype=np.float64)
    if not ((kept > 0) & (kept <= 1)).all():
        raise ValueError("a selection probability outside of (0, 1]")
    weight = 1 / kept
    total = float(weight.sum())
    if not total:
        return nan, nan
    mean = float(weight @ values) / total
    terms = (weight * (values - mean)) ** 2
    if of_this_stream:
        terms *= 1 - kept
    return mean, float(terms.sum()) / total**2


def clustered_rows(outcomes: Values, clusters: Values, weights: Values | None = None) -> float:
    """How many independent rows the *outcomes* [n] are worth that come in *clusters* [n].

    p (1 - p) over the linearised variance of the mean, sum over clusters of (sum w (y - p))^2 over
    (sum w)^2. Repeats of one question are a cluster: they are right or wrong together. Without
    variance, where every outcome is the same, it is Kish's number of the clusters' weights.
    """
    values = np.asarray(outcomes, dtype=np.float64)
    weight = weights_of(weights, len(values))
    total = float(weight.sum())
    if not total:
        return 0.0
    _, places = np.unique(np.asarray(clusters), return_inverse=True)
    mean = float(weight @ values) / total
    within = np.bincount(places, weights=weight * (values - mean))
    variance = float(within @ within) / total**2
    spread = float(weight @ (values - mean) ** 2) / total
    # Where outcomes hardly differ, the ratio is noise; the clusters' weights bound it.
    bound = effective_rows(np.bincount(places, weights=weight))
    if variance <= 0 or spread <= 0:
        return bound
    return min(spread / variance, effective_rows(weight))


def post_stratified(
    outcomes: Values, strata: Values, stream: dict[int, float]
) -> tuple[float, float]:
    """The mean outcome over the whole *stream*, of labelled rows that are a chosen part of it.

    *outcomes* and *strata* are [n]; *stream* gives the number of all rows by stratum, such as
    predicted class by confidence. Returns mean and variance, sum over strata of share^2 s^2 / n.
    It assumes that within a stratum labels come whatever the outcome is. Strata without a label
    are left out; ValueError where none is left.
    """
    values, places = np.asarray(outcomes, dtype=np.float64), np.asarray(strata)
    parts = {one: values[places == one] for one in stream if (places == one).any()}
    known = sum(stream[one] for one in parts)
    if not known:
        raise ValueError("no stratum of the stream has a label")
    mean = variance = 0.0
    for one, rows in parts.items():
        share = stream[one] / known
        mean += share * float(rows.mean())
        # Of a single row nothing is known of its spread: that of a share at its widest.
        spread = float(rows.var(ddof=1)) if len(rows) > 1 else 0.25
        variance += share * share * spread / len(rows)
    return mean, variance


def post_stratified_sums(stream: Floats, rows: Floats, hits: Floats) -> tuple[float, float, float]:
    """`post_stratified` from sums by stratum, all [S]: of the stream, labelled, and labelled right.

    Returns the share right, its variance, and the part of the stream that is in strata with a
    label. (nan, nan, 0) where none has one.
    """
    known = (rows > 0) & (stream > 0)
    total = float(stream[known].sum())
    if not total:
        return nan, nan, 0.0
    share = stream[known] / total
    n = rows[known]
    right = (hits[known] / n).clip(0, 1)
    # As in `post_stratified`: the unbiased variance, and that of a share at its widest for one row.
    spread = np.where(n > 1, right * (1 - right) * n / np.maximum(n - 1, 1), 0.25)
    variance = float((share**2 * spread / n).sum())
    return float(share @ right), variance, total / float(stream.sum())
