# SPDX-License-Identifier: Apache-2.0
"""``infergate golden`` and ``check --golden``: write golden vectors, and hold steps to them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from gateway.errors import ConfigError, GatewayError
from gateway.lab import LabError
from gateway.lab.dataset import fit, read_arrays
from gateway.steps import bind_inputs, client_info
from gateway.steps.golden import read_golden, write_golden
from gateway.wire.model import ModelInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.config import Config, ModelConfig, WorkerConfig

    # The command that describes the model of a worker, and its environment.
    Describe = Callable[[str, WorkerConfig], tuple[Sequence[str], Mapping[str, str]]]

_PATIENCE: Final = 120.0


def info_of(name: str, section: ModelConfig, describe: Describe) -> ModelInfo:
    """The model *name* as a worker of *section* describes it; raises LabError where none can."""
    worker = next((each.worker for each in section.backends if each.worker is not None), None)
    if worker is None:
        raise LabError(
            f"model '{name}' is served elsewhere only, so its inputs are not known here; put the "
            "file into its section as 'golden', to be checked once it is connected"
        )
    command, environment = describe(name, worker)
    try:
        told = subprocess.run(
            command, env=environment, capture_output=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"model '{name}' does not load within {_PATIENCE:g} s") from None
    if told.returncode:
        raise LabError(f"model '{name}': {told.stderr.decode(errors='replace').strip()}")
    return msgspec.json.decode(told.stdout, type=ModelInfo)


def check(config: Config, file: str, model: str, describe: Describe) -> list[str]:
    """What is wrong with the steps of *model* by the vectors in *file*; raises LabError."""
    name, section = _section(config, model)
    golden = section.golden
    tolerances = {} if golden is None else {"rtol": golden.rtol, "atol": golden.atol}
    info = info_of(name, section, describe)
    try:
        return read_golden(file).faults(info, section.preprocess, section.postprocess, **tolerances)
    except ConfigError as error:
        return error.faults


def write(config: Config, model: str, describe: Describe, *, data: str, to: str, rows: int) -> str:
    """Write what the steps of *model* make of the first *rows* of *data* to the file *to*.

    Gives what was written, in words; raises LabError.
    """
    name, section = _section(config, model)
    info = info_of(name, section, describe)
    try:
        specs = client_info(info, section.preprocess, section.postprocess).inputs
        arrays = read_arrays(data)
        # Labels are not needed here; a data set has them, and what is fitted counts rows by them.
        first = next((arrays[spec.name] for spec in specs if spec.name in arrays), None)
        first = arrays.get("inputs") if first is None else first
        if first is not None and first.ndim:
            arrays["labels"] = np.zeros(len(first), np.int64)
        dataset = fit(data, arrays, specs, rows=rows)
        part = next(iter(dataset.slices()))
        made = write_golden(to, dataset.tensors(part), bind_inputs(info, section.preprocess))
    except ConfigError as error:
        raise LabError("; ".join(error.faults)) from None
    except GatewayError as error:
        raise LabError(f"{data}: {error}") from None
    except OSError as error:
        raise LabError(f"{to}: {error.strerror}") from None
    shapes = ", ".join(f"{tensor.name} {tensor.datatype}{list(tensor.shape)}" for tensor in made)
    return f"{to}: golden vectors of {name}: {shapes}"


def _section(config: Config, model: str) -> tuple[str, ModelConfig]:
    """The model that is meant, the only one by default; raises LabError."""
    known = ", ".join(config.models)
    if not model and len(config.models) != 1:
        raise LabError(f"say which model with -m; the configuration has {known}")
    name = model or next(iter(config.models))
    if name not in config.models:
        raise LabError(f"no model '{name}'; the configuration has {known}")
    return name, config.models[name]
