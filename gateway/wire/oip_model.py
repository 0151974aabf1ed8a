# SPDX-License-Identifier: Apache-2.0
"""What a v2 server tells of itself and of a model, as a ModelInfo.

Only names, datatypes and shapes are relied on; the rest is told by some servers and not by others.
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gateway.errors import BadAnswer
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import ITEM_SIZE

if TYPE_CHECKING:
    from gateway.wire.tensor import Buffer

# Inferences that a server is believed to run at the same time if it does not tell.
PARALLELISM: Final = 4
# More of them would be a mistake in its configuration, or in ours.
_MOST_PARALLEL: Final = 64
_MAX_RANK: Final = 64
_SHA256: Final = 64


class _Server(msgspec.Struct):
    name: str | None = None
    version: str | None = None
    extensions: list[Any] | None = None


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]


class _Model(msgspec.Struct):
    name: str
    platform: str | None = None
    versions: list[Any] | None = None
    inputs: list[_Tensor] | None = None
    outputs: list[_Tensor] | None = None
    properties: dict[str, Any] | None = None


class _Group(msgspec.Struct):
    count: int = 1
    gpus: list[Any] | None = None


class _Config(msgspec.Struct):
    max_batch_size: int | None = None
    instance_group: list[_Group] | None = None


# Not strict: shapes may come as text, as protobuf's JSON has 64-bit integers.
_decode_server: Final = msgspec.json.Decoder(_Server, strict=False).decode
_decode_model: Final = msgspec.json.Decoder(_Model, strict=False).decode
_decode_config: Final = msgspec.json.Decoder(_Config, strict=False).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ServerInfo(NamedTuple):
    """Who a server says it is, "" where it does not, and which extensions it has."""

    name: str = ""
    version: str = ""
    extensions: frozenset[str] = frozenset()


class Described(NamedTuple):
    """A model as *info*; *max_batch* bounds the rows of a request, 0 where nothing does."""

    info: ModelInfo
    max_batch: int = 0


def describe_server(body: Buffer) -> ServerInfo:
    """The server's metadata; what is not metadata tells nothing."""
    try:
        told = _decode_server(body)
    except _UNREADABLE:
        return ServerInfo()
    extensions = frozenset(each for each in told.extensions or () if isinstance(each, str))
    return ServerInfo(told.name or "", told.version or "", extensions)


def describe_model(
    body: Buffer, config: Buffer | None, *, name: str, remote_name: str, version: str = ""
) -> Described:
    """The model *remote_name* of a server, served as *name*.

    *body* is its metadata, *config* its Triton configuration where there is one. *version* is the
    one that is asked for, "" for the server's choice. Raises BadAnswer, which says why, where the
    metadata is of another model or does not say what goes in and out.
    """
    try:
        told = _decode_model(body)
    except _UNREADABLE as error:
        raise BadAnswer(f"the metadata of model '{remote_name}' is not v2: {error}") from None
    if told.name != remote_name:
        raise BadAnswer(f"asked for model '{remote_name}', it describes '{told.name[:64]}'")
    inputs = _specs("input", told.inputs)
    outputs = _specs("output", told.outputs)
    free = all(spec.shape and spec.shape[0] == -1 for spec in inputs + outputs)
    parallelism, max_batch, batched = PARALLELISM, 0, free
    if config is not None and (said := _config(config)) is not None:
        if said.max_batch_size is not None:
            # 0: the first dimension is free, and rows are yet not apart from one another.
            batched = free and said.max_batch_size > 0
            max_batch = said.max_batch_size if batched else 0
        if said.instance_group:
            count = sum(max(1, g.count) * max(1, len(g.gpus or ())) for g in said.instance_group)
            parallelism = min(count, _MOST_PARALLEL)
    versions = [str(each) for each in told.versions or ()]
    served = version or (max(versions, key=_by_number) if versions else "1")
    info = ModelInfo(
        name,
        served,
        told.platform or "",
        _digest(told, versions, max_batch),
        inputs,
        outputs,
        batched=batched,
        parallelism=parallelism,
    )
    return Described(info, max_batch)


def _config(body: Buffer) -> _Config | None:
    try:
        return _decode_config(body)
    except _UNREADABLE:
        return None


def _specs(side: str, told: list[_Tensor] | None) -> tuple[TensorSpec, ...]:
    if not told:
        raise BadAnswer(
            f"the model's metadata lists no {side}s; a server that does not describe its model "
            "cannot be served"
        )
    for tensor in told:
        if tensor.datatype not in ITEM_SIZE:
            known = ", ".join(ITEM_SIZE)
            raise BadAnswer(
                f"{side} '{tensor.name[:64]}' is {tensor.datatype[:16]}; expected one of {known}"
            )
        if len(tensor.shape) > _MAX_RANK or any(extent < -1 for extent in tensor.shape):
            shape = list(tensor.shape)[:_MAX_RANK]
            raise BadAnswer(f"{side} '{tensor.name[:64]}' has the impossible shape {shape}")
    for name, times in Counter(tensor.name for tensor in told).items():
        if times > 1:
            raise BadAnswer(f"{side} '{name[:64]}' is listed {times} times")
    return tuple(TensorSpec(tensor.name, tensor.datatype, tensor.shape) for tensor in told)


def _digest(told: _Model, versions: list[str], max_batch: int) -> str:
    """The model file's own digest from a server that tells it, else one of what it does tell.

    The latter begins with ``~``: it changes with the description, and cannot change with the file.
    """
    own = (told.properties or {}).get("digest")
    if isinstance(own, str) and len(own) == _SHA256 and own.isalnum():
        return own
    shown = (told.name, told.platform, versions, told.inputs, told.outputs, max_batch)
    return "~" + sha256(msgspec.json.encode(shown)).hexdigest()[1:]


def _by_number(version: str) -> tuple[int, str]:
    return (int(version) if version.isdecimal() else -1, version)
