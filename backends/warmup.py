# SPDX-License-Identifier: Apache-2.0
"""The first inferences of a model: they prove that it computes and show what it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from backends.errors import StartError
from backends.independence import coupling
from backends.repository import ModelFile
from backends.session import PLATFORM, Session
from backends.tensors import Feed, made_up
from gateway.errors import GatewayError, InvalidRequest
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import NUMPY, Tensor

_INTEGERS: Final = ("INT", "UINT")


class Warm(msgspec.Struct, frozen=True):
    """A model that has run: *probe* is the input of the warm-up, None where there was none."""

    info: ModelInfo
    probe: Feed | None


def warm_up(
    session: Session,
    file: ModelFile,
    *,
    runs: int = 3,
    data: Path | None = None,
    batched: bool | None = None,
    parallelism: int = 1,
) -> Warm:
    """Run *session* a few times and describe its model.

    *data* is an .npz with an array for each input, else inputs are made up. *batched* None finds
    out: every input and output has a free first dimension, and two rows give two rows.
    *runs* 0 computes nothing: the description is then what the file declares.
    Of a model with a batch dimension it is tried whether rows depend on each other.
    Raises StartError if a run fails.
    """
    free = all(spec.shape and spec.shape[0] == -1 for spec in session.inputs + session.outputs)
    outputs, probe, loaded = session.outputs, None, None
    if runs:
        loaded = _load(data, session) if data else None
        probe = _feed(session, loaded or _made_up(session, 1))
        given = _run(session, probe)
        for _ in range(runs - 1):
            _run(session, probe)
        outputs = tuple(map(_seen, session.outputs, given))
        # An output of unknown rank shows only now whether it has a first dimension.
        free = bool(session.inputs) and all(
            spec.shape and spec.shape[0] == -1 for spec in session.inputs + outputs
        )
        if free and batched is None:
            free = _keeps_rows(session)
        observed = [tensor.shape for tensor in given]
    else:
        observed = [spec.shape for spec in outputs]
    rows = free if batched is None else batched
    info = ModelInfo(
        file.name,
        file.version,
        PLATFORM,
        file.digest,
        session.inputs,
        outputs,
        batched=rows,
        labels=label_outputs(outputs, observed, file.labels),
        parallelism=parallelism,
        coupling=coupling(session, loaded) if rows and runs else None,
    )
    return Warm(info, probe)


def label_outputs(
    outputs: tuple[TensorSpec, ...], shapes: list[tuple[int, ...]], labels: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """Which outputs the class names belong to.

    An output as wide as there are names scores them (its last dimension in *shapes*, where the
    sizes of a run stand); an integer output of one element a row is the number of a class.
    """
    found = {}
    for spec, shape in zip(outputs, shapes, strict=True):
        scores = bool(shape) and shape[-1] == len(labels)
        one_a_row = all(size == 1 for size in shape[1:])
        if labels and (scores or (spec.datatype.startswith(_INTEGERS) and one_a_row)):
            found[spec.name] = labels
    return found


def _seen(spec: TensorSpec, tensor: Tensor) -> TensorSpec:
    """*spec* with the rank of *tensor* where the model leaves it open."""
    if spec.shape or not tensor.shape:
        return spec
    return TensorSpec(spec.name, spec.datatype, (-1,) * len(tensor.shape))


def _keeps_rows(session: Session) -> bool:
    try:
        given = session.run(session.feed(_made_up(session, 2)), session.outputs)
    except GatewayError:
        return False  # its first dimension is free, but it is no batch
    return all(tensor.shape[:1] == (2,) for tensor in given)


def _made_up(session: Session, rows: int) -> tuple[Tensor, ...]:
    return tuple(made_up(spec, rows) for spec in session.inputs)


def _load(path: Path, session: Session) -> tuple[Tensor, ...]:
    tensors = []
    try:
        with np.load(path) as arrays:
            for spec in session.inputs:
                if spec.name not in arrays:
                    raise StartError(path, f"no array '{spec.name}'; it holds {list(arrays)}")
                array = arrays[spec.name]
                wanted = NUMPY[spec.datatype]
                if spec.datatype != "BYTES" and array.dtype != wanted:
                    raise StartError(
                        path, f"array '{spec.name}' is {array.dtype}; the input takes {wanted}"
                    )
                datatype = None if spec.datatype == "BYTES" else spec.datatype
                tensors.append(Tensor.of(spec.name, array, datatype=datatype))
    except (OSError, ValueError, EOFError, InvalidRequest) as error:
        raise StartError(path, f"not an .npz of input arrays: {error}") from error
    return tuple(tensors)


def _feed(session: Session, tensors: tuple[Tensor, ...]) -> Feed:
    try:
        return session.feed(tensors)
    except InvalidRequest as error:
        raise StartError(session.path, f"the warm-up data does not fit: {error}") from error


def _run(session: Session, feed: Feed) -> tuple[Tensor, ...]:
    try:
        return session.run(feed, session.outputs)
    except GatewayError as error:
        raise StartError(
            session.path,
            f"the warm-up inference failed: {error}; "
            "give inputs that the model takes with --warmup-data, or skip it with --warmup 0",
        ) from error
