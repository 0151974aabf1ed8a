# SPDX-License-Identifier: Apache-2.0
"""Source: where inputs come from, as rows that a model takes.

A file of arrays, a table, a directory of pictures, bodies that are sent as they are, or rows made
up from the model's metadata.
"""

from __future__ import annotations

import csv
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from gateway.lab import LabError
from gateway.lab.dataset import Dataset, fit, read_arrays
from gateway.lab.load.encode import Encoder, http_head
from gateway.lab.load.pictures import is_picture, pictures
from gateway.lab.load.supply import Template
from gateway.wire.tensor import ITEM_SIZE, NUMPY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.lab.load.run import Plan
    from gateway.wire.model import TensorSpec
    from gateway.wire.tensor import Array

# Of rows that are made up, so many are different to begin with.
_MADE_UP: Final = 64
# A dimension that the model leaves open is so long, unless the plan says otherwise.
OPEN_DIMENSION: Final = 16
# Templates take no more memory than this, in each process.
_MOST_BYTES: Final = 128 << 20
# A made-up whole number is below this: most models that take them look something up.
_WHOLE_BELOW: Final = 10
_BODIES: Final = frozenset({".json", ".ndjson", ".jsonl"})
# Columns of a table that are no input.
_LABELS: Final = frozenset({"label", "labels", "class", "target", "weight", "weights"})


def is_bodies(path: str) -> bool:
    """Whether the file holds whole bodies, for which nothing of the model need be known."""
    return Path(path).suffix in _BODIES


def templates(plan: Plan, data: str | None, specs: Sequence[TensorSpec]) -> list[Template]:
    """The requests of *plan*, with inputs from *data*, for a model that takes *specs*.

    Raises LabError where data cannot be read or does not fit.
    """
    if data is not None and is_bodies(data):
        return _bodies(plan, data)
    vary = plan.repeat is not None
    dataset = _made_up(specs, plan) if data is None else _read(data, specs, plan)
    encoder = Encoder(plan, vary=vary, bounds=_bounds(dataset))
    made: list[Template] = []
    size = 0
    for part in dataset.slices():
        if size > _MOST_BYTES:
            break
        rows = 1 if dataset.bare else part.stop - part.start
        if rows != dataset.rows and made:
            # The last, smaller one would be a request of another kind.
            break
        made.append(encoder.template(dataset.tensors(part), rows=rows, bare=dataset.bare))
        size += len(made[-1].body)
    return made


def _bounds(dataset: Dataset) -> dict[str, tuple[int, int]]:
    return {
        name: (int(array.min()), int(array.max()))
        for name, array in dataset.inputs.items()
        if array.dtype.kind in "biu" and array.size
    }


def _bodies(plan: Plan, path: str) -> list[Template]:
    """Whole bodies: one or a list in ``.json``, one a line in ``.ndjson`` and ``.jsonl``."""
    if plan.protocol not in {"v2-json", "v1"}:
        raise LabError(f"{path}: bodies in JSON go by --protocol v2-json or v1")
    if plan.repeat is not None:
        raise LabError(f"{path}: bodies are sent as they are; leave out --repeat")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
    if Path(path).suffix == ".json":
        whole = _decoded(data, path)
        bodies = [msgspec.json.encode(one) for one in whole] if isinstance(whole, list) else [data]
    else:
        bodies = [line for line in data.splitlines() if line.strip()]
    field = "instances" if plan.protocol == "v1" else "inputs"
    for number, body in enumerate(bodies, 1):
        found = _decoded(body, f"{path}: body {number}")
        if not isinstance(found, dict) or field not in found:
            raise LabError(f"{path}: body {number}: expected an object with '{field}'")
    if not bodies:
        raise LabError(f"{path}: no body in it")
    return [Template(http_head(plan, body), body) for body in bodies]


