# SPDX-License-Identifier: Apache-2.0
"""Output steps of sentence models: token vectors to one a row, and vectors of length 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import msgspec
import numpy as np

from gateway.errors import BadAnswer
from gateway.steps.step import (
    INTEGERS,
    Kernel,
    Misfit,
    OneOutput,
    Tensors,
    added,
    buffer,
    find,
    replaced,
)
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import NUMPY, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.wire.tensor import Array

# The lengths below which a sum of weights or a vector is taken to be this long instead of 0.
_LEAST_WEIGHT: Final = 1e-9
_LEAST_LENGTH: Final = 1e-12


class Pool(OneOutput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Vectors of tokens, [-1, tokens, size], to one vector a row, [-1, size]; padding is left out.

    mean: ``sum(x * mask) / max(sum(mask), 1e-9)``; max: over the tokens of the row; cls: its first.
    """

    kind: ClassVar[str] = "pool"

    by: Annotated[
        Literal["mean", "max", "cls"],
        msgspec.Meta(
            description="How the model was trained to be read: mean or max over the row's tokens, "
            "or cls, its first one."
        ),
    ] = "mean"
    mask: Annotated[
        str,
        msgspec.Meta(
            description="The model's input that is 1 for tokens and 0 for padding; empty: there is "
            "no padding. Danger: without the mask a row's vector depends on its padding."
        ),
    ] = "attention_mask"
    name: Annotated[
        str, msgspec.Meta(description="Name of the result; without it, that of the output.")
    ] = ""

    @property
    def carries(self) -> tuple[str, ...]:
        """The mask."""
        return (self.mask,) if self.mask else ()

    def after(self, info: ModelInfo) -> ModelInfo:
        """The output without its dimension of tokens; raises Misfit."""
        at = self._at(info)
        spec = info.outputs[at]
        shape = (spec.shape[0], spec.shape[2])
        pooled = TensorSpec(self.name or spec.name, spec.datatype, shape)
        others = (*info.outputs[:at], *info.outputs[at + 1 :])
        if pooled.name != spec.name:
            added(others, pooled)
        return msgspec.structs.replace(info, outputs=replaced(info.outputs, at, pooled))

    def bind(self, info: ModelInfo) -> Kernel:
        """The kernel; raises BadAnswer for outputs that do not line up with the mask."""
        spec = info.outputs[self._at(info)]
        name, datatype, result = spec.name, spec.datatype, self.name or spec.name
        pool = _POOLS[self.by]
        mask = next((each for each in info.outputs if each.name == self.mask), None)

        def pooled(tensors: Tensors) -> Tensors:
            at = find(tensors, name, datatype)
            vectors = tensors[at].array()
            if vectors.ndim != 3:
                raise BadAnswer(f"output '{name}': shape {list(vectors.shape)} has no tokens")
            if mask is None:
                there = np.ones(vectors.shape[:2], np.bool_)
            else:
                there = tensors[find(tensors, mask.name, mask.datatype)].array() != 0
                if there.shape != vectors.shape[:2]:
                    raise BadAnswer(
                        f"output '{name}': shape {list(vectors.shape)} came for a mask of "
                        f"{list(there.shape)}"
                    )
            made = pool(vectors.astype(_working(vectors.dtype), copy=False), there)
            return (*tensors[:at], _tensor(result, datatype, made), *tensors[at + 1 :])

        return pooled

    def _at(self, info: ModelInfo) -> int:
        at = self.place(info, rank=2)
        spec = info.outputs[at]
        if not info.batched or len(spec.shape) != 3:
            raise Misfit(
                f"output '{spec.name}' is {spec.datatype}{list(spec.shape)} here; expected "
                "[-1, tokens, size]"
            )
        for each in info.outputs:
            if each.name == self.mask and (
                each.datatype not in INTEGERS | {"BOOL"} or len(each.shape) != 2
            ):
                raise Misfit(
                    f"the mask '{each.name}' is {each.datatype}{list(each.shape)}; expected "
                    "integers of [-1, tokens]"
                )
        return at


class L2Normalize(OneOutput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``x / max(|x|, 1e-12)`` over the last dimension, so that a dot product is a cosine."""

    kind: ClassVar[str] = "l2_normalize"

    def after(self, info: ModelInfo) -> ModelInfo:
        """The same."""
        self.place(info)
        return info

    def bind(self, info: ModelInfo) -> Kernel:
        """The kernel."""
        spec = info.outputs[self.place(info)]
        name, datatype = spec.name, spec.datatype

        def l2_normalize(tensors: Tensors) -> Tensors:
            at = find(tensors, name, datatype)
            vectors = tensors[at].array()
            if not vectors.ndim:
                raise BadAnswer(f"output '{name}': a scalar came, expected vectors")
            wide = vectors.astype(_working(vectors.dtype), copy=False)
            lengths = np.sqrt((wide * wide).sum(axis=-1, keepdims=True))
            made = wide / np.maximum(lengths, _LEAST_LENGTH)
            return (*tensors[:at], _tensor(name, datatype, made), *tensors[at + 1 :])

        return l2_normalize


def _mean(vectors: Array, there: Array) -> Array:
    weights = there.astype(vectors.dtype)
    # What stands in a place of padding may be anything, an infinity too.
    summed: Array = np.where(there[:, :, None], vectors, 0).sum(axis=1)
    mean: Array = summed / np.maximum(weights.sum(axis=1), _LEAST_WEIGHT)[:, None]
    return mean


def _max(vectors: Array, there: Array) -> Array:
    lowest = np.finfo(vectors.dtype).min
    highest: Array = np.where(there[:, :, None], vectors, lowest).max(axis=1, initial=lowest)
    return highest


def _cls(vectors: Array, there: Array) -> Array:
    if not vectors.shape[1]:
        raise BadAnswer(f"the model's answer of shape {list(vectors.shape)} has no first token")
    # Behind the padding, where that stands on the left.
    first: Array = vectors[np.arange(len(vectors)), there.argmax(axis=1)]
    return first


def _working(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Halves are too coarse to be summed."""
    return np.dtype(np.float64 if dtype.itemsize > 4 else np.float32)


def _tensor(name: str, datatype: str, array: Array) -> Tensor:
    flat = np.ascontiguousarray(array, NUMPY[datatype]).reshape(-1)
    return Tensor(name, datatype, array.shape, buffer(flat))


_POOLS: Final[dict[str, Callable[[Array, Array], Array]]] = {
    "mean": _mean, "max": _max, "cls": _cls,
}  # fmt: skip
