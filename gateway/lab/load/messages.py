# SPDX-License-Identifier: Apache-2.0
"""Messages: what gRPC carries in the Open Inference Protocol, described in code.

Numbers of fields are those of the protocol's ``inference.GRPCInferenceService``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.wire.tensor import Tensor

SERVICE: Final = "inference.GRPCInferenceService"
_PACKAGE: Final = "inference"
# Messages by name; fields as "name: type number", a type of their own with a capital, * repeated.
_MESSAGES: Final = {
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("name: string 1", "version: string 2", "extensions: string* 3"),
    "ModelMetadataRequest": ("name: string 1", "version: string 2"),
    "TensorMetadata": ("name: string 1", "datatype: string 2", "shape: int64* 3"),
    "ModelMetadataResponse": (
        "name: string 1", "versions: string* 2", "platform: string 3",
        "inputs: TensorMetadata* 4", "outputs: TensorMetadata* 5",
    ),
    "InferTensor": ("name: string 1", "datatype: string 2", "shape: int64* 3"),
    "ModelInferRequest": (
        "model_name: string 1", "model_version: string 2", "id: string 3",
        "inputs: InferTensor* 5", "raw_input_contents: bytes* 7",
    ),
    "ModelInferResponse": (
        "model_name: string 1", "model_version: string 2", "id: string 3",
        "outputs: InferTensor* 5", "raw_output_contents: bytes* 6",
    ),
}  # fmt: skip
_RAW_INPUT_CONTENTS: Final = 7 << 3 | 2


def _described() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="infergate/load.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields:
            field_name, kind, number = text.replace(":", "").split()
            field = message.field.add(name=field_name, number=int(number))
            repeated, kind = kind.endswith("*"), kind.removesuffix("*")
            field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if kind[0].isupper():
                field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = getattr(field, f"TYPE_{kind.upper()}")
    return file


# A pool of its own: a program may load the protocol's real file beside it.
_pool: Final = descriptor_pool.DescriptorPool()
_pool.Add(_described())  # type: ignore[no-untyped-call,unused-ignore]


def message(name: str) -> Any:  # noqa: ANN401 - made at run time
    """The class of the message *name*."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


def request(model: str, version: str, tensors: Sequence[Tensor]) -> bytes:
    """A ModelInferRequest without its raw contents."""
    made = message("ModelInferRequest")(model_name=model, model_version=version)
    for tensor in tensors:
        made.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape))
    return bytes(made.SerializeToString())


def raw_contents_head(size: int) -> bytes:
    """What stands before *size* bytes of one of raw_input_contents: its tag and a varint."""
    head = bytearray([_RAW_INPUT_CONTENTS])
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)
