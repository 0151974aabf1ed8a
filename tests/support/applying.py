# SPDX-License-Identifier: Apache-2.0
"""What one output step makes of arrays, or says of a model that it does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.errors import ConfigError
from gateway.steps import bind_outputs, client_info
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Array, Tensor
from tests.support.steps import model, output_step

if TYPE_CHECKING:
    from gateway.wire.model import ModelInfo


def singles(values: Any) -> Array:
    """*values* as an array of FP32."""
    return np.asarray(values, np.float32)


def applied(name: str, arrays: dict[str, Array], /, **fields: Any) -> dict[str, Array]:
    """The outputs behind step *name* of a batched model whose outputs are *arrays*."""
    sent = tuple(Tensor.of(output, array) for output, array in arrays.items())
    specs = tuple(TensorSpec(t.name, t.datatype, (-1, *t.shape[1:])) for t in sent)
    kernel = bind_outputs(model(outputs=specs), [output_step(name, **fields)])
    return {tensor.name: tensor.array() for tensor in kernel(sent)}


def fault(info: ModelInfo, name: str, /, **fields: Any) -> str:
    """What is said of a step that does not fit *info*."""
    with pytest.raises(ConfigError) as caught:
        client_info(info, [], [output_step(name, **fields)])
    (message,) = caught.value.faults
    return message
