# SPDX-License-Identifier: Apache-2.0
"""How right the answers to a probe are, where its rows have labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.quality.probes.golden import FLOATS
from gateway.statistics.confusion import ConfusionMatrix
from gateway.statistics.figures import matrix_figures, multilabel_figures, regression_figures
from gateway.statistics.multilabel import Multilabel
from gateway.statistics.regression import Regression
from gateway.wire.tensor import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.statistics.estimate import Estimate
    from gateway.wire.tensor import Array, Tensor

_WANTED: Final = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
_HALF: Final = 0.5


def score(
    outputs: Sequence[Tensor], labels: Array, *, output: str = "", level: float = 0.95
) -> dict[str, Estimate]:
    """Figures of *outputs* [n, ...] beside *labels* [n, ...]; none where they say no such thing.

    Classes give accuracy, and macro precision, recall and F1; labels in columns of 0 and 1 subset
    accuracy and the same; numbers the errors. *output* names the one that is meant, where it is
    not the first that fits.
    """
    meant = [tensor for tensor in outputs if not output or tensor.name == output]
    if labels.ndim == 2:
        sets = next((found for each in meant if (found := _sets(each, labels)) is not None), None)
        if sets is None:
            return {}
        many = Multilabel(labels=labels.shape[1])
        many.add(labels, sets)
        return multilabel_figures(many, level=level)
    if labels.dtype.kind == "f":
        values = next((each for each in meant if _is_one(each) and each.datatype in FLOATS), None)
        if values is None:
            return {}
        errors = Regression()
        errors.add(labels, numbers(values).astype(np.float64).ravel())
        return regression_figures(errors, level=level)
    said = predicted(meant, labels)
    if said is None:
        return {}
    matrix = ConfusionMatrix()
    matrix.add(labels if labels.dtype.kind == "U" else labels.astype(np.int64), said)
    figures = matrix_figures(matrix.matrix(), np.random.default_rng(0), level=level)
    return {name: figures[name] for name in _WANTED}


def predicted(outputs: Sequence[Tensor], labels: Array) -> Array | None:
    """The class of each row, of the kind of *labels*: as an output names it, else the highest."""
    text = labels.dtype.kind in "US"
    for tensor in outputs:
        if not _is_one(tensor) or tensor.datatype in FLOATS:
            continue
        array = numbers(tensor).ravel()
        if tensor.datatype == "BYTES":
            names = np.asarray([item.decode("utf-8", "replace") for item in array.tolist()])
            if text:
                return names
            if all(name.lstrip("-").isdecimal() for name in names.tolist()):
                return names.astype(np.int64)
        elif not text:
            return array.astype(np.int64)
    for tensor in outputs:
        wide = len(tensor.shape) == 2 and tensor.shape[1] > 1
        if not text and tensor.datatype in FLOATS and wide:
            return np.asarray(numbers(tensor).argmax(axis=1).astype(np.int64))
    return None


def _sets(tensor: Tensor, labels: Array) -> Array | None:
    if tensor.shape != labels.shape or tensor.datatype == "BYTES":
        return None
    array = numbers(tensor)
    return np.asarray(array > _HALF if tensor.datatype in FLOATS else array != 0)


def _is_one(tensor: Tensor) -> bool:
    """Whether there is one element a row."""
    return bool(tensor.shape) and all(size == 1 for size in tensor.shape[1:])
