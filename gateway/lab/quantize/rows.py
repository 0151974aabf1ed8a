# SPDX-License-Identifier: Apache-2.0
"""Rows: a data set for a change of a model: some calibrate it, the others judge it.

What has set the ranges of a quantised model is no evidence of how it does on other rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.lab import LabError
from gateway.lab.dataset import fit, read_arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.lab.dataset import Dataset
    from gateway.wire.model import TensorSpec
    from gateway.wire.tensor import Array

# Rows that set ranges: more do not move them much, and those of a rare class are missed by fewer.
CALIBRATION_ROWS: Final = 128
# Of a small set this share at most, so that most of it is left for the proof.
CALIBRATION_SHARE: Final = 0.25
_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Rows:
    """*dataset* with places of rows: *calibrate* and *judge* have none in common.

    *labelled* says whether its labels are true ones.
    """

    dataset: Dataset
    labelled: bool
    calibrate: Array
    judge: Array

    @property
    def labels(self) -> Array | None:
        """The labels of the rows that judge, or None where there are none."""
        return self.dataset.labels[self.judge] if self.labelled else None


def read(path: str, specs: Sequence[TensorSpec], *, batch: int, calibrates: bool) -> Rows:
    """The rows of the ``.npz`` file at *path* for the inputs *specs*, *batch* to a run.

    *calibrates*: some of them are put aside for that. Raises LabError.
    """
    arrays = read_arrays(path)
    labelled = "labels" in arrays
    if not labelled:
        # `fit` counts rows by labels; these are not looked at.
        first = next((arrays[one.name] for one in specs if one.name in arrays), None)
        first = arrays.get("inputs") if first is None and len(specs) == 1 else first
        if first is not None and first.ndim:
            arrays["labels"] = np.zeros(len(first), np.int64)
    dataset = fit(path, arrays, specs, rows=batch)
    places = np.random.default_rng(_SEED).permutation(len(dataset))
    unit = 1 if not dataset.fixed else dataset.rows
    count = 0
    if calibrates:
        count = min(CALIBRATION_ROWS, int(len(dataset) * CALIBRATION_SHARE))
        count = max(count - count % unit, unit)
        if count >= len(dataset):
            raise LabError(
                f"{path}: {len(dataset)} rows; expected some to calibrate with and some to judge by"
            )
    return Rows(dataset, labelled, np.sort(places[:count]), np.sort(places[count:]))
