# SPDX-License-Identifier: Apache-2.0
"""Texts: BYTES tensors with one UTF-8 text a row, as the steps that read text take them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from gateway.errors import InvalidRequest
from gateway.steps.step import Misfit
from gateway.wire.tensor import split_elements

if TYPE_CHECKING:
    from gateway.wire.model import TensorSpec
    from gateway.wire.tensor import Tensor

MAX_BYTES: Final = 64 << 10
# Texts of one request: each is an object or two, however short it is.
_MAX_TEXTS: Final = 1 << 18
# Bytes of them together: what is made of each takes up to a microsecond.
_MAX_TOTAL: Final = 16 << 20

Bound = Annotated[
    int,
    msgspec.Meta(
        ge=1,
        le=64 << 20,
        description="The longest text of one row that is taken, in bytes of UTF-8; a longer one is "
        "answered 400. Danger: what a text costs grows with it, and a request may have many.",
    ),
]


def texts(tensor: Tensor, *, max_bytes: int) -> list[str]:
    """The elements of *tensor*, decoded.

    Raises InvalidRequest with the row for one that is not UTF-8 (a lone surrogate never is), or
    has more than *max_bytes*, and for too many of them.
    """
    count = prod(tensor.shape)
    if count > _MAX_TEXTS:
        raise InvalidRequest(
            f"input '{tensor.name}': {count} texts are too many, at most {_MAX_TEXTS} are taken"
        )
    if tensor.nbytes > _MAX_TOTAL:
        raise InvalidRequest(
            f"input '{tensor.name}': the texts have {tensor.nbytes} bytes together, at most "
            f"{_MAX_TOTAL} are taken in one request"
        )
    elements = split_elements(tensor.data, count, tensor.name)
    try:
        if not elements or len(max(elements, key=len)) <= max_bytes:
            return [element.decode() for element in elements]
    except UnicodeDecodeError:
        pass
    raise _refusal(tensor.name, elements, max_bytes)


def needs_text(spec: TensorSpec, kind: str) -> TensorSpec:
    """*spec* itself; raises Misfit unless it is BYTES, as the step *kind* takes."""
    if spec.datatype != "BYTES":
        raise Misfit(f"input '{spec.name}' is {spec.datatype} here; {kind} takes BYTES")
    return spec


def _refusal(name: str, elements: list[bytes], max_bytes: int) -> InvalidRequest:
    for row, element in enumerate(elements):
        if len(element) > max_bytes:
            return InvalidRequest(
                f"input '{name}' row {row}: the text has {len(element)} bytes, "
                f"at most {max_bytes} are taken"
            )
        try:
            element.decode()
        except UnicodeDecodeError as error:
            byte = element[error.start]
            return InvalidRequest(
                f"input '{name}' row {row}: not UTF-8: byte 0x{byte:02x} at {error.start}"
            )
    raise AssertionError("one of the elements was at fault")
