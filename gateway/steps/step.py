# SPDX-License-Identifier: Apache-2.0
"""Step: one transformation of tensors on their way to a model or back from it.

A step is its own configuration section. Bound to a model it becomes a kernel: pure, synchronous,
deterministic, vectorised, and equal on a batch and on its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar, Final, Protocol, TypeAlias, runtime_checkable

import msgspec
import numpy as np

from gateway.errors import BadAnswer, InvalidRequest
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Array, Buffer, Tensor

Tensors: TypeAlias = tuple[Tensor, ...]
Kernel: TypeAlias = Callable[[Tensors], Tensors]
Change: TypeAlias = Callable[[Tensor], Tensor]

FLOATS: Final = frozenset({"FP16", "FP32", "FP64"})
INTEGERS: Final = frozenset(
    {"UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"}
)
# What a kernel of a few passes over its numbers handles in about a millisecond.
QUICK: Final = 1 << 20
# Below so many bytes a copy costs less than a view of the array that holds them.
_COPY: Final = 1 << 16


class Misfit(Exception):
    """A step cannot be applied to this model; the message says what it found and what it needs."""


class Step(Protocol):
    """What both directions have in common; *kind* is the step's name in a configuration.

    *inline_bytes* of tensors are handled in about a millisecond; more of them take a thread. 0 is
    for a step whose cost nobody can know before it has run; below 0 all do, as for what is small
    only while it is encoded. *rows_apart*: a row becomes the same whatever rows are beside it;
    where padding says otherwise, requests are never merged before it.
    """

    kind: ClassVar[str]
    inline_bytes: ClassVar[int]
    rows_apart: ClassVar[bool]

    def faults(self) -> Iterable[tuple[str, str]]:
        """Field and fault of all that is missing here: files, optional packages."""
        ...

    def recipe(self) -> bytes:
        """All that decides what the step does, for digests: equal recipes, equal results."""
        ...


class InputStep(Step, Protocol):
    """A step on the way to the model."""

    def before(self, info: ModelInfo) -> ModelInfo:
        """The inputs that this step turns into those of *info*; raises Misfit.

        `bind` takes what this returns.
        """
        ...

    def bind(self, info: ModelInfo) -> Kernel:
        """The step made ready for tensors as *info* describes them; raises Misfit."""
        ...


@runtime_checkable
class Rewiring(Step, Protocol):
    """A step on the way to the model that makes other inputs of those it takes.

    What it makes depends on what stands behind it, so that is what it is bound to.
    """

    def before(self, info: ModelInfo) -> ModelInfo:
        """As `InputStep.before`."""
        ...

    def bind_to(self, info: ModelInfo) -> Kernel:
        """The step made ready to make the inputs of *info*, which `before` takes; raises Misfit."""
        ...


class OutputStep(Step, Protocol):
    """A step on the way back."""

    def bind(self, info: ModelInfo) -> Kernel:
        """The step made ready for tensors as *info* describes them; raises Misfit."""
        ...

    @property
    def carries(self) -> tuple[str, ...]:
        """Names of the model's inputs that this step reads beside the outputs.

        They travel to it as further outputs, and end with the last step.
        """
        ...

    def after(self, info: ModelInfo) -> ModelInfo:
        """The outputs and labels that this step makes of those of *info*; raises Misfit.

        `bind` takes what this was given.
        """
        ...


class OneInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An input step that changes one input and leaves its name."""

    kind: ClassVar[str]
    inline_bytes: ClassVar[int] = QUICK
    rows_apart: ClassVar[bool] = True

    input: Annotated[
        str, msgspec.Meta(description="Name of the input; needed where a model has several.")
    ] = ""

    def faults(self) -> Iterable[tuple[str, str]]:
        """None: most steps are complete in themselves."""
        return ()

    def recipe(self) -> bytes:
        """The fields."""
        return msgspec.msgpack.encode(self)

    def before(self, info: ModelInfo) -> ModelInfo:
        """*info* with the input that this step takes; raises Misfit."""
        at = self._place(info)
        specs = list(info.inputs)
        specs[at] = self.source(specs[at], batched=info.batched)
        return msgspec.structs.replace(info, inputs=tuple(specs))

    def bind(self, info: ModelInfo) -> Kernel:
        """The kernel for inputs as `before` described them; raises Misfit."""
        spec = info.inputs[self._place(info)]
        change = self.change(spec, batched=info.batched)
        return self.kernel(spec.name, spec.datatype, change, alone=len(info.inputs) == 1)

    @staticmethod
    def kernel(name: str, datatype: str, change: Change, *, alone: bool) -> Kernel:
        """*change* of the tensor called *name*, which must be of *datatype*.

        Others are left as they are; *alone*: there are none.
        """

        def only(tensors: Tensors) -> Tensors:
            (tensor,) = tensors
            if tensor.datatype != datatype:
                raise wrong_datatype(tensor, datatype)
            return (change(tensor),)

        def among(tensors: Tensors) -> Tensors:
            changed = []
            for tensor in tensors:
                if tensor.name != name:
                    changed.append(tensor)
                elif tensor.datatype != datatype:
                    raise wrong_datatype(tensor, datatype)
                else:
                    changed.append(change(tensor))
            return tuple(changed)

        return only if alone else among

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:
        """What must come in, so that *spec* comes out; raises Misfit."""
        raise NotImplementedError

    def change(self, spec: TensorSpec, *, batched: bool) -> Change:
        """The function for tensors of *spec*, as `source` returned it."""
        raise NotImplementedError

    def _place(self, info: ModelInfo) -> int:
        names = [spec.name for spec in info.inputs]
        if self.input:
            if self.input not in names:
                raise Misfit(f"there is no input '{self.input}'; the model has {listed(names)}")
            return names.index(self.input)
        if len(names) != 1:
            raise Misfit(f"say which 'input' is meant: the model has {listed(names)}")
        return 0


