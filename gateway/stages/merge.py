# SPDX-License-Identifier: Apache-2.0
"""Merge and split: many requests as one, and its answer as many; pure functions."""

from __future__ import annotations

from copy import copy
from itertools import pairwise
from math import prod
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.errors import BadAnswer, InvalidRequest
from gateway.wire.message import InferRequest, InferResponse, Rows
from gateway.wire.tensor import ITEM_SIZE, Buffer, Tensor, element_ends

if TYPE_CHECKING:
    from collections.abc import Sequence

Class: TypeAlias = tuple[Any, ...]


def compatibility(request: InferRequest) -> Class | None:
    """What requests must have in common to share a batch; None for one that must go alone.

    Datatype and trailing shape of every input, what is still to be done to them, the requested
    outputs, and the parameters. Inputs without a row dimension, or that disagree on their number
    of rows, cannot be merged.
    """
    parameters = request.parameters
    inputs = request.inputs
    if len(inputs) == 1:
        tensor = inputs[0]
        if not tensor.shape:
            return None
        if not parameters and not request.outputs:
            # Most are so, and are told apart from the others by their length.
            return (tensor.name, tensor.datatype, tensor.shape[1:], request.finish, None)
        shape: Any = (tensor.name, tensor.datatype, tensor.shape[1:])
    else:
        rows = {tensor.shape[0] if tensor.shape else -1 for tensor in inputs}
        if len(rows) != 1 or -1 in rows:
            return None
        shape = tuple(sorted((t.name, t.datatype, t.shape[1:]) for t in inputs))
    if parameters and "sequence_id" in parameters:
        return None
    outputs = tuple(sorted({output.name for output in request.outputs}))
    rest = tuple(sorted((k, type(v).__name__, v) for k, v in (parameters or {}).items()))
    return (shape, request.finish, outputs, rest)


def placed(request: InferRequest) -> Class | None:
    """`compatibility` where requests belong to endpoints by a key, which they must then share."""
    line = compatibility(request)
    return None if line is None else (*line, request.trace.affinity)


def merge(requests: Sequence[InferRequest]) -> InferRequest:
    """One request with the rows of all *requests*, in order; they must be compatible.

    Its deadline is the latest among them: each member's own is watched by `Batch`.
    """
    first = requests[0]
    if len(first.inputs) == 1:
        inputs: tuple[Tensor, ...] = (_concatenate([r.inputs[0] for r in requests]),)
    else:
        by_name = [{t.name: t for t in r.inputs} for r in requests]
        inputs = tuple(_concatenate([named[t.name] for named in by_name]) for t in first.inputs)
    merged = InferRequest(
        first.model,
        inputs,
        outputs=first.outputs,
        parameters=first.parameters,
        deadline=max([r.deadline for r in requests]),
    )
    merged.members = len(requests)
    merged.finish = first.finish
    merged.trace.affinity = first.trace.affinity
    return merged


def finished(request: InferRequest) -> InferRequest:
    """*request* with the model's own inputs; raises InvalidRequest for what cannot become that."""
    finish = request.finish
    if finish is None:
        return request
    started = perf_counter()
    done = copy(request)
    done.inputs = finish(request.inputs)
    done.finish = None
    request.trace.preprocess += perf_counter() - started
    return done


def _concatenate(tensors: list[Tensor]) -> Tensor:
    first = tensors[0]
    rows = sum([t.shape[0] for t in tensors])
    data = b"".join([t.data for t in tensors])
    return Tensor(first.name, first.datatype, (rows, *first.shape[1:]), data)


def split(response: InferResponse, rows: Sequence[int]) -> list[InferResponse]:
    """The rows of *response* as one response for each of *rows*, which counts its rows.

    Nothing is copied. Raises BadAnswer unless there are outputs, the first dimension of each is
    the sum of *rows*, and its data is as long as its shape says: an answer that does not line up
    must reach nobody.
    """
    if not response.outputs:
        raise BadAnswer("the answer to a batch has no outputs")
    total = sum(rows)
    strides = [_stride(tensor, total) for tensor in response.outputs]
    version = response.version
    if 0 not in strides and rows.count(1) == len(rows):
        shared = Rows(response.outputs, max(strides))
        return [InferResponse(None, version, None, None, shared, row) for row in range(total)]
    cut = [
        _rows_of(tensor, rows, total, stride)
        for tensor, stride in zip(response.outputs, strides, strict=True)
    ]
    return [InferResponse(tensors, version) for tensors in zip(*cut, strict=True)]


def _stride(tensor: Tensor, total: int) -> int:
    """The bytes of one of *total* rows, 0 where rows are of no or of different sizes.

    Raises BadAnswer where *tensor* has another number of rows or bytes.
    """
    shape = tensor.shape
    if not shape or shape[0] != total:
        raise BadAnswer(
            f"output '{tensor.name}' has shape {list(shape)} for a batch of {total} rows"
        )
    stride = ITEM_SIZE[tensor.datatype]
    for extent in shape[1:]:
        stride *= extent
    if tensor.datatype != "BYTES" and tensor.nbytes != total * stride:
        raise BadAnswer(
            f"output '{tensor.name}' has {tensor.nbytes} bytes for {tensor.datatype}{list(shape)}"
        )
    return stride


def _rows_of(tensor: Tensor, rows: Sequence[int], total: int, stride: int) -> list[Tensor]:
    name, datatype, trailing = tensor.name, tensor.datatype, tensor.shape[1:]
    per_row = prod(trailing)
    data: Buffer = tensor.data
    if not isinstance(data, memoryview):
        data = memoryview(data)
    tensors = []
    start = row = 0
    if ITEM_SIZE[datatype]:
        for count in rows:
            end = start + count * stride
            tensors.append(Tensor(name, datatype, (count, *trailing), data[start:end]))
            start = end
        return tensors
    try:
        ends = [0, *element_ends(data, name)]
    except InvalidRequest as error:
        raise BadAnswer(f"output of a batch: {error}") from error
    if len(ends) - 1 != total * per_row:
        raise BadAnswer(
            f"output '{name}' has {len(ends) - 1} elements for the shape {list(tensor.shape)}"
        )
    stops = [0]
    for count in rows:
        row += count
        stops.append(ends[row * per_row])
    for count, (begin, stop) in zip(rows, pairwise(stops), strict=True):
        tensors.append(Tensor(name, datatype, (count, *trailing), data[begin:stop]))
    return tensors
