# SPDX-License-Identifier: Apache-2.0
"""Frame: an answer as the bytes that a shared store keeps.

    offset  bytes  content
         0      4  magic ``IGcv``
         4      1  schema
         5      1  kind of seal (`gateway.stores.seal`)
         6      1  packing of the body: 0 as it is, 1 zstandard
         7      1  0
         8      4  which key sealed it
        12      8  created: milliseconds since 1970
        20      8  time to live: milliseconds
        28      4  cost: microseconds that the model's run took
        32      4  size of the description in the body
        36      8  size of the body before packing
        44      …  the body, packed and sealed: description (MessagePack), then the outputs' bytes

Numbers are little-endian. Nothing in it is ever executed, and nothing is believed that the seal
does not cover: whatever does not fit is a miss with a reason.
"""

from __future__ import annotations

from math import prod
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from gateway.errors import InvalidRequest
from gateway.stores.seal import UnknownKey
from gateway.wire.message import InferResponse
from gateway.wire.tensor import ITEM_SIZE, Tensor, element_ends

if TYPE_CHECKING:
    from gateway.stores.seal import Seal
    from gateway.wire.tensor import Buffer

MAGIC: Final = b"IGcv"
SCHEMA: Final = 1
HEAD: Final = Struct("<4sBBBB4sQQIIQ")
PLAIN: Final = 0
ZSTD: Final = 1
# Level 1 packs several hundred megabytes a second; higher ones cost more than they save here.
_LEVEL: Final = 1
_MAX_COST: Final = (1 << 32) - 1
# Descriptions that are remembered: there are few of them, and reading one costs more than the rest.
_MAX_KNOWN: Final = 1024
_MAX_KNOWN_BYTES: Final = 1024

# corrupt: not what was written under this key. foreign: no frame at all. schema: a frame of another
# version. too_large: above the limit. key: sealed in another way, or with a key not known here.
Reason: TypeAlias = Literal["corrupt", "foreign", "schema", "too_large", "key"]
REASONS: Final[tuple[Reason, ...]] = ("corrupt", "foreign", "schema", "too_large", "key")


class Refused(Exception):
    """Bytes that are not used as a value, and *reason*, why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class Opened(NamedTuple):
    """A decoded value; *created* is seconds since 1970, *ttl* and *cost* are seconds."""

    response: InferResponse
    created: float
    ttl: float
    cost: float


class _Output(msgspec.Struct, array_like=True, frozen=True, gc=False):
    name: str
    datatype: str
    shape: tuple[int, ...]
    nbytes: int


class _Description(msgspec.Struct, array_like=True, frozen=True):
    """What the body says before the outputs' bytes begin."""

    version: str
    parameters: dict[str, Any] | None
    outputs: tuple[_Output, ...]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Description).decode


