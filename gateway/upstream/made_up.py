# SPDX-License-Identifier: Apache-2.0
"""Made-up inputs: what a server is asked with to see whether it computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.wire.tensor import NUMPY, Tensor

if TYPE_CHECKING:
    from gateway.wire.model import ModelInfo

# Free dimensions of a made-up input besides the rows; an image model may not take the smallest.
_SIZES: Final = (1, 32, 224)
# The largest made-up input: a probe is no load test.
_MOST_MADE_UP: Final = 16 << 20


def made_up(info: ModelInfo) -> list[tuple[Tensor, ...]]:
    """Inputs of one row that the model may take, the smallest first; zeros, and "0" as text."""
    choices: list[tuple[Tensor, ...]] = []
    for size in _SIZES:
        tensors = []
        for spec in info.inputs:
            shape = tuple(
                extent if extent >= 0 else 1 if axis == 0 and info.batched else size
                for axis, extent in enumerate(spec.shape)
            )
            if spec.datatype == "BYTES":
                array = np.full(shape, b"0", dtype=object)
                tensors.append(Tensor.of(spec.name, array))
            else:
                zeros = np.zeros(shape, NUMPY[spec.datatype])
                tensors.append(Tensor.of(spec.name, zeros, datatype=spec.datatype))
        made = tuple(tensors)
        if sum(tensor.nbytes for tensor in made) > _MOST_MADE_UP:
            break
        if not choices or [t.shape for t in choices[-1]] != [t.shape for t in made]:
            choices.append(made)
    return choices
