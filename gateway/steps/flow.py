# SPDX-License-Identifier: Apache-2.0
"""Flow: a list of steps put together for one model, and what clients then see of the model."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec

from gateway.errors import ConfigError
from gateway.steps.step import (
    InputStep,
    Kernel,
    Misfit,
    OutputStep,
    Rewiring,
    Step,
    Tensors,
    added,
    listed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.steps.augment import Ensemble
    from gateway.wire.model import ModelInfo, TensorSpec

T = TypeVar("T")

# Part of every digest; to be raised when a step's results change for the same recipe.
_EDITION: Final = b"steps 1"


def client_info(
    info: ModelInfo,
    preprocess: Sequence[InputStep | Rewiring] = (),
    postprocess: Sequence[OutputStep] = (),
) -> ModelInfo:
    """*info* as clients see it: what the first step takes, what the last one gives.

    Raises ConfigError, for each list with the first step that does not fit, what it found and
    what it needs.
    """
    faults: list[str] = []
    seen = info
    try:
        seen = _inputs_path(info, preprocess)[-1]
    except ConfigError as error:
        faults += error.faults
    try:
        # From the model's own inputs: those are what steps on the way back may read.
        last = _outputs_path(info, postprocess)[-1]
    except ConfigError as error:
        faults += error.faults
    else:
        kept = _without(last.outputs, carried(info, postprocess))
        seen = msgspec.structs.replace(seen, outputs=kept, labels=last.labels)
    if faults:
        raise ConfigError(faults)
    return seen


def carried(info: ModelInfo, postprocess: Sequence[OutputStep]) -> tuple[TensorSpec, ...]:
    """The inputs of *info* that *postprocess* reads on the way back; raises ConfigError."""
    wanted: set[str] = set()
    names = [spec.name for spec in info.inputs]
    for at, step in enumerate(postprocess):
        for name in step.carries:
            if name not in names:
                place = f"model '{info.name}': postprocess[{at}] {step.kind}"
                fault = f"{place}: it reads input '{name}'; the model has {listed(names)}"
                raise ConfigError([fault])
            wanted.add(name)
    return tuple(spec for spec in info.inputs if spec.name in wanted)


def bind_inputs(info: ModelInfo, steps: Sequence[InputStep | Rewiring]) -> Kernel:
    """All *steps* as one kernel, for the inputs of `client_info`; raises ConfigError."""
    # The path leads from the model to the client; the kernels run the other way.
    path = _inputs_path(info, steps)
    kernels = []
    for at, step in enumerate(steps):
        behind = len(steps) - 1 - at
        if isinstance(step, Rewiring):
            kernels.append(_fit(step, step.bind_to, path[behind], f"preprocess[{at}]"))
        else:
            kernels.append(_fit(step, step.bind, path[behind + 1], f"preprocess[{at}]"))
    return _chain(kernels)


def bind_outputs(info: ModelInfo, steps: Sequence[OutputStep]) -> Kernel:
    """All *steps* as one kernel, for the outputs of a worker of *info*; raises ConfigError.

    The kernel takes what `carried` names behind the outputs.
    """
    given = _outputs_path(info, steps)[:-1]
    kernels = [
        _fit(step, step.bind, given[at], f"postprocess[{at}]") for at, step in enumerate(steps)
    ]
    if inputs := carried(info, steps):
        kernels.append(lambda tensors: _without(tensors, inputs))
    return _chain(kernels)


def digest(
    preprocess: Sequence[InputStep | Rewiring] = (),
    postprocess: Sequence[OutputStep] = (),
    ensemble: Ensemble | None = None,
) -> bytes:
    """32 bytes that differ where the steps' results may, for cache keys; raises ConfigError."""
    hashed = sha256(_EDITION)
    for section, steps in (("preprocess", preprocess), ("postprocess", postprocess)):
        hashed.update(f"|{section} {len(steps)}".encode())
        for at, step in enumerate(steps):
            try:
                recipe = step.recipe()
            except Misfit as error:
                raise ConfigError([f"{section}[{at}] {step.kind}: {error}"]) from None
            hashed.update(f"|{step.kind} {len(recipe)}|".encode())
            hashed.update(recipe)
    if ensemble is not None:
        hashed.update(b"|augment " + ensemble.recipe())
    return hashed.digest()


def _inputs_path(info: ModelInfo, preprocess: Sequence[InputStep | Rewiring]) -> list[ModelInfo]:
    """The model, then what each step takes, from the last step to the first."""
    path = [info]
    for at in reversed(range(len(preprocess))):
        step = preprocess[at]
        if path[-1].table is not None:
            found = preprocess[at + 1].kind
            where = f"model '{info.name}': preprocess[{at + 1}] {found}"
            raise ConfigError([f"{where}: it must be the first step, found behind {step.kind}"])
        path.append(_fit(step, step.before, path[-1], f"preprocess[{at}]"))
    return path


def _outputs_path(info: ModelInfo, postprocess: Sequence[OutputStep]) -> list[ModelInfo]:
    """The model with what is carried, then what each step gives, from the first to the last."""
    outputs = info.outputs
    for spec in carried(info, postprocess):
        try:
            outputs = added(outputs, spec)
        except Misfit as error:
            raise ConfigError([f"model '{info.name}': postprocess: {error}"]) from None
    path = [msgspec.structs.replace(info, outputs=outputs)]
    for at, step in enumerate(postprocess):
        path.append(_fit(step, step.after, path[-1], f"postprocess[{at}]"))
    return path


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def _without(those: tuple[N, ...], inputs: tuple[TensorSpec, ...]) -> tuple[N, ...]:
    """*those* that are none of *inputs*."""
    names = {spec.name for spec in inputs}
    return tuple([each for each in those if each.name not in names])


def _fit(step: Step, act: Callable[[ModelInfo], T], given: ModelInfo, place: str) -> T:
    try:
        return act(given)
    except Misfit as error:
        raise ConfigError([f"model '{given.name}': {place} {step.kind}: {error}"]) from None


def _chain(kernels: list[Kernel]) -> Kernel:
    if len(kernels) == 1:
        return kernels[0]

    def chain(tensors: Tensors) -> Tensors:
        for kernel in kernels:
            tensors = kernel(tensors)
        return tensors

    return chain
