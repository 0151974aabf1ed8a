# SPDX-License-Identifier: Apache-2.0
"""Features: what is looked at of rows of tensors, as columns of numbers and of texts.

A tensor with up to `MOST_COLUMNS` elements a row is a column for each, NAME or NAME[3]; a larger
one, a picture or a sound, is summarised: its mean, deviation, extremes and share of zeros. A text
is a column of itself, cut off, and of its length. Of an output with a row of scores the highest and
its place are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.wire.tensor import numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.wire.samples import Column
    from gateway.wire.tensor import Array, Tensor

MOST_COLUMNS: Final = 64
MOST_FEATURES: Final = 256
# Characters of a text that tell it apart; longer ones are prose, of which the length says more.
MOST_TEXT: Final = 48
_FLOATS: Final = frozenset({"FP16", "BF16", "FP32", "FP64"})
_NEAR_ONE: Final = 0.01


@dataclass(slots=True)
class Features:
    """Columns of *rows* rows by name; *confidence* as `gateway.wire.samples.Observed` has it."""

    rows: int
    numbers: dict[str, Array] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    confidence: Column | None = None

    @property
    def names(self) -> list[str]:
        """All columns, numbers first."""
        return [*self.numbers, *self.texts]


def features_of(inputs: Iterable[Tensor], outputs: Iterable[Tensor]) -> Features:
    """The features of *inputs* and *outputs*, whose first dimension is that of rows.

    What has another number of rows than the first input is left out, and so is whatever is beyond
    `MOST_FEATURES`.
    """
    given = list(inputs)
    rows = given[0].rows if given else 0
    found = Features(rows)
    for tensor in given:
        if tensor.rows == rows and tensor.shape:
            _add(found, tensor.name, tensor)
    taken = set(found.names)
    for tensor in outputs:
        if tensor.rows != rows or not tensor.shape:
            continue
        name = tensor.name if tensor.name not in taken else f"{tensor.name}.out"
        if tensor.datatype in _FLOATS and len(tensor.shape) == 2 and tensor.shape[1] > 1:
            _add_scores(found, name, tensor)
        else:
            _add(found, name, tensor)
    return _cut(found)


def _cut(found: Features) -> Features:
    for name in found.names[MOST_FEATURES:]:
        found.numbers.pop(name, None)
        found.texts.pop(name, None)
    return found


def _add(found: Features, name: str, tensor: Tensor) -> None:
    if tensor.datatype == "BYTES":
        _add_texts(found, name, tensor.array().reshape(tensor.rows, -1))
        return
    array = numbers(tensor).reshape(tensor.rows, -1)
    columns = array.shape[1]
    if columns == 1:
        found.numbers[name] = array[:, 0]
    elif columns <= MOST_COLUMNS and len(tensor.shape) <= 3:
        for column in range(columns):
            found.numbers[f"{name}[{column}]"] = array[:, column]
    elif columns:
        _add_summary(found, name, array)


def _add_summary(found: Features, name: str, array: Array) -> None:
    wide = array.astype(np.float32, copy=False)
    with np.errstate(all="ignore"):
        found.numbers[f"{name}.mean"] = wide.mean(axis=1)
        found.numbers[f"{name}.std"] = wide.std(axis=1)
        found.numbers[f"{name}.min"] = wide.min(axis=1)
        found.numbers[f"{name}.max"] = wide.max(axis=1)
        found.numbers[f"{name}.zeros"] = (wide == 0).mean(axis=1)


def _add_texts(found: Features, name: str, array: Array) -> None:
    columns = array.shape[1]
    if not 1 <= columns <= MOST_COLUMNS:
        return
    for column in range(columns):
        label = name if columns == 1 else f"{name}[{column}]"
        items: Sequence[bytes] = array[:, column].tolist()
        found.texts[label] = [item[: MOST_TEXT * 4].decode("utf-8", "replace")[:MOST_TEXT]
                              for item in items]  # fmt: skip
        found.numbers[f"{label}.length"] = np.asarray([len(item) for item in items], np.float32)


def _add_scores(found: Features, name: str, tensor: Tensor) -> None:
    scores = numbers(tensor).astype(np.float64)
    with np.errstate(all="ignore"):
        highest = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1)
        top = scores.max(axis=1)
        likely = bool(
            len(scores)
            and scores.min() >= 0
            and scores.max() <= 1 + _NEAR_ONE
            and np.abs(scores.sum(axis=1) - 1).max() < _NEAR_ONE
        )
    found.numbers[f"{name}.class"] = highest
    found.numbers[f"{name}.top"] = top
    if likely and found.confidence is None:
        found.confidence = top.astype(np.float32)
