# SPDX-License-Identifier: Apache-2.0
"""Output steps: argmax, softmax, top_k, labels."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from gateway.errors import BadAnswer
from gateway.steps.answer import Name, beside, made, put, wide
from gateway.steps.answer import scores as scores_of
from gateway.steps.step import (
    INTEGERS,
    Kernel,
    Misfit,
    OneOutput,
    Tensors,
    added,
    class_axis,
    find,
    replaced,
)
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import NUMPY, Tensor

_INDEX = np.dtype("<i8")

Axis = Annotated[
    int,
    msgspec.Meta(
        description="Dimension of the classes, the batch counted; -1 (the default) is the last."
    ),
]


class Softmax(OneOutput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scores to probabilities that sum to 1; the highest score is subtracted first, for range."""

    kind: ClassVar[str] = "softmax"

    axis: Axis = -1

    def after(self, info: ModelInfo) -> ModelInfo:
        """The same outputs."""
        class_axis(info.outputs[self.place(info)], self.axis, batched=info.batched)
        return info

    def bind(self, info: ModelInfo) -> Kernel:
        """The kernel; FP16 is computed in FP32."""
        spec = info.outputs[self.place(info)]
        axis = class_axis(spec, self.axis, batched=info.batched)
        name, datatype, dtype = spec.name, spec.datatype, NUMPY[spec.datatype]
        computed = wide(datatype)

        def softmax(tensors: Tensors) -> Tensors:
            at = find(tensors, name, datatype)
            scores = scores_of(tensors[at], axis).astype(computed, copy=False)
            powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
            powers /= powers.sum(axis=axis, keepdims=True)
            return put(tensors, at, made(name, datatype, powers.astype(dtype, copy=False)))

        return softmax


