# SPDX-License-Identifier: Apache-2.0
"""Open Inference Protocol v2 over REST from the asking side: an InferRequest as a request's body.

Tensors go as bytes to a server that has the binary extension, as JSON to one that has not.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from gateway.errors import InvalidRequest
from gateway.wire.oip_json import BINARY_ONLY, NUMPY_OPTION, json_data, json_dumps
from gateway.wire.tensor import numbers, split_elements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.wire.message import InferRequest
    from gateway.wire.tensor import Buffer, Tensor

_FLOATS: Final = frozenset({"FP16", "BF16", "FP32", "FP64"})


class Question(NamedTuple):
    """A body in *parts*; *json_length* is the size of its JSON where tensors follow it."""

    parts: list[Buffer]
    json_length: int | None

    @property
    def size(self) -> int:
        """Bytes of the whole body."""
        return sum(len(part) for part in self.parts)


def encode_question(
    request: InferRequest, *, id_: str, binary: bool, parameters: Mapping[str, Any]
) -> Question:
    """The body that asks for *request*; *parameters* are those for the server itself.

    A tensor's buffer is not copied. Raises InvalidRequest for what JSON cannot carry: NaN,
    infinities, and bytes that are not UTF-8.
    """
    all_parameters = {**(request.parameters or {}), **parameters}
    if binary and not request.outputs:
        all_parameters["binary_data_output"] = True
    head = b'{"id":' + json_dumps(id_)
    if all_parameters:
        head += b',"parameters":' + json_dumps(all_parameters)
    if request.outputs:
        names = dict.fromkeys(output.name for output in request.outputs)
        # Servers take the flag for all outputs to be about those that are not listed.
        flag = {"parameters": {"binary_data": True}} if binary else {}
        head += b',"outputs":' + json_dumps([{"name": name, **flag} for name in names])
    described = [_described(tensor, binary=binary) for tensor in request.inputs]
    text = b"".join((head, b',"inputs":[', b",".join(described), b"]}"))
    if not binary:
        return Question([text], None)
    blobs = [tensor.data for tensor in request.inputs if len(tensor.data)]
    return Question([text, *blobs], len(text))


def _described(tensor: Tensor, *, binary: bool) -> bytes:
    if binary:
        return json_dumps({
            "name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape,
            "parameters": {"binary_data_size": tensor.nbytes},
        })  # fmt: skip
    told = json_dumps({"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape})
    return b'%b,"data":%b}' % (told[:-1], _data(tensor))


def _data(tensor: Tensor) -> bytes:
    """The elements of an input as a flat JSON array."""
    if tensor.datatype == "BYTES":
        try:
            elements = split_elements(tensor.data, prod(tensor.shape), tensor.name)
            return json_dumps([element.decode() for element in elements])
        except UnicodeDecodeError:
            raise _not_json(tensor, "bytes that are not UTF-8") from None
    if tensor.datatype in _FLOATS:
        values = numbers(tensor)
        if not np.isfinite(values).all():
            raise _not_json(tensor, "NaN or infinity")
        if tensor.datatype in BINARY_ONLY:
            # No precision is lost, since a float32 holds every half.
            flat = np.ascontiguousarray(values, np.float32).ravel()
            return json_dumps(flat, option=NUMPY_OPTION)
    return json_data(tensor)


def _not_json(tensor: Tensor, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"input '{tensor.name}' holds {what}, and the server of this model takes JSON alone, "
        "which cannot carry that"
    )
