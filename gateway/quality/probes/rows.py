# SPDX-License-Identifier: Apache-2.0
"""The rows of a probe: arrays of an ``.npz`` file as requests for a model."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.wire.tensor import NUMPY, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.wire.model import ModelInfo, TensorSpec
    from gateway.wire.tensor import Array

# A set is read as a whole, once a round.
MOST_BYTES: Final = 256 << 20
# Rows of a request: few, so that none is in the way of a client's for long.
TOGETHER: Final = 8


class Unusable(ValueError):
    """The set cannot be asked; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The first rows of the file at *path*: *arrays* [n, ...] by name, *labels* [n, ...] or None.

    *digest* is of the whole file: another one is another set, with golden answers of its own.
    """

    path: str
    digest: str
    arrays: dict[str, Array]
    labels: Array | None

    def __len__(self) -> int:
        return min(len(array) for array in self.arrays.values())

    def requests(
        self, info: ModelInfo, *, together: int = TOGETHER
    ) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
        """How many rows each request has, and its inputs for the model of *info*.

        A model with a fixed first dimension gets as many rows as it takes, and those that do not
        make a whole request are left out; one without that dimension gets row by row. Raises
        `Unusable`.
        """
        specs = info.inputs
        columns = {spec.name: self._column(spec, info) for spec in specs}
        count = len(self)
        size = together
        if not info.batched:
            if any(columns[spec.name].ndim == len(spec.shape) + 1 for spec in specs):
                for row in range(count):
                    yield 1, tuple([_tensor(spec, columns[spec.name][row]) for spec in specs])
                return
            size = max((spec.shape[0] for spec in specs if spec.shape), default=-1)
            size = size if size > 0 else together
            count -= count % size if size > 1 else 0
        for start in range(0, count, size):
            part = slice(start, min(start + size, count))
            yield (
                part.stop - part.start,
                tuple([_tensor(spec, columns[spec.name][part]) for spec in specs]),
            )

    def _column(self, spec: TensorSpec, info: ModelInfo) -> Array:
        array = self.arrays.get(spec.name)
        if array is None and len(info.inputs) == 1:
            array = self.arrays.get("inputs")
        if array is None:
            there = ", ".join(sorted(self.arrays)) or "none"
            raise Unusable(f"{self.path}: no array '{spec.name}'; there are: {there}")
        text = array.dtype.kind in "US"
        if text != (spec.datatype == "BYTES"):
            raise Unusable(
                f"{self.path}: array '{spec.name}' is {array.dtype}; the model takes "
                f"{spec.datatype}"
            )
        return array


def _tensor(spec: TensorSpec, array: Array) -> Tensor:
    if spec.datatype == "BYTES":
        return Tensor.of(spec.name, np.asarray(array))
    if spec.datatype == "BF16":
        # The upper half of a float32, rounded to even.
        bits = array.astype("<f4").view("<u4").astype("<u8")
        half = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
        return Tensor.of(spec.name, half, datatype="BF16")
    wanted = np.ascontiguousarray(array, NUMPY[spec.datatype])
    return Tensor.of(spec.name, wanted, datatype=spec.datatype)


def _arrays(path: str, data: bytes) -> dict[str, Array]:
    try:
        archive = np.load(BytesIO(data), allow_pickle=False)
        # A bare .npy loads too, and is an array without a name.
        if isinstance(archive, np.lib.npyio.NpzFile):
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Unusable(f"{path}: cannot be read as .npz: {error}") from None
    raise Unusable(f"{path}: one array without a name; expected an .npz archive")


def read_rows(path: str, most: int) -> Rows:
    """The first *most* rows of the file at *path*; raises `Unusable`."""
    try:
        size = Path(path).stat().st_size
        if size > MOST_BYTES:
            raise Unusable(f"{path}: {size} bytes; expected at most {MOST_BYTES >> 20} MiB")
        data = Path(path).read_bytes()
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror or 'cannot be read'}") from None
    arrays = _arrays(path, data)
    labels = arrays.pop("labels", None)
    arrays.pop("weights", None)
    if not arrays:
        raise Unusable(f"{path}: no arrays of inputs")
    every = [*arrays.values(), *([] if labels is None else [labels])]
    counts = sorted({len(array) if array.ndim else 0 for array in every})
    if len(counts) > 1 or not counts[0]:
        raise Unusable(f"{path}: arrays of {counts} rows; expected as many of each, 1 or more")
    if labels is not None and labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    return Rows(
        path,
        sha256(data).hexdigest()[:16],
        {name: array[:most] for name, array in arrays.items()},
        None if labels is None else labels[:most],
    )
