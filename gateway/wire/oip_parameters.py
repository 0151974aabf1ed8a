# SPDX-License-Identifier: Apache-2.0
"""What a v2 request asks for beside its data: its parameters, and the outputs that it lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from gateway.errors import InvalidRequest, Unsupported
from gateway.wire.inline_labels import PARAMETER
from gateway.wire.message import RequestedOutput
from gateway.wire.oip_json import BINARY_ONLY, binary_only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.wire.message import InferRequest
    from gateway.wire.signature import Signature

Parameters: TypeAlias = dict[str, str | int | float | bool]

# The form of a request whose outputs, where it lists none, are answered as bytes.
BINARY: Final = "binary"

# What the transport itself obeys, and so keeps from the model.
_TRANSPORT: Final = frozenset({"timeout", "priority", "binary_data_output", PARAMETER})
_SEQUENCE: Final = frozenset({"sequence_id", "sequence_start", "sequence_end"})
_FLAGS: Final = frozenset({"binary_data_output", "sequence_start", "sequence_end"})


class Output(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An entry of ``outputs``."""

    name: str
    parameters: Parameters | None = None


def obey(parameters: Parameters, request: InferRequest, arrived: float) -> None:
    """Follow the transport's own parameters and leave the rest on *request*.

    *arrived* is the instant that ``timeout`` counts from. Raises InvalidRequest.
    """
    for key, value in parameters.items():
        if key.startswith("triton_"):
            raise InvalidRequest(
                f"parameter '{key[:64]}': keys that begin with 'triton_' are reserved"
            )
        if key in {"timeout", "priority"} and not is_count(value):
            unit = " of microseconds" if key == "timeout" else ""
            raise InvalidRequest(f"parameter '{key}' must be a number{unit}, an integer from 0")
        if key in _FLAGS and not isinstance(value, bool):
            raise InvalidRequest(f"parameter '{key}' must be true or false")
        if key == "sequence_id" and not isinstance(value, str) and not is_count(value):
            raise InvalidRequest("parameter 'sequence_id' must be a string or an integer from 0")
        if type(value) is int and not -(2**63) <= value < 2**64:
            raise InvalidRequest(f"parameter '{key[:64]}': the integer takes more than 64 bits")
    if timeout := parameters.get("timeout"):
        request.deadline = min(request.deadline, arrived + min(int(timeout), 2**53) * 1e-6)
    request.priority = int(parameters.get("priority", 0))
    if parameters.get("binary_data_output"):
        request.form = BINARY
    taken = _TRANSPORT
    if not parameters.get("sequence_id", True):
        taken |= _SEQUENCE  # sequence 0 is no sequence
    rest = {key: value for key, value in parameters.items() if key not in taken}
    request.parameters = rest or None


def requested_outputs(given: Sequence[Output], signature: Signature) -> tuple[RequestedOutput, ...]:
    """The outputs that a request lists, in its order; raises InvalidRequest, Unsupported."""
    wanted: dict[str, RequestedOutput] = {}
    for item in given:
        spec = signature.output(item.name)
        if item.name in wanted:
            raise InvalidRequest(f"output '{item.name}' is requested twice")
        parameters = item.parameters or {}
        binary = parameters.get("binary_data")
        if binary is not None and not isinstance(binary, bool):
            raise InvalidRequest(f"output '{item.name}': binary_data must be true or false")
        classes = parameters.get("classification", 0)
        if not is_count(classes) or ("classification" in parameters and classes == 0):
            raise InvalidRequest(f"output '{item.name}': classification must be an integer from 1")
        if "shared_memory_region" in parameters:
            if classes or binary:
                raise InvalidRequest(
                    f"output '{item.name}': shared_memory_region excludes "
                    f"{'classification' if classes else 'binary_data'}"
                )
            raise Unsupported(f"output '{item.name}': shared memory is not offered")
        if classes and spec.datatype == "BYTES":
            raise InvalidRequest(
                f"output '{item.name}': classification needs numbers, this output is BYTES"
            )
        if spec.datatype in BINARY_ONLY and not binary and not classes:
            raise InvalidRequest(binary_only("output", item.name, spec.datatype))
        wanted[item.name] = RequestedOutput(item.name, classification=int(classes), binary=binary)
    return tuple(wanted.values())


def is_count(value: Any) -> bool:  # noqa: ANN401 - any JSON scalar
    """Whether *value* is an unsigned 64-bit integer; true and false are none."""
    return type(value) is int and 0 <= value < 2**64
