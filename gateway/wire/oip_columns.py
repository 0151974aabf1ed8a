# SPDX-License-Identifier: Apache-2.0
"""Open Inference Protocol v2 over REST, requests to a model that takes records: inputs by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.errors import InvalidRequest
from gateway.wire.oip_binary import binary_input
from gateway.wire.tensor import Buffer, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    import msgspec

    from gateway.wire.signature import Signature
    from gateway.wire.table import TableReader


class Given(Protocol):
    """One input as the JSON part has it."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: msgspec.Raw


def columns(
    given: Sequence[Given],
    blobs: Sequence[Buffer | None],
    signature: Signature,
    table: TableReader,
) -> tuple[Tensor, ...]:
    """The columns of *table*, of which some may be missing; raises InvalidRequest.

    *blobs* has the bytes of each that came as binary data, None for one that has ``data``.
    """
    columns: dict[str, Tensor] = {}
    for item, blob in zip(given, blobs, strict=True):
        name, shape = item.name, item.shape
        check = signature.inputs.get(name)
        if check is None:
            table.pass_over(name)
            continue
        if item.datatype != check.datatype:
            raise InvalidRequest(
                f"input '{name}': datatype '{item.datatype[:16]}' given, {check.datatype} expected"
            )
        if name in columns:
            raise InvalidRequest(f"input '{name}' is given more than once")
        if len(shape) == 2 and shape[1] == 1:
            # As clients do who make each column a matrix of one.
            shape = shape[:1]
        if blob is not None:
            columns[name] = Tensor(name, item.datatype, shape, binary_input(blob, check, shape))
            continue
        count = check.count(shape)
        data, rows = table.column(name, item.data)
        if rows != count:
            raise InvalidRequest(
                f"input '{name}': shape {list(shape)} takes {count} elements, data has {rows}"
            )
        columns[name] = Tensor(name, item.datatype, shape, data)
    return table.complete(columns)
