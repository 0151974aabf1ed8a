# SPDX-License-Identifier: Apache-2.0
"""Training data from CSV, Parquet or npz, as the tensors that the same rows would be as a request.

What is null, missing or no number is so by the same rules as in serving.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from msgspec import UNSET

from gateway.errors import InvalidRequest
from gateway.lab import LabError
from gateway.lab.dataset import read_arrays
from gateway.wire.table import pack_column
from gateway.wire.tensor import NUMPY, Tensor

if TYPE_CHECKING:
    from types import ModuleType

    from gateway.wire.model import Column

_TRUTH: Final = {"true": True, "True": True, "1": True, "false": False, "False": False, "0": False}


def read_training_data(path: str, columns: Sequence[Column]) -> tuple[Tensor, ...]:
    """The *columns* of the file at *path*, whose suffix says its form.

    An empty cell of a CSV file is null. Raises LabError for a file that cannot be read, a column
    that is not in it but must be, and a value that the column does not take.
    """
    suffix = Path(path).suffix.lower()
    readers: dict[str, Callable[[str, Sequence[Column]], dict[str, Any]]] = {
        ".csv": _csv,
        ".parquet": _parquet,
        ".npz": _npz,
    }
    if suffix not in readers:
        raise LabError(f"{path}: expected a file that ends in {', '.join(readers)}")
    found = readers[suffix](path, columns)
    if not found:
        raise LabError(f"{path}: none of the columns is in it: {_some(columns)}")
    rows = {len(values) for values in found.values()}
    if len(rows) > 1:
        raise LabError(f"{path}: columns differ in their number of rows: {sorted(rows)}")
    (count,) = rows
    if not count:
        raise LabError(f"{path}: has no rows")
    tensors = []
    for column in columns:
        values = found.get(column.name)
        if values is None:
            values = [UNSET] * count
        try:
            tensors.append(_tensor(column, values))
        except InvalidRequest as error:
            raise LabError(f"{path}: {error}") from None
    return tuple(tensors)


def needed(package: str, *, purpose: str) -> ModuleType:
    """The module of the optional *package*; raises LabError that names the extra for it."""
    try:
        return import_module(package)
    except ImportError:
        raise LabError(
            f"{purpose} needs the package {package.partition('.')[0]}; install Infergate with its "
            "extra 'fit': pip install 'infergate[fit]'"
        ) from None


def _tensor(column: Column, values: Any) -> Tensor:  # noqa: ANN401 - a list or an array
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "OSU":
            values = [None if value is None else _text(value) for value in values.tolist()]
        elif column.datatype == "BYTES":
            raise InvalidRequest(f"column '{column.name}': expected text, got {values.dtype}")
        else:
            dtype = NUMPY[column.datatype]
            made = values.astype(dtype)
            if dtype.kind != "f" and not (made == values).all():
                raise InvalidRequest(f"column '{column.name}': expected {column.datatype} only")
            return Tensor.of(column.name, made)
    data = pack_column(column, values)
    return Tensor(column.name, column.datatype, (len(values),), data)


def _csv(path: str, columns: Sequence[Column]) -> dict[str, Any]:
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            at = {
                column.name: (header.index(column.name), column)
                for column in columns if column.name in header
            }  # fmt: skip
            found: dict[str, list[Any]] = {name: [] for name in at}
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise LabError(
                        f"{path}:{reader.line_num}: {len(cells)} cells, the header has "
                        f"{len(header)}"
                    )
                for name, (place, column) in at.items():
                    found[name].append(_cell(cells[place], column, path, reader.line_num))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabError(f"{path}: cannot be read: {error}") from None
    return found


def _cell(text: str, column: Column, path: str, line: int) -> Any:  # noqa: ANN401 - as typed
    if column.datatype == "BYTES":
        return text or None
    stripped = text.strip()
    if not stripped:
        return None
    try:
        if column.datatype == "BOOL":
            return _TRUTH[stripped]
        return int(stripped) if column.datatype == "INT64" else float(stripped)
    except (ValueError, KeyError):
        raise LabError(
            f"{path}:{line}: column '{column.name}': expected {column.datatype}, "
            f"got '{stripped[:40]}'"
        ) from None


def _parquet(path: str, columns: Sequence[Column]) -> dict[str, Any]:
    parquet = needed("pyarrow.parquet", purpose="a Parquet file")
    arrow = needed("pyarrow", purpose="a Parquet file")
    try:
        there = set(parquet.read_schema(path).names)
        wanted = [column.name for column in columns if column.name in there]
        table = parquet.read_table(path, columns=wanted)
    except (OSError, arrow.ArrowInvalid) as error:
        raise LabError(f"{path}: cannot be read: {error}") from None
    found = {}
    kinds = {column.name: column.datatype for column in columns}
    for name in wanted:
        values = table.column(name)
        if kinds[name] in {"FP64", "FP32"} and not arrow.types.is_string(values.type):
            # Nulls stay what they are, beside NaN.
            values = [None if each is None else float(each) for each in values.to_pylist()]
        else:
            values = [
                each.isoformat() if hasattr(each, "isoformat") else each
                for each in values.to_pylist()
            ]
        found[name] = values
    return found


def _npz(path: str, columns: Sequence[Column]) -> dict[str, Any]:
    arrays = read_arrays(path)
    found = {}
    for column in columns:
        array = arrays.get(column.name)
        if array is None:
            continue
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise LabError(f"{path}: array '{column.name}' is {array.ndim}-dimensional, expected 1")
        found[column.name] = array
    return found


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _some(columns: Sequence[Column]) -> str:
    names = [column.name for column in columns]
    return ", ".join(names[:8]) + ("…" if len(names) > 8 else "")
