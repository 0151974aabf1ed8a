# SPDX-License-Identifier: Apache-2.0
"""Frames: what a gateway and a worker say to each other over one stream connection.

    20-byte prefix  magic u8, kind u8, reserved u16, id u32, head bytes u32, body bytes u64
    head            MessagePack, one struct per kind
    body            the tensors' buffers in the head's order, each padded to 8 bytes

All integers are little-endian. Many requests may be in flight on a connection; *id* pairs an
answer with its question. A tensor's buffer is never copied to be framed.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from math import prod
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
import numpy as np

from gateway.errors import FrameError, InvalidRequest
from gateway.wire.model import ModelInfo
from gateway.wire.tensor import ITEM_SIZE, Buffer, Tensor, element_ends

MAGIC: Final = 0x1F
PREFIX: Final = struct.Struct("<BBHIIQ")
PREFIX_SIZE: Final = PREFIX.size
MAX_HEAD: Final = 1 << 20
# The largest body a peer may announce, so that a damaged length cannot make us reserve the memory.
MAX_BODY: Final = 1 << 30
STAGE_SIZE: Final = 1 << 18
# numpy has no more dimensions either; without a bound, multiplying them could take seconds.
MAX_RANK: Final = 64
_PAD: Final = (b"", b"\0" * 7, b"\0" * 6, b"\0" * 5, b"\0" * 4, b"\0" * 3, b"\0" * 2, b"\0")


class Kind(IntEnum):
    """What a frame says."""

    HELLO = 1  # worker, first on every connection: Hello
    INFER = 2  # gateway: InferHead, input tensors
    RESULT = 3  # worker: ResultHead, output tensors
    ERROR = 4  # worker: ErrorHead
    CANCEL = 5  # gateway: nobody waits for *id* any more; no head
    PING = 6  # gateway: are you able to compute? no head
    PONG = 7  # worker, after a real inference of the warm-up input: PongHead
    DRAIN = 8  # worker: it finishes what it has and takes no more; no head


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """*instance* names this life of the worker, so that a reused address is noticed."""

    instance: str
    pid: int
    model: ModelInfo


class TensorHead(msgspec.Struct, frozen=True, array_like=True):
    """A tensor without its buffer of *size* bytes."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    size: int


class InferHead(msgspec.Struct, frozen=True, array_like=True):
    """*inputs* is what `heads_of` makes; *outputs* empty means all.

    *budget*: microseconds until nobody waits any more, 0 for ever.
    """

    inputs: msgspec.Raw
    outputs: list[str] = []
    budget: int = 0


class ResultHead(msgspec.Struct, frozen=True, array_like=True):
    """*outputs* is what `heads_of` makes.

    Times in microseconds: *queue* from arrival to start, *compute* the run itself. *pending*:
    requests that the worker still holds. *rows*: rows of the run.
    """

    outputs: msgspec.Raw
    queue: int
    compute: int
    pending: int = 0
    rows: int = 0


class ErrorHead(msgspec.Struct, frozen=True, array_like=True):
    """*code* is a GatewayError's: ``invalid_request`` blames the input, all else the worker."""

    code: str
    message: str


class PongHead(msgspec.Struct, frozen=True, array_like=True):
    """*pending*: requests that the worker holds. *compute*: microseconds of the probe's run."""

    pending: int
    compute: int


Head: TypeAlias = Hello | InferHead | ResultHead | ErrorHead | PongHead
H = TypeVar("H", Hello, InferHead, ResultHead, ErrorHead, PongHead)

_encode = msgspec.msgpack.Encoder().encode
_DECODERS: Final[dict[type[Head], msgspec.msgpack.Decoder[Any]]] = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (Hello, InferHead, ResultHead, ErrorHead, PongHead)
}


def frame(kind: Kind, id: int, head: Head | None = None) -> bytes:  # noqa: A002 - as in the prefix
    """A frame without a body."""
    encoded = b"" if head is None else _encode(head)
    return PREFIX.pack(MAGIC, kind, 0, id, len(encoded), 0) + encoded


