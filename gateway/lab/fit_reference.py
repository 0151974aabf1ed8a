# SPDX-License-Identifier: Apache-2.0
"""``infergate quality fit``: a reference for the watch for drift, of data and a model's answers."""

from __future__ import annotations

import asyncio
import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.lab import LabError
from gateway.lab.client import Client
from gateway.lab.dataset import fit, read_arrays
from gateway.lab.training_data import needed, read_training_data
from gateway.quality.drift.features import features_of
from gateway.quality.drift.reference import Reference
from gateway.wire.model import Column
from gateway.wire.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.wire.model import TensorSpec
    from gateway.wire.tensor import Array

# What is true is no input, whatever a table calls it.
_TRUE: Final = frozenset({"label", "labels", "target", "y"})
# Rows below which bins of a tenth each would be of a few rows.
_FEWEST: Final = 200


def run(
    url: str,
    model: str,
    data: str,
    *,
    to: str,
    batch: int = 64,
    features: Sequence[str] = (),
    timeout: float = 30.0,
) -> str:
    """Ask *model* at *url* for the rows of *data* and write a reference of both to the file *to*.

    *features* are those that are watched, the first 64 where none is named. Gives what was
    written, in words; raises LabError.
    """
    if batch < 1:
        raise LabError(f"batch {batch}: expected 1 or more")
    client = Client(url, model, timeout=timeout)
    reference = asyncio.run(_fit(client, model, data, batch=batch, features=tuple(features)))
    try:
        Path(to).write_bytes(reference.json())
    except OSError as error:
        raise LabError(f"{to}: {error.strerror}") from None
    named = ", ".join(each.name for each in reference.features[:6])
    more = "…" if len(reference.features) > 6 else ""
    return (
        f"{to}: {len(reference.features)} features of {reference.rows} rows of {model}: "
        f"{named}{more}"
    )


async def _fit(
    client: Client, model: str, data: str, *, batch: int, features: tuple[str, ...]
) -> Reference:
    async with client:
        inputs, outputs = await client.specs()
        # Labels are not needed here; a data set has them, and what is fitted counts rows by them.
        arrays = await asyncio.to_thread(_arrays, data, inputs)
        dataset = fit(data, arrays, inputs, rows=batch)
        if dataset.bare:
            raise LabError(f"model '{model}' has no dimension of rows, so drift cannot be watched")
        answers = [
            await client.predict(dataset.tensors(part), outputs) for part in dataset.slices()
        ]
    given = dataset.tensors(slice(None))
    made = [
        Tensor.of(spec.name, np.concatenate(columns))
        for spec, columns in zip(outputs, zip(*answers, strict=True), strict=True)
    ]
    if len(dataset) < _FEWEST:
        raise LabError(f"{data}: {len(dataset)} rows; expected {_FEWEST} or more for a reference")
    found = features_of(given, made)
    missing = [name for name in features if name not in found.names]
    if missing:
        raise LabError(f"no feature '{missing[0]}'; there are: {', '.join(found.names)}")
    return Reference.fit(
        model, found, source=Path(data).name, made=time.time(), wanted=features or None
    )


def _arrays(data: str, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The arrays of *data* by input, with labels of some kind."""
    arrays = read_arrays(data) if Path(data).suffix.lower() == ".npz" else _table(data, inputs)
    if "labels" not in arrays:
        first = next(iter(arrays.values()), np.empty(0))
        arrays["labels"] = np.zeros(len(first) if first.ndim else 0, np.int64)
    return arrays


def _table(data: str, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """A column for each input; or all columns, in their order, for one input that is a row of them.

    Raises LabError where they do not fit.
    """
    if len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].shape[1] > 1:
        (spec,) = inputs
        names = [name for name in _header(data) if name.lower() not in _TRUE]
        if len(names) != spec.shape[1]:
            raise LabError(
                f"{data}: {len(names)} columns; the model takes rows of {spec.shape[1]} numbers"
            )
        tensors = read_training_data(data, [Column(name, "FP64") for name in names])
        return {spec.name: np.stack([tensor.array() for tensor in tensors], axis=1)}
    columns = [Column(spec.name, spec.datatype) for spec in inputs]
    arrays = {}
    for spec, tensor in zip(inputs, read_training_data(data, columns), strict=True):
        array = tensor.array()
        if array.dtype == object:
            array = np.asarray([item.decode("utf-8", "replace") for item in array.tolist()])
        arrays[spec.name] = array.reshape(-1, *([1] * (len(spec.shape) - 1)))
    return arrays


def _header(data: str) -> list[str]:
    if Path(data).suffix.lower() == ".parquet":
        parquet = needed("pyarrow.parquet", purpose="a Parquet file")
        try:
            return list(parquet.read_schema(data).names)
        except (OSError, ValueError) as error:
            raise LabError(f"{data}: cannot be read: {error}") from None
    try:
        with Path(data).open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabError(f"{data}: cannot be read: {error}") from None
