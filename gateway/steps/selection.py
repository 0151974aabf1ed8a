# SPDX-License-Identifier: Apache-2.0
"""Output steps on whole outputs: select and rename. No value is touched."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from gateway.errors import BadAnswer
from gateway.steps.step import Kernel, Misfit, OnOutputs, Tensors, listed
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Tensor


class Select(OnOutputs, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Some of the outputs, in this order; the model's others never reach a client."""

    kind: ClassVar[str] = "select"

    outputs: Annotated[
        tuple[str, ...],
        msgspec.Meta(min_length=1, description="Names of the outputs that are kept, in order."),
    ]

    def __post_init__(self) -> None:
        if len(set(self.outputs)) != len(self.outputs):
            raise ValueError("outputs must name each output once")

    def after(self, info: ModelInfo) -> ModelInfo:
        """The outputs that are kept; raises Misfit where one is not there."""
        specs = {spec.name: spec for spec in info.outputs}
        _all_there(self.outputs, specs)
        labels = {name: info.labels[name] for name in self.outputs if name in info.labels}
        kept = tuple(specs[name] for name in self.outputs)
        return msgspec.structs.replace(info, outputs=kept, labels=labels)

    def bind(self, info: ModelInfo) -> Kernel:  # noqa: ARG002 - names are all that is needed
        """The kernel."""
        names = self.outputs

        def select(tensors: Tensors) -> Tensors:
            by_name = {tensor.name: tensor for tensor in tensors}
            try:
                return tuple([by_name[name] for name in names])
            except KeyError as error:
                raise BadAnswer(f"output {error} is missing in the worker's answer") from None

        return select


class Rename(OnOutputs, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other names for outputs, so that clients need not know those of an exporter."""

    kind: ClassVar[str] = "rename"

    outputs: Annotated[
        dict[str, str],
        msgspec.Meta(min_length=1, description="The new name of an output by the one it has."),
    ]

    def recipe(self) -> bytes:
        """The fields."""
        return msgspec.msgpack.encode(sorted(self.outputs.items()))

    def after(self, info: ModelInfo) -> ModelInfo:
        """The same outputs by other names; raises Misfit where two would have one."""
        _all_there(tuple(self.outputs), {spec.name: spec for spec in info.outputs})
        names = self.outputs
        outputs = tuple(
            TensorSpec(names.get(spec.name, spec.name), spec.datatype, spec.shape)
            for spec in info.outputs
        )
        taken = [spec.name for spec in outputs]
        if twice := sorted({name for name in taken if taken.count(name) > 1}):
            raise Misfit(f"two outputs would be called {listed(twice)}; choose another name")
        if not all(taken):
            raise Misfit("an output cannot be called ''")
        labels = {names.get(name, name): words for name, words in info.labels.items()}
        return msgspec.structs.replace(info, outputs=outputs, labels=labels)

    def bind(self, info: ModelInfo) -> Kernel:  # noqa: ARG002 - names are all that is needed
        """The kernel."""
        names = self.outputs

        def rename(tensors: Tensors) -> Tensors:
            return tuple(
                [Tensor(names.get(t.name, t.name), t.datatype, t.shape, t.data) for t in tensors]
            )

        return rename


def _all_there(names: tuple[str, ...], specs: dict[str, TensorSpec]) -> None:
    missing = [name for name in names if name not in specs]
    if missing:
        raise Misfit(f"there is no output {listed(missing)} here, only {listed(list(specs))}")
