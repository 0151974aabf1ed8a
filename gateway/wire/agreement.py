# SPDX-License-Identifier: Apache-2.0
"""Agreement: whether two tensors are the same answer, up to the last digits."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from gateway.wire.tensor import Tensor, numbers

# onnxruntime chooses other kernels for other batch sizes, and padding to the longest row changes
# the last digits: relative differences of 1e-6 to 1e-4 are no other answer.
RELATIVE: Final = 1e-3
ABSOLUTE: Final = 1e-5
_FLOATS: Final = frozenset({"FP16", "BF16", "FP32", "FP64"})


def agree(one: Tensor, other: Tensor) -> bool:
    """Whether name, datatype and shape are equal and the elements equal or, if floats, close."""
    if (one.name, one.datatype, one.shape) != (other.name, other.datatype, other.shape):
        return False
    if one.datatype in _FLOATS:
        a: Any = numbers(one)
        b: Any = numbers(other)
        return bool(np.allclose(a, b, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True))
    return bytes(one.data) == bytes(other.data)