class Conversion(OneInput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step that makes one input of one of another type or shape, and so has to know both."""

    def bind_to(self, info: ModelInfo) -> Kernel:
        """The kernel that makes the input that *info* has; raises Misfit."""
        spec = info.inputs[self._place(info)]
        given = self.source(spec, batched=info.batched)
        change = self.convert(given, spec, batched=info.batched)
        return self.kernel(given.name, given.datatype, change, alone=len(info.inputs) == 1)

    def convert(self, given: TensorSpec, spec: TensorSpec, *, batched: bool) -> Change:
        """The function from tensors of *given*, as `source` returned it, to those of *spec*."""
        raise NotImplementedError


class OnOutputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An output step as most are: complete in itself, quick, and blind to what is beside a row."""

    kind: ClassVar[str]
    inline_bytes: ClassVar[int] = QUICK
    rows_apart: ClassVar[bool] = True

    def faults(self) -> Iterable[tuple[str, str]]:
        """None: most steps are complete in themselves."""
        return ()

    @property
    def carries(self) -> tuple[str, ...]:
        """None: most steps read outputs alone."""
        return ()

    def recipe(self) -> bytes:
        """The fields."""
        return msgspec.msgpack.encode(self)


class OneOutput(OnOutputs, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An output step that reads one output; what it makes replaces that or stands beside it."""

    output: Annotated[
        str,
        msgspec.Meta(description="Name of the output; needed where several are of a fitting type."),
    ] = ""

    # The datatypes that a step can read.
    reads: ClassVar[frozenset[str]] = FLOATS

    def after(self, info: ModelInfo) -> ModelInfo:
        """See `OutputStep.after`."""
        raise NotImplementedError

    def bind(self, info: ModelInfo) -> Kernel:
        """See `Step.bind`."""
        raise NotImplementedError

    def place(self, info: ModelInfo, *, rank: int = 1) -> int:
        """Which output of *info* is meant: one this step reads, of *rank* more than the batch.

        Raises Misfit where that is none or not clear.
        """
        need = rank + info.batched
        fits = [s.datatype in self.reads and len(s.shape) >= need for s in info.outputs]
        names = [spec.name for spec in info.outputs]
        kinds = f"{'/'.join(sorted(self.reads))} output of at least {need} dimensions"
        if self.output:
            if self.output not in names:
                raise Misfit(f"there is no output '{self.output}' here, only {listed(names)}")
            at = names.index(self.output)
            if not fits[at]:
                found = info.outputs[at]
                raise Misfit(
                    f"output '{found.name}' is {found.datatype}{list(found.shape)} here; "
                    f"expected a {kinds}"
                )
            return at
        if sum(fits) != 1:
            which = listed([name for name, fit in zip(names, fits, strict=True) if fit])
            raise Misfit(f"say which 'output' is meant: {which} could be, as {kinds}")
        return fits.index(True)


def replaced(specs: tuple[TensorSpec, ...], at: int, spec: TensorSpec) -> tuple[TensorSpec, ...]:
    """*specs* with *spec* in place *at*."""
    return (*specs[:at], spec, *specs[at + 1 :])


def added(specs: tuple[TensorSpec, ...], spec: TensorSpec) -> tuple[TensorSpec, ...]:
    """*specs* and *spec*; raises Misfit where its name is taken."""
    if any(spec.name == other.name for other in specs):
        raise Misfit(f"there is an output '{spec.name}' already; choose another name")
    return (*specs, spec)


def find(tensors: Tensors, name: str, datatype: str) -> int:
    """Where the output *name* is; raises BadAnswer if a worker left it out or changed its type."""
    for at, tensor in enumerate(tensors):
        if tensor.name == name:
            if tensor.datatype != datatype:
                raise BadAnswer(f"output '{name}': {tensor.datatype} came, {datatype} expected")
            return at
    raise BadAnswer(f"output '{name}' is missing in the worker's answer")


def class_axis(spec: TensorSpec, axis: int, *, batched: bool) -> int:
    """*axis* counted from the front; raises Misfit where *spec* has none or it is the batch."""
    rank = len(spec.shape)
    if not -rank <= axis < rank:
        raise Misfit(f"'{spec.name}' has shape {list(spec.shape)}, so there is no axis {axis}")
    if axis < 0:
        axis += rank
    if axis == 0 and batched:
        raise Misfit(f"axis 0 of '{spec.name}' is the batch; rows must not see each other")
    return axis


def buffer(array: Array) -> Buffer:
    """The bytes of a contiguous *array* that nobody else holds."""
    return array.tobytes() if array.nbytes <= _COPY else array.data.cast("B")


def constant(value: float, dtype: np.dtype[Any], what: str) -> Any:  # noqa: ANN401 - numpy scalars
    """*value* as a *dtype* scalar; raises Misfit if it is not finite there."""
    with np.errstate(over="ignore"):
        scalar = dtype.type(value)
    if not np.isfinite(scalar):
        raise Misfit(f"{what} {value} is out of range for {dtype.name}")
    return scalar


def wrong_datatype(tensor: Tensor, expected: str) -> InvalidRequest:
    """The refusal of a *tensor* that a step cannot read."""
    return InvalidRequest(
        f"input '{tensor.name}': datatype {tensor.datatype} given, {expected} expected"
    )


def listed(names: list[str]) -> str:
    """*names* for a message."""
    return ", ".join(f"'{name}'" for name in names) or "none"