def _decoded(data: bytes, name: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise LabError(f"{name}: not JSON: {error}") from None


def _read(path: str, specs: Sequence[TensorSpec], plan: Plan) -> Dataset:
    suffix = Path(path).suffix.lower()
    if Path(path).is_dir() or is_picture(path):
        arrays = pictures(path, specs)
    elif suffix in {".csv", ".tsv"}:
        arrays = _table(path, specs, "\t" if suffix == ".tsv" else ",")
    elif suffix == ".npz":
        arrays = read_arrays(path)
    else:
        raise LabError(
            f"{path}: expected .npz, .csv, .tsv, .json, .ndjson, .jsonl, or a directory of pictures"
        )
    names = {spec.name for spec in specs}
    inputs = {name: array for name, array in arrays.items() if name in {*names, "inputs"}}
    if not inputs:
        raise LabError(
            f"{path}: no array for the input '{specs[0].name}'; there are: "
            f"{', '.join(arrays) or 'none'}"
        )
    rows = min((len(array) for array in inputs.values() if array.ndim), default=0)
    fixed = max((spec.shape[0] for spec in specs if spec.shape and spec.shape[0] > 1), default=1)
    if len(next(iter(inputs.values())).shape) == len(specs[0].shape):
        # A model of so many rows at a time leaves out what does not fill a request.
        rows -= rows % fixed
    if not rows:
        raise LabError(f"{path}: no row in it")
    # A request is full, if need be with the same rows again.
    chosen = np.arange(max(rows, plan.batch)) % rows
    whole = {name: array[chosen] for name, array in inputs.items()}
    rows = len(chosen)
    return fit(path, {**whole, "labels": np.zeros(rows, dtype=np.int64)}, specs, rows=plan.batch)


def _table(path: str, specs: Sequence[TensorSpec], separator: str) -> dict[str, Array]:
    """Columns of a table: each an input by its name, or all together the one input there is."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            header, *rows = [row for row in csv.reader(file, delimiter=separator) if row]
    except (OSError, UnicodeDecodeError, ValueError) as error:
        why = getattr(error, "strerror", None) or "expected a header and rows"
        raise LabError(f"{path}: {why}") from None
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise LabError(f"{path}:{number}: {len(row)} columns; the header has {len(header)}")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    if all(spec.name in columns for spec in specs):
        made = {}
        for spec in specs:
            column = _column(path, spec.name, columns[spec.name], spec)
            made[spec.name] = column[:, None] if len(spec.shape) == 2 else column
        return made
    if len(specs) > 1:
        missing = [spec.name for spec in specs if spec.name not in columns]
        raise LabError(f"{path}: no column '{missing[0]}'; there are: {', '.join(header)}")
    (spec,) = specs
    stacked = [
        _column(path, name, column, spec)
        for name, column in columns.items()
        if name.lower() not in _LABELS
    ]
    return {spec.name: np.stack(stacked, axis=1)}


def _column(path: str, name: str, texts: list[str], spec: TensorSpec) -> Array:
    if spec.datatype == "BYTES":
        return np.asarray(texts)
    try:
        numbers = np.asarray([float(text or "nan") for text in texts])
    except ValueError as error:
        raise LabError(
            f"{path}: column '{name}': {error}; the model takes {spec.datatype}"
        ) from None
    if NUMPY[spec.datatype].kind in "biu":
        if not np.isfinite(numbers).all():
            raise LabError(f"{path}: column '{name}': empty; the model takes {spec.datatype}")
        return numbers.astype(NUMPY[spec.datatype])
    return numbers.astype("<f4") if spec.datatype in {"FP16", "BF16"} else numbers


def _made_up(specs: Sequence[TensorSpec], plan: Plan) -> Dataset:
    """Rows drawn by the seed: floats from 0 to 1, small whole numbers, short texts."""
    random = np.random.default_rng(plan.seed)
    shapes = dict(plan.shapes)
    unknown = set(shapes) - {spec.name for spec in specs}
    if unknown:
        names = ", ".join(spec.name for spec in specs)
        raise LabError(f"--shape: no input '{min(unknown)}'; the model has: {names}")
    free = all(spec.shape and spec.shape[0] == -1 for spec in specs)
    row_bytes = 0
    tails = {}
    for spec in specs:
        tail = shapes.get(spec.name) or tuple(
            OPEN_DIMENSION if size == -1 else size
            for size in (spec.shape[1:] if free else spec.shape)
        )
        tails[spec.name] = tail
        row_bytes += prod(tail) * (ITEM_SIZE[spec.datatype] or OPEN_DIMENSION)
    rows = plan.batch if free else 1
    most = max(1, _MOST_BYTES // 16 // max(1, row_bytes * rows))
    number = rows * max(1, min(_MADE_UP // rows, most))
    inputs = {spec.name: _draw(random, spec, (number, *tails[spec.name])) for spec in specs}
    return Dataset(tuple(specs), inputs, np.zeros(number, dtype=np.int64), rows, bare=not free)


def _draw(random: np.random.Generator, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    dtype = NUMPY[spec.datatype]
    if spec.datatype == "BYTES":
        texts = np.empty(prod(shape), dtype=object)
        texts[:] = [f"text {number}" for number in random.integers(0, 1000, prod(shape))]
        return texts.astype(str).reshape(shape)
    if spec.datatype == "BF16":
        return (random.random(shape, dtype=np.float32).view("<u4") >> 16).astype("<u2")
    if dtype.kind == "f":
        return random.random(shape).astype(dtype)
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(dtype)
    return random.integers(0, _WHOLE_BELOW, shape).astype(dtype)