def heads_of(tensors: tuple[Tensor, ...]) -> msgspec.Raw:
    """The heads that announce *tensors*, encoded; the same ones are encoded once."""
    told = tuple([(t.name, t.datatype, t.shape, len(t.data)) for t in tensors])
    heads = _encoded.get(told)
    if heads is None:
        heads = encode_heads([TensorHead(*each) for each in told])
        if len(_encoded) >= _REMEMBERED:
            _encoded.clear()
        _encoded[told] = heads
    return heads


def encode_heads(heads: list[TensorHead]) -> msgspec.Raw:
    """*heads* as they stand in the head of a frame."""
    return msgspec.Raw(_encode(heads))


def tensor_frame(
    kind: Kind,
    id: int,  # noqa: A002 - as in the prefix
    head: InferHead | ResultHead,
    tensors: tuple[Tensor, ...],
) -> list[Buffer]:
    """A frame with *tensors*, as buffers to be written one after the other."""
    encoded = _encode(head)
    buffers: list[Buffer] = [b""]
    total = 0
    for tensor in tensors:
        data = tensor.data
        size = len(data)
        buffers.append(data)
        total += size
        if size & 7:
            pad = _PAD[size & 7]
            buffers.append(pad)
            total += len(pad)
    buffers[0] = PREFIX.pack(MAGIC, kind, 0, id, len(encoded), total) + encoded
    return buffers


def read_head(raw: Buffer, kind: type[H]) -> H:
    """The head of a frame; raises FrameError if it is not a *kind*."""
    try:
        head: H = _DECODERS[kind].decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"{kind.__name__}: {error}") from error
    return head


def read_tensors(heads: msgspec.Raw, body: memoryview) -> tuple[Tensor, ...]:
    """The tensors of a body, as slices of it; *heads* is what `heads_of` made.

    Raises FrameError where sizes do not add up or contradict datatype and shape.
    """
    raw = bytes(heads)
    known = _layouts.get(raw)
    if known is None:
        known = _layout(raw)
        if len(raw) <= _REMEMBERED_SIZE:
            if len(_layouts) >= _REMEMBERED:
                _layouts.clear()
            _layouts[raw] = known
    places, total = known
    if total != len(body):
        raise FrameError(f"the padded tensors take {total} bytes; the body has {len(body)}")
    tensors = []
    for name, datatype, shape, start, end in places:
        data = body[start:end]
        if datatype == "BYTES":
            _check_elements(name, shape, data)
        tensors.append(Tensor(name, datatype, shape, data))
    return tuple(tensors)


_Place: TypeAlias = tuple[str, str, tuple[int, ...], int, int]
# What was announced before is neither encoded nor checked again: a model's tensors come in as many
# forms as there are batch sizes.
_REMEMBERED: Final = 1024
_REMEMBERED_SIZE: Final = 1024
_encoded: dict[tuple[tuple[str, str, tuple[int, ...], int], ...], msgspec.Raw] = {}
_layouts: dict[bytes, tuple[list[_Place], int]] = {}
_decode_heads = msgspec.msgpack.Decoder(list[TensorHead]).decode


def _layout(raw: bytes) -> tuple[list[_Place], int]:
    """Where each tensor is in a body that *raw* announces, and how long such a body is."""
    try:
        heads = _decode_heads(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"TensorHead: {error}") from error
    places = []
    offset = 0
    for head in heads:
        width = ITEM_SIZE.get(head.datatype)
        if width is None:
            raise FrameError(f"tensor '{head.name}': unknown datatype '{head.datatype}'")
        shape = head.shape
        if len(shape) > MAX_RANK or min(shape, default=0) < 0 or head.size < 0:
            raise FrameError(
                f"tensor '{head.name}': {head.size} bytes in {len(shape)} dimensions, the least "
                f"{min(shape, default=0)}; at most {MAX_RANK} are possible, and none below 0"
            )
        expected = width
        for dimension in shape:
            expected *= dimension
        if width and expected != head.size:
            raise FrameError(
                f"tensor '{head.name}': {head.datatype}{list(shape)} "
                f"takes {expected} bytes, not {head.size}"
            )
        places.append((head.name, head.datatype, shape, offset, offset + head.size))
        offset += head.size + (-head.size % 8)
    return places, offset


def _check_elements(name: str, shape: tuple[int, ...], data: memoryview) -> None:
    try:
        count = len(element_ends(data, name))
    except InvalidRequest as error:
        raise FrameError(error.message) from error
    if count != prod(shape):
        raise FrameError(f"tensor '{name}': {count} elements for the shape {list(shape)}")


