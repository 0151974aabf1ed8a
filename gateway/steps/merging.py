# SPDX-License-Identifier: Apache-2.0
"""Merging: the answers to several views of a row become one answer of the same form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from gateway.steps.probability import softmax

if TYPE_CHECKING:
    from gateway.wire.tensor import Array

Given: TypeAlias = Literal["probabilities", "logits", "values"]
Merge: TypeAlias = Literal["mean", "logits", "median", "vote"]

# The share of a class without a vote where the answer has to be a logarithm.
_NEVER: Final = 1e-9


def merged_scores(scores: Array, *, given: Given, merge: Merge) -> Array:
    """One answer of *scores* [views, n, ..., classes]: [n, ..., classes], again of kind *given*.

    ``mean`` is that of the probabilities, ``logits`` that of their logarithms (a geometric mean,
    brought to a sum of 1), ``median`` that of each class (brought to a sum of 1 too), ``vote`` the
    share of the views whose best class it is. What is *given* as logits comes back as logits, so
    that a softmax behind it gives the probabilities meant here. ``values`` are no classes: they
    have a mean or a median.
    """
    views = scores.astype(np.float64)
    average: Array = views.mean(axis=0)
    middle: Array = np.median(views, axis=0) if merge == "median" else average
    if given == "values":
        return middle
    if merge == "logits":
        return softmax(_log(views).mean(axis=0)) if given == "probabilities" else average
    if merge == "median":
        return _sum_to_one(middle) if given == "probabilities" else middle
    if merge == "vote":
        votes = views.argmax(axis=-1)[..., None] == np.arange(views.shape[-1])
        shares: Array = votes.mean(axis=0)
        return shares if given == "probabilities" else np.log(np.maximum(shares, _NEVER))
    if given == "probabilities":
        return average
    return _log(softmax(views).mean(axis=0))


def confidence(scores: Array, *, given: Given) -> Array:
    """The highest probability of each row of *scores* [n, classes], as [n]."""
    values = scores.astype(np.float64)
    highest: Array = (values if given == "probabilities" else softmax(values)).max(axis=-1)
    return highest


def agreeing(scores: Array, merged: Array) -> Array:
    """Of each row the first view whose best class is that of *merged*, as [n].

    *scores* are [views, n, classes], *merged* [n, classes]. The first view where none agrees.
    """
    agrees = scores.argmax(axis=-1) == merged.argmax(axis=-1)[None]
    first: Array = agrees.argmax(axis=0)
    return first


def _log(probabilities: Array) -> Array:
    # A probability of 0 in one view must not decide for all others.
    smallest = np.finfo(np.float32).tiny
    logarithms: Array = np.log(np.maximum(probabilities, smallest))
    return logarithms


def _sum_to_one(values: Array) -> Array:
    total = values.sum(axis=-1, keepdims=True)
    shares: Array = np.where(total > 0, values / np.where(total > 0, total, 1), values)
    return shares
