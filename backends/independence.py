# SPDX-License-Identifier: Apache-2.0
"""Independence: whether the answer to a row depends on the other rows of its batch.

Whoever answers a row from a cache must know that it does not. Batch statistics, attention between
rows and activations that are quantised over the whole batch all make it depend.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any, Final

import numpy as np

from backends.session import Session
from backends.tensors import made_up
from gateway.errors import GatewayError
from gateway.wire.agreement import agree
from gateway.wire.model import TensorSpec
from gateway.wire.rows import cut
from gateway.wire.tensor import NUMPY, Tensor

ROWS: Final = 3
# Operators that find the scale of the activations of a whole batch; the file has their names.
_DYNAMIC: Final = (b"DynamicQuantizeLinear", b"DynamicQuantizeMatMul", b"DynamicQuantizeLSTM")


def coupling(session: Session, given: tuple[Tensor, ...] | None = None) -> str | None:
    """What couples the rows of *session*'s batches: "" for nothing, None where that stays open.

    *given* are inputs of several rows to try it with; without them rows are made up. It stays open
    where the model refuses such rows, or answers all of them alike.
    """
    for operator in _DYNAMIC:
        if _holds(session.path, operator):
            return f"it quantises over all rows of a batch at once ({operator.decode()})"
    if given is None or any(tensor.rows < ROWS for tensor in given):
        inputs = tuple(_varied(spec, at) for at, spec in enumerate(session.inputs))
    else:
        inputs = tuple(cut(tensor, 0, ROWS) for tensor in given)
    if any(tensor.shape[:1] != (ROWS,) for tensor in inputs):
        return None
    try:
        together = session.run(session.feed(inputs), session.outputs)
        alone = [
            session.run(
                session.feed(tuple(cut(tensor, row, row + 1) for tensor in inputs)), session.outputs
            )
            for row in range(ROWS)
        ]
    except GatewayError:
        return None
    if any(tensor.shape[:1] != (ROWS,) for tensor in together):
        return None
    for at, output in enumerate(together):
        for row in range(ROWS):
            if not agree(cut(output, row, row + 1), alone[row][at]):
                return f"output '{output.name}' of a row depends on the other rows of its batch"
    alike = all(agree(answer[at], alone[0][at]) for answer in alone for at in range(len(together)))
    return None if alike else ""


def _varied(spec: TensorSpec, seed: int) -> Tensor:
    """Rows that differ, in a range that most models take: 0 and 1 where they may be indices."""
    shape = made_up(spec, ROWS).shape
    rng = np.random.default_rng(seed)
    if spec.datatype == "BYTES":
        texts = np.empty(shape, dtype=object)
        texts[...] = rng.integers(0, 10, shape).astype(str)
        return Tensor.of(spec.name, texts)
    if spec.datatype in {"FP16", "FP32", "FP64"}:
        values: Any = rng.standard_normal(shape)
    else:
        values = rng.integers(0, 2, shape)
        if values.size:
            # Whatever the dice say, not all rows are alike.
            values.reshape(ROWS, -1)[:, 0] = np.arange(ROWS) % 2
        # The bits of 1.0, as BF16 travels as whole numbers.
        values = values * (0x3F80 if spec.datatype == "BF16" else 1)
    return Tensor.of(spec.name, values.astype(NUMPY[spec.datatype]), datatype=spec.datatype)


def _holds(path: Path, text: bytes) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text) >= 0