class Frame(msgspec.Struct, eq=False, gc=False):
    """One received frame; *head* is still encoded, *body* a view that stays valid."""

    kind: Kind
    id: int
    head: memoryview
    body: memoryview

    def __repr__(self) -> str:
        return f"<Frame {self.kind.name} id={self.id} head={len(self.head)} body={len(self.body)}>"


# To call an enumeration takes longer than all else that there is to do for a small frame.
_KINDS: Final = {int(kind): kind for kind in Kind}
_unpack = PREFIX.unpack_from
_NO_BODY: Final = memoryview(b"")


class FrameReader:
    """Frames out of a byte stream, with the interface of `asyncio.BufferedProtocol`.

    Small frames are gathered in one reused stage; a frame that does not fit gets a buffer of its
    own size, into which the socket reads at once, so that a large tensor is never copied.
    """

    __slots__ = ("_end", "_large", "_large_end", "_large_head", "_max_body", "_needed", "_stage",
                 "_stage_view")  # fmt: skip

    def __init__(self, *, max_body: int = MAX_BODY) -> None:
        self._max_body = max_body
        self._stage = bytearray(STAGE_SIZE)
        self._stage_view = memoryview(self._stage)
        self._end = 0
        self._needed = PREFIX_SIZE
        self._large = _NO_BODY
        self._large_end = 0
        self._large_head = 0

    def __repr__(self) -> str:
        return f"<FrameReader staged={self._end} large={self._large_end}/{len(self._large)}>"

    def get_buffer(self, sizehint: int = -1) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where the next bytes of the stream belong."""
        if self._large:
            return self._large[self._large_end :]
        return self._stage_view[self._end :]

    def buffer_updated(self, nbytes: int) -> list[Frame]:
        """Take note of *nbytes* new bytes; returns the frames that they complete.

        Raises FrameError for bytes that are not a frame; the reader is of no use afterwards.
        """
        if self._large:
            self._large_end += nbytes
            if self._large_end < len(self._large):
                return []
            complete = self._complete()
            self._large, self._large_end = _NO_BODY, 0
            return [complete]
        self._end += nbytes
        if self._end < self._needed:
            return []
        return self._drain_stage()

    def _drain_stage(self) -> list[Frame]:
        frames: list[Frame] = []
        # One copy of all that arrived, so that the stage can be reused while bodies are in use.
        data = memoryview(bytes(self._stage_view[: self._end]))
        offset, end = 0, self._end
        self._needed = PREFIX_SIZE
        while end - offset >= PREFIX_SIZE:
            magic, kind, reserved, id_, head, body = _unpack(data, offset)
            if magic != MAGIC or reserved or kind not in _KINDS:
                raise FrameError(f"not a frame: magic {magic}, kind {kind}, reserved {reserved}")
            if head > MAX_HEAD or body > self._max_body:
                raise FrameError(f"a frame of {head} + {body} bytes is over the limit")
            start = offset + PREFIX_SIZE
            middle = start + head
            following = middle + body
            if following > end:
                total = following - offset
                if total > STAGE_SIZE:
                    self._start_large(data[offset:], head, total)
                    self._end = 0
                    return frames
                self._needed = total
                break
            frames.append(Frame(_KINDS[kind], id_, data[start:middle], data[middle:following]))
            offset = following
        rest = end - offset
        if offset and rest:
            self._stage_view[:rest] = data[offset:]
        self._end = rest
        return frames

    def _start_large(self, begun: memoryview, head: int, total: int) -> None:
        # Not a bytearray: that is filled with zeros, which takes time for what is overwritten, and
        # takes the memory for what may never come.
        # The body begins at a multiple of 16 bytes, as runtimes want their tensors.
        lead = -(PREFIX_SIZE + head) % 16
        self._large = np.empty(lead + total, np.uint8).data[lead:]
        self._large[: len(begun)] = begun
        self._large_end = len(begun)
        self._large_head = head

    def _complete(self) -> Frame:
        data, middle = self._large, PREFIX_SIZE + self._large_head
        _, kind, _, id_, _, _ = _unpack(data, 0)
        return Frame(_KINDS[kind], id_, data[PREFIX_SIZE:middle], data[middle:])
