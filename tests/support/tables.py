# SPDX-License-Identifier: Apache-2.0
"""Table steps, learnt from data where they must, and what they make of rows."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gateway.lab.fit_preprocess import fit
from gateway.steps import bind_inputs, client_info
from gateway.steps.table import OPERATIONS, Operation, statistics
from gateway.steps.table.step import ColumnConfig, TableStep
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.table import pack_column
from gateway.wire.tensor import Array, Tensor


def operation(name: str, /, **fields: Any) -> Operation:
    """An operation as a configuration makes it."""
    made: Operation = msgspec.convert(fields, OPERATIONS[name])
    return made


def table_step(
    columns: dict[str, dict[str, Any]], *operations: Operation, **options: Any
) -> TableStep:
    """A `table` step as a configuration makes it."""
    declared = {name: msgspec.convert(each, ColumnConfig) for name, each in columns.items()}
    return TableStep(columns=declared, operations=operations, **options)


def tensors(step: TableStep, data: dict[str, Any]) -> tuple[Tensor, ...]:
    """The columns of *data* as a request's tensors; None in a list is null."""
    made = []
    for column in step.declared():
        values = data[column.name]
        if isinstance(values, np.ndarray):
            datatype = None if column.datatype == "BYTES" else column.datatype
            made.append(Tensor.of(column.name, values, datatype=datatype))
        else:
            packed = pack_column(column, list(values))
            made.append(Tensor(column.name, column.datatype, (len(values),), packed))
    return tuple(made)


def learnt(step: TableStep, data: dict[str, Any]) -> TableStep:
    """*step* with a statistics file of what it learns of *data*; the file lasts as the tests do."""
    content = statistics.encode(fit(step, tensors(step, data)).statistics)
    directory = tempfile.mkdtemp(prefix="statistics-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = Path(directory) / "statistics.json"
    path.write_bytes(content)
    return msgspec.structs.replace(step, statistics=str(path))


def model(width: int, datatype: str = "FP64") -> ModelInfo:
    """A model of one input ``x`` of *width* columns."""
    inputs = (TensorSpec("x", datatype, (-1, width)),)
    outputs = (TensorSpec("y", "FP32", (-1, 1)),)
    return ModelInfo("m", "1", "onnxruntime", "0" * 64, inputs, outputs, batched=True)


def apply(step: TableStep, data: dict[str, Any], *, datatype: str = "FP64") -> Array:
    """What the model gets for the rows of *data*, ``[rows, columns]``."""
    info = model(-1, datatype)
    client_info(info, [step])
    with np.errstate(all="ignore"):
        (made,) = bind_inputs(info, [step])(tensors(step, data))
    return made.array()