class Argmax(OneOutput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The class with the highest score, as INT64; the first of equals."""

    kind: ClassVar[str] = "argmax"

    axis: Axis = -1
    name: Name = ""

    def after(self, info: ModelInfo) -> ModelInfo:
        """One dimension less, in place or as a further output, with the labels of the scores."""
        at = self.place(info)
        spec = info.outputs[at]
        axis = class_axis(spec, self.axis, batched=info.batched)
        shape = (*spec.shape[:axis], *spec.shape[axis + 1 :])
        return beside(info, at, self.name, TensorSpec(self.name or spec.name, "INT64", shape))

    def bind(self, info: ModelInfo) -> Kernel:
        """The kernel."""
        spec = info.outputs[self.place(info)]
        axis = class_axis(spec, self.axis, batched=info.batched)
        name, datatype, result = spec.name, spec.datatype, self.name

        def argmax(tensors: Tensors) -> Tensors:
            at = find(tensors, name, datatype)
            best = scores_of(tensors[at], axis).argmax(axis=axis)
            tensor = made(result or name, "INT64", np.asarray(best, _INDEX))
            return (*tensors, tensor) if result else put(tensors, at, tensor)

        return argmax


class TopK(OneOutput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The *k* highest scores of the last dimension, highest first, and which classes they are."""

    kind: ClassVar[str] = "top_k"

    k: Annotated[int, msgspec.Meta(ge=1, description="How many classes are kept.")]
    indices: Annotated[
        str,
        msgspec.Meta(
            description="Name of the further output with the classes, INT64; by default the "
            "output's name and '_indices'."
        ),
    ] = ""

    def after(self, info: ModelInfo) -> ModelInfo:
        """The output cut to *k*, and its classes beside it, which take the labels."""
        at = self.place(info)
        spec = info.outputs[at]
        if -1 < spec.shape[-1] < self.k:
            raise Misfit(f"k is {self.k}, but output '{spec.name}' has {spec.shape[-1]} classes")
        shape = (*spec.shape[:-1], self.k)
        values = TensorSpec(spec.name, spec.datatype, shape)
        classes = TensorSpec(self._classes(spec), "INT64", shape)
        labels = dict(info.labels)
        # A position among the highest says nothing of the class, so the scores lose their labels.
        if names := labels.pop(spec.name, None):
            labels[classes.name] = names
        outputs = added(replaced(info.outputs, at, values), classes)
        return msgspec.structs.replace(info, outputs=outputs, labels=labels)

    def bind(self, info: ModelInfo) -> Kernel:
        """The kernel; among equals the lower class comes first, NaN comes last."""
        spec = info.outputs[self.place(info)]
        name, datatype, classes, k = spec.name, spec.datatype, self._classes(spec), self.k

        def top_k(tensors: Tensors) -> Tensors:
            at = find(tensors, name, datatype)
            scores = scores_of(tensors[at], -1)
            if scores.shape[-1] < k:
                raise BadAnswer(
                    f"output '{name}': {scores.shape[-1]} classes came, top_k needs {k}"
                )
            order = np.argsort(-scores, axis=-1, kind="stable")[..., :k]
            highest = made(name, datatype, np.take_along_axis(scores, order, -1))
            return (*put(tensors, at, highest), made(classes, "INT64", order))

        return top_k

    def _classes(self, spec: TensorSpec) -> str:
        return self.indices or f"{spec.name}_indices"


class Labels(OneOutput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Class numbers to class names, as BYTES of the same shape."""

    kind: ClassVar[str] = "labels"
    reads: ClassVar[frozenset[str]] = INTEGERS

    names: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="The names in class order; without them, see 'file'."),
    ] = ()
    file: Annotated[
        str,
        msgspec.Meta(
            description="A text file with one name a line, in class order; without it and "
            "'names' the labels of the model's own repository are used."
        ),
    ] = ""
    padding: Annotated[
        str | None,
        msgspec.Meta(
            description="The name of class -1, with which detections pad; without it -1 is an "
            "error, as every class without a name is."
        ),
    ] = None
    name: Name = ""

    def __post_init__(self) -> None:
        if self.names and self.file:
            raise ValueError("give 'names' or 'file', not both")

    def recipe(self) -> bytes:
        """The fields, and the names where a file holds them."""
        return msgspec.msgpack.encode((self, self._own_names()))

    def after(self, info: ModelInfo) -> ModelInfo:
        """BYTES in place or as a further output; names themselves have no labels."""
        at = self.place(info, rank=0)
        spec = info.outputs[at]
        self._vocabulary(info, spec)
        changed = beside(
            info, at, self.name, TensorSpec(self.name or spec.name, "BYTES", spec.shape)
        )
        labels = dict(changed.labels)
        labels.pop(self.name or spec.name, None)
        return msgspec.structs.replace(changed, labels=labels)

    def bind(self, info: ModelInfo) -> Kernel:
        """The kernel; raises BadAnswer for a class that has no name."""
        spec = info.outputs[self.place(info, rank=0)]
        name, datatype, result = spec.name, spec.datatype, self.name
        vocabulary = self._vocabulary(info, spec)
        count, least = len(vocabulary), 0
        if self.padding is not None:
            # Behind all others, where index -1 finds it.
            vocabulary, least = (*vocabulary, self.padding), -1
        elements = [
            struct.pack("<I", len(raw)) + raw for raw in (text.encode() for text in vocabulary)
        ]

        def labels(tensors: Tensors) -> Tensors:
            at = find(tensors, name, datatype)
            classes = tensors[at]
            numbers = np.frombuffer(classes.data, NUMPY[datatype]).tolist()
            if numbers and not least <= min(numbers) <= max(numbers) < count:
                wrong = min(numbers) if min(numbers) < least else max(numbers)
                raise BadAnswer(f"output '{name}': class {wrong}, but {count} have names")
            data = b"".join([elements[number] for number in numbers])
            tensor = Tensor(result or name, "BYTES", classes.shape, data)
            return (*tensors, tensor) if result else put(tensors, at, tensor)

        return labels

    def _vocabulary(self, info: ModelInfo, spec: TensorSpec) -> tuple[str, ...]:
        names = self._own_names() or info.labels.get(spec.name, ())
        if not names:
            raise Misfit(
                f"the model has no labels for output '{spec.name}'; give 'names' or a 'file'"
            )
        return names

    def _own_names(self) -> tuple[str, ...]:
        if not self.file:
            return self.names
        try:
            text = Path(self.file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misfit(f"labels file '{self.file}' cannot be read: {error}") from None
        lines = text.splitlines()
        if not lines or not all(line.strip() for line in lines):
            raise Misfit(f"labels file '{self.file}' must have one name on every line")
        return tuple(line.strip() for line in lines)
