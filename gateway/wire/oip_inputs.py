# SPDX-License-Identifier: Apache-2.0
"""Open Inference Protocol v2 over REST, requests: inputs, from JSON or the bytes behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.errors import InvalidRequest, Unsupported
from gateway.wire.inline_labels import INPUT, label_check
from gateway.wire.oip_binary import binary_input
from gateway.wire.oip_columns import columns
from gateway.wire.oip_parameters import Parameters, is_count
from gateway.wire.tensor import Buffer, Tensor

if TYPE_CHECKING:
    from gateway.wire.oip_binary import Blobs
    from gateway.wire.signature import Signature

_NO_DATA: Final = msgspec.Raw(b"")


class Input(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An entry of ``inputs``; *data* is empty where the bytes stand behind the JSON part."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: msgspec.Raw = _NO_DATA
    parameters: Parameters | None = None


def read_inputs(
    given: list[Input], signature: Signature, blobs: Blobs | None
) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """The inputs of the model, and the labels where there are some.

    *blobs* are the bytes behind the JSON part, None without any. Raises InvalidRequest,
    Unsupported.
    """
    labels = None
    if signature.table is not None:
        found = [_blob(item, blobs) for item in given]
        for at, item in enumerate(given):
            if item.name == INPUT:
                labels = _labels(item, found.pop(at), labels)
                given = [*given[:at], *given[at + 1 :]]
                break
        return columns(given, found, signature, signature.table), labels
    tensors = []
    expected = signature.inputs
    for item in given:
        name = item.name
        check = expected.get(name)
        if check is None:
            if name == INPUT:
                labels = _labels(item, _blob(item, blobs), labels)
                continue
            raise signature.unknown_input(name)
        if item.datatype != check.datatype:
            raise InvalidRequest(
                f"input '{name}': datatype '{item.datatype[:16]}' given, {check.datatype} expected"
            )
        if item.parameters is None and item.data is not _NO_DATA:
            data: Buffer = check.from_json(item.shape, item.data)
        else:
            size = _binary_size(item)
            if size is None:
                data = check.from_json(item.shape, item.data)
            elif blobs is None:
                raise _no_length(name)
            else:
                data = binary_input(blobs.take(size, name), check, item.shape)
        tensors.append(Tensor(name, item.datatype, item.shape, data))
    if len(tensors) != len(expected) or len(tensors) != 1:
        signature.check_names([tensor.name for tensor in tensors])
        signature.check_rows(tensors)
    return tuple(tensors), labels


def _labels(item: Input, blob: Buffer | None, before: Tensor | None) -> Tensor:
    if before is not None:
        raise InvalidRequest(f"input '{INPUT}' is given more than once")
    check = label_check(item.datatype, item.shape)
    if blob is None:
        data: Buffer = check.from_json(item.shape, item.data)
    else:
        data = binary_input(blob, check, item.shape)
    return Tensor(INPUT, item.datatype, item.shape, data)


def _blob(item: Input, blobs: Blobs | None) -> Buffer | None:
    size = _binary_size(item)
    if size is None:
        return None
    if blobs is None:
        raise _no_length(item.name)
    return blobs.take(size, item.name)


def _no_length(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"input '{name}': binary_data_size is set, "
        "but the header Inference-Header-Content-Length is missing"
    )


def _binary_size(item: Input) -> int | None:
    """Where the data of *item* is: the size of its blob, or None for ``data``."""
    parameters = item.parameters or {}
    sources = [
        source
        for source, present in (
            ("data", item.data is not _NO_DATA),
            ("binary_data_size", "binary_data_size" in parameters),
            ("shared_memory_region", "shared_memory_region" in parameters),
        )
        if present
    ]
    if len(sources) != 1:
        raise InvalidRequest(
            f"input '{item.name}': exactly one of 'data', 'binary_data_size' in 'parameters' and "
            "'shared_memory_region' in 'parameters' must be set, found "
            + (" and ".join(f"'{source}'" for source in sources) or "none")
        )
    if sources[0] == "shared_memory_region":
        raise Unsupported(f"input '{item.name}': shared memory is not offered; send the data")
    if sources[0] == "data":
        return None
    size = parameters["binary_data_size"]
    if not is_count(size):
        raise InvalidRequest(f"input '{item.name}': binary_data_size must be an integer from 0")
    return int(size)
