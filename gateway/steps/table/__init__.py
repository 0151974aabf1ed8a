# SPDX-License-Identifier: Apache-2.0
"""Records by name: a table of columns, the operations on them, and the step that brings them in."""

from typing import Final

from gateway.steps.table.bending import Log1p, Power, Quantile
from gateway.steps.table.categories import Hashing, OneHot, Ordinal
from gateway.steps.table.cleaning import Cast, Clip, Impute, Winsorize
from gateway.steps.table.derived import Bucketize, Copy, Cyclical, DateParts, Polynomial
from gateway.steps.table.operation import Operation
from gateway.steps.table.scaling import MaxAbs, MinMax, Robust, Scale, Standard

OPERATIONS: Final[dict[str, type[Operation]]] = {
    operation.kind: operation
    for operation in (
        Impute, Clip, Winsorize, Cast,
        Scale, Standard, MinMax, Robust, MaxAbs,
        Log1p, Power, Quantile,
        OneHot, Ordinal, Hashing,
        Bucketize, Polynomial, DateParts, Cyclical, Copy,
    )
}  # fmt: skip

__all__ = ["OPERATIONS", "Operation"]
