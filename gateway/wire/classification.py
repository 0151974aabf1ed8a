# SPDX-License-Identifier: Apache-2.0
"""The classification extension: the highest classes of an output as ``VALUE:INDEX[:LABEL]``."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from gateway.wire.tensor import Tensor, join_elements, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence


def classify(tensor: Tensor, count: int, *, batched: bool, labels: Sequence[str] = ()) -> Tensor:
    """The *count* highest elements of each row of *tensor*, highest first, as a BYTES tensor.

    Its shape is ``[rows, min(count, classes)]``, without *batched* ``[min(count, classes)]``. Of
    equal elements the lower index comes first; NaN is below everything.
    """
    rows = tensor.shape[0] if batched and tensor.shape else 1
    values = numbers(tensor).reshape(rows, prod(tensor.shape[1:] if batched else tensor.shape))
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    classes = values.shape[1]
    count = min(count, classes)
    keys = np.where(np.isnan(values), -np.inf, values) if values.dtype.kind == "f" else values
    # Sorted upwards from the right, so that reversing the order leaves ties in theirs.
    upwards = np.argsort(keys[:, ::-1], axis=1, kind="stable")
    highest = classes - 1 - upwards[:, ::-1][:, :count]
    texts = [
        _text(values[row, index].item(), index, labels)
        for row in range(rows)
        for index in highest[row].tolist()
    ]
    shape = (rows, count) if batched else (count,)
    return Tensor(tensor.name, "BYTES", shape, join_elements(texts))


def _text(value: float, index: int, labels: Sequence[str]) -> str:
    number = str(value) if isinstance(value, int) else f"{value:.6f}"
    return f"{number}:{index}:{labels[index]}" if index < len(labels) else f"{number}:{index}"