class FrameCodec:
    """Makes frames of responses and responses of frames.

    Bodies of at least *compress_above* bytes are packed where that makes them smaller; None packs
    none. Values above *max_bytes*, packed or not, are refused both ways.
    """

    def __init__(
        self, seal: Seal, *, max_bytes: int = 8 << 20, compress_above: int | None = None
    ) -> None:
        self._seal = seal
        self._max_bytes = max_bytes
        self._compress_above = compress_above
        self._known: dict[bytes, _Description] = {}

    def __repr__(self) -> str:
        return f"<FrameCodec schema {SCHEMA} {self._seal!r}>"

    def encode(
        self, key: bytes, response: InferResponse, *, created: float, ttl: float, cost: float = 0.0
    ) -> bytes:
        """The frame for *response* under *key*; raises Refused where it is too large, or has
        parameters that cannot be encoded (foreign).

        *created* is seconds since 1970, *ttl* and *cost* are seconds.
        """
        outputs = response.outputs
        told = _Description(
            response.version,
            response.parameters or None,
            tuple([_Output(o.name, o.datatype, o.shape, o.nbytes) for o in outputs]),
        )
        try:
            description = _encode(told)
        except (TypeError, ValueError, OverflowError):
            # A parameter of a type or size that MessagePack does not have.
            raise Refused("foreign") from None
        body: list[Buffer] = [description, *(output.data for output in outputs)]
        size = len(description) + sum([output.nbytes for output in outputs])
        if size > self._max_bytes:
            raise Refused("too_large")
        packing = PLAIN
        if self._compress_above is not None and size >= self._compress_above:
            packed = _pack(b"".join(body))
            if len(packed) < size:
                body, packing = [packed], ZSTD
        seal = self._seal
        head = HEAD.pack(
            MAGIC, SCHEMA, seal.kind, packing, 0, seal.key_id,
            max(0, int(created * 1e3)), max(0, round(ttl * 1e3)),
            min(_MAX_COST, max(0, round(cost * 1e6))), len(description), size,
        )  # fmt: skip
        return b"".join((head, *seal.close(key, head, body)))

    def decode(self, key: bytes, frame: bytes) -> Opened:
        """The value in *frame*, found under *key*; its outputs are views of it where they can be.

        Raises Refused.
        """
        if len(frame) < HEAD.size:
            raise Refused("foreign")
        magic, schema, kind, packing, zero, key_id, created, ttl, cost, described, size = (
            HEAD.unpack_from(frame)
        )
        if magic != MAGIC:
            raise Refused("foreign")
        if schema != SCHEMA:
            raise Refused("schema")
        if size > self._max_bytes or len(frame) > self._max_bytes + 2 * HEAD.size:
            raise Refused("too_large")
        seal = self._seal
        if kind != seal.kind:
            # Also what an attacker would write who has no key: a frame with a mere checksum.
            raise Refused("key")
        view = memoryview(frame)
        try:
            body = seal.open(key, key_id, view[: HEAD.size], view[HEAD.size :])
        except UnknownKey:
            raise Refused("key") from None
        if body is None or zero or packing not in {PLAIN, ZSTD}:
            raise Refused("corrupt")
        if packing == ZSTD:
            body = _unpack(body, size)
        if len(body) != size or described > size:
            raise Refused("corrupt")
        response = self._response(memoryview(body), described)
        return Opened(response, created / 1e3, ttl / 1e3, cost / 1e6)

    def _response(self, body: memoryview, described: int) -> InferResponse:
        description = self._describe(bytes(body[:described]))
        outputs = []
        start = described
        for output in description.outputs:
            end = start + output.nbytes
            outputs.append(Tensor(output.name, output.datatype, output.shape, body[start:end]))
            start = end
        if start != len(body):
            raise Refused("corrupt")
        for tensor in outputs:
            if tensor.datatype == "BYTES" and not _has_elements(tensor):
                raise Refused("corrupt")
        return InferResponse(tuple(outputs), description.version, description.parameters)

    def _describe(self, text: bytes) -> _Description:
        description = self._known.get(text)
        if description is not None:
            return description
        try:
            description = _decode(text)
        except msgspec.DecodeError:  # what does not have the types that it should have, too
            raise Refused("corrupt") from None
        for output in description.outputs:
            item = ITEM_SIZE.get(output.datatype)
            if item is None or output.nbytes < 0 or min(output.shape, default=0) < 0:
                raise Refused("corrupt")
            if item and prod(output.shape) * item != output.nbytes:
                raise Refused("corrupt")
        # Parameters belong to one response alone; whoever gets them may add to them.
        if description.parameters is None and len(text) <= _MAX_KNOWN_BYTES:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[text] = description
        return description


def _has_elements(tensor: Tensor) -> bool:
    try:
        return len(element_ends(tensor.data, tensor.name)) == prod(tensor.shape)
    except InvalidRequest:
        return False


def _pack(body: bytes) -> bytes:
    import zstandard  # noqa: PLC0415 - an extra

    # Made anew each time: it is not to be used by two threads, and large values go to others.
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False).compress(body)


def _unpack(body: Buffer, size: int) -> bytes:
    import zstandard  # noqa: PLC0415 - an extra

    try:
        # What it says itself is checked first: it is what would be allocated.
        if zstandard.frame_content_size(body) != size:
            raise Refused("corrupt")
        return zstandard.ZstdDecompressor().decompress(body)
    except zstandard.ZstdError:
        raise Refused("corrupt") from None
