# SPDX-License-Identifier: Apache-2.0
"""A labelled set from an ``.npz`` file, fitted to what a model takes."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from gateway.lab import LabError
from gateway.wire.tensor import NUMPY, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.wire.model import TensorSpec
    from gateway.wire.tensor import Array

Task = Literal["classification", "multilabel", "regression"]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows to send: *inputs* by tensor name, each [n, ...], and what is true of them, *labels*.

    Labels are classes [n], numbers [n], or 0 and 1 for each of C labels [n, C], as the *task* is.
    *weights* are [n] or None. *rows* go into one request, no other number where *fixed*; *bare*:
    the model has no batch dimension, so that a request is one row without a first dimension.
    """

    specs: tuple[TensorSpec, ...]
    inputs: dict[str, Array]
    labels: Array
    rows: int
    bare: bool
    task: Task = "classification"
    weights: Array | None = None
    fixed: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def slices(self) -> Iterator[slice]:
        """What one request after the other takes."""
        for start in range(0, len(self), self.rows):
            yield slice(start, min(start + self.rows, len(self)))

    def tensors(self, part: slice | Array) -> tuple[Tensor, ...]:
        """The inputs of one request: the rows of a slice, or those at the places given."""
        tensors = []
        for spec in self.specs:
            array = self.inputs[spec.name][part]
            datatype = None if spec.datatype == "BYTES" else spec.datatype
            tensors.append(Tensor.of(spec.name, array[0] if self.bare else array,
                                     datatype=datatype))  # fmt: skip
        return tuple(tensors)


def read_arrays(path: str) -> dict[str, Array]:
    """The arrays of the ``.npz`` file at *path*; raises LabError where there are none."""
    try:
        with Path(path).open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            # A bare .npy loads too, and is an array without a name.
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise LabError(f"{path}: one array without a name; expected an .npz archive")
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise LabError(f"{path}: no such file") from None
    except OSError as error:
        raise LabError(f"{path}: {error.strerror or 'cannot be read as .npz'}") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise LabError(f"{path}: cannot be read as .npz: {error}") from None


def fit(path: str, arrays: dict[str, Array], specs: Sequence[TensorSpec], *, rows: int) -> Dataset:
    """*arrays* of the file at *path* as a dataset for the inputs *specs*, *rows* to a request.

    An input is the array of its name, or ``inputs`` where the model has one input; what is true
    is ``labels``, and rows may have ``weights``. Raises LabError where an array is missing or does
    not fit.
    """
    present = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items()) or "none"
    labels = arrays.get("labels")
    if labels is None:
        raise LabError(f"{path}: no array 'labels' with the true classes; there are: {present}")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    task = _task(path, labels)
    weights = None
    if "weights" in arrays and all(spec.name != "weights" for spec in specs):
        weights = _weights(path, arrays["weights"], len(labels))
    inputs = {}
    for spec in specs:
        array = arrays.get(spec.name)
        if array is None and len(specs) == 1:
            array = arrays.get("inputs")
        if array is None:
            raise LabError(f"{path}: no array for the input '{spec.name}'; there are: {present}")
        if not array.ndim or len(array) != len(labels):
            raise LabError(
                f"{path}: input '{spec.name}' has shape {list(array.shape)} but there are "
                f"{len(labels)} labels; the first dimension must be {len(labels)}"
            )
        inputs[spec.name] = _cast(path, spec, array)
    bare = _is_bare(path, specs, inputs)
    fixed = {spec.shape[0] for spec in specs if not bare and spec.shape[0] != -1}
    is_fixed = bool(fixed)
    if fixed:
        # A model with a fixed first dimension takes exactly so many rows.
        rows = fixed.pop()
        if fixed or rows < 1 or len(labels) % rows:
            raise LabError(
                f"{path}: the model takes {rows} rows at a time, which does not divide "
                f"{len(labels)} rows"
            )
    return Dataset(
        tuple(specs), inputs, _names(labels), 1 if bare else rows, bare,
        task=task, weights=weights, fixed=bare or is_fixed,
    )  # fmt: skip


def _task(path: str, labels: Array) -> Task:
    """What the labels say that the model does."""
    kind, shape = labels.dtype.kind, list(labels.shape)
    if labels.ndim and not len(labels):
        raise LabError(f"{path}: 'labels' is empty; expected at least one row")
    if labels.ndim == 1 and kind in "biuUS":
        return "classification"
    if labels.ndim == 1 and kind == "f":
        if not np.isfinite(labels).all():
            raise LabError(f"{path}: 'labels' holds values that are not finite numbers")
        return "regression"
    if labels.ndim == 2 and kind in "biu" and ((labels == 0) | (labels == 1)).all():
        return "multilabel"
    raise LabError(
        f"{path}: 'labels' is {labels.dtype} {shape}; expected one whole number or name a row "
        "(classes), one fraction a row (regression), or 0 and 1 in a column a label (multilabel)"
    )


def _weights(path: str, weights: Array, rows: int) -> Array:
    if weights.shape != (rows,) or weights.dtype.kind not in "biuf":
        raise LabError(
            f"{path}: 'weights' is {weights.dtype} {list(weights.shape)}; expected one number for "
            f"each of {rows} rows"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise LabError(f"{path}: 'weights' must be 0 or more, finite, and not all 0")
    return weights.astype(np.float64)


def _cast(path: str, spec: TensorSpec, array: Array) -> Array:
    if spec.datatype == "BYTES":
        if array.dtype.kind not in "US" and not all(isinstance(one, bytes) for one in array.flat):
            raise LabError(f"{path}: input '{spec.name}' is {array.dtype}; the model takes text")
        return array
    wanted = NUMPY[spec.datatype]
    if spec.datatype == "BF16":
        # The upper half of a float, rounded to even.
        bits = array.astype("<f4").view("<u4").astype("<u8")
        half: Array = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
        return half
    if array.dtype.kind in "USO" or not np.can_cast(array.dtype, wanted, "same_kind"):
        raise LabError(
            f"{path}: input '{spec.name}' is {array.dtype}; the model takes {spec.datatype}"
        )
    return array.astype(wanted)


def _is_bare(path: str, specs: Sequence[TensorSpec], inputs: dict[str, Array]) -> bool:
    """Whether rows lack the batch dimension; raises LabError where shapes do not fit at all."""
    bare = {inputs[spec.name].ndim == len(spec.shape) + 1 for spec in specs}
    for spec in specs:
        array = inputs[spec.name]
        tail = array.shape[1:]
        expected = spec.shape if array.ndim == len(spec.shape) + 1 else spec.shape[1:]
        fits = len(tail) == len(expected) and all(
            free in (-1, size) for free, size in zip(expected, tail, strict=True)
        )
        if not fits or len(bare) > 1:
            raise LabError(
                f"{path}: input '{spec.name}' has shape {list(array.shape)}; the model takes "
                f"{list(spec.shape)}"
            )
    return bare == {True}


def _names(labels: Array) -> Array:
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind in "Uf":
        return labels if labels.dtype.kind == "U" else labels.astype(np.float64)
    return labels.astype(np.int64)
