# SPDX-License-Identifier: Apache-2.0
"""Flow: a list of steps put together for one model, and what clients then see of the model."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.errors import ConfigError
from gateway.steps.step import InputStep, Kernel, Misfit, OutputStep, Tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.steps.augment import Ensemble
    from gateway.wire.model import ModelInfo

T = TypeVar("T")

# Part of every digest; to be raised when a step's results change for the same recipe.
_EDITION: Final = b"steps 1"


def client_info(
    info: ModelInfo, preprocess: Sequence[InputStep] = (), postprocess: Sequence[OutputStep] = ()
) -> ModelInfo:
    """*info* as clients see it: what the first step takes, what the last one gives.

    Raises ConfigError, for each list with the first step that does not fit, what it found and
    what it needs.
    """
    faults: list[str] = []
    for path in (_inputs_path, _outputs_path):
        try:
            info = path(info, preprocess, postprocess)[-1]
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return info


def bind_inputs(info: ModelInfo, steps: Sequence[InputStep]) -> Kernel:
    """All *steps* as one kernel, for the inputs of `client_info`; raises ConfigError."""
    # The path leads from the model to the client; the kernels run the other way.
    before = _inputs_path(info, steps, ())[1:]
    return _chain(
        [
            _fit(step, step.bind, before[len(steps) - 1 - at], f"preprocess[{at}]")
            for at, step in enumerate(steps)
        ]
    )


def bind_outputs(info: ModelInfo, steps: Sequence[OutputStep]) -> Kernel:
    """All *steps* as one kernel, for the outputs of a worker of *info*; raises ConfigError."""
    given = _outputs_path(info, (), steps)[:-1]
    return _chain(
        [_fit(step, step.bind, given[at], f"postprocess[{at}]") for at, step in enumerate(steps)]
    )


def digest(
    preprocess: Sequence[InputStep] = (),
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


def _inputs_path(
    info: ModelInfo, preprocess: Sequence[InputStep], _: Sequence[OutputStep]
) -> list[ModelInfo]:
    """The model, then what each step takes, from the last step to the first."""
    path = [info]
    for at in reversed(range(len(preprocess))):
        step = preprocess[at]
        path.append(_fit(step, step.before, path[-1], f"preprocess[{at}]"))
    return path


def _outputs_path(
    info: ModelInfo, _: Sequence[InputStep], postprocess: Sequence[OutputStep]
) -> list[ModelInfo]:
    """The model, then what each step gives, from the first step to the last."""
    path = [info]
    for at, step in enumerate(postprocess):
        path.append(_fit(step, step.after, path[-1], f"postprocess[{at}]"))
    return path


def _fit(
    step: InputStep | OutputStep, act: Callable[[ModelInfo], T], given: ModelInfo, place: str
) -> T:
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
