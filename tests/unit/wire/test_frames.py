# SPDX-License-Identifier: Apache-2.0
"""Frames: what is written is read, however it arrives, and garbage is refused."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import FrameError
from gateway.wire.frames import (
    MAX_BODY,
    MAX_HEAD,
    MAX_RANK,
    PREFIX,
    PREFIX_SIZE,
    STAGE_SIZE,
    ErrorHead,
    Frame,
    FrameReader,
    Hello,
    InferHead,
    Kind,
    PongHead,
    ResultHead,
    TensorHead,
    encode_heads,
    frame,
    heads_of,
    read_head,
    read_tensors,
    tensor_frame,
)
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import ITEM_SIZE, Tensor, join_elements

if TYPE_CHECKING:
    from collections.abc import Iterable

CORPUS = sorted((Path(__file__).parents[2] / "corpus" / "frames").glob("*.bin"))
HEADS: tuple[Any, ...] = (Hello, InferHead, ResultHead, ErrorHead, PongHead)


def feed(reader: FrameReader, data: bytes) -> list[Frame]:
    """Give *reader* all of *data*, as fast as it takes it."""
    frames: list[Frame] = []
    offset = 0
    while offset < len(data):
        buffer = reader.get_buffer()
        assert len(buffer) > 0, "a reader must always take more"
        size = min(len(buffer), len(data) - offset)
        buffer[:size] = data[offset : offset + size]
        offset += size
        frames += reader.buffer_updated(size)
    return frames


def feed_all(parts: Iterable[bytes]) -> list[Frame]:
    """What a new reader makes of *parts*, one after the other."""
    reader = FrameReader()
    return [received for part in parts for received in feed(reader, part)]


def facts(frames: list[Frame]) -> list[tuple[Kind, int, bytes, bytes]]:
    """Frames as values, to compare."""
    return [(each.kind, each.id, bytes(each.head), bytes(each.body)) for each in frames]


@st.composite
def any_tensor(draw: st.DrawFn, most: int = 40) -> Tensor:
    """A tensor of any datatype, of up to some *most* bytes."""
    datatype = draw(st.sampled_from(sorted(ITEM_SIZE)))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    count = 1
    for dimension in shape:
        count *= dimension
    if datatype == "BYTES":
        elements = draw(st.lists(st.binary(max_size=5), min_size=count, max_size=count))
        data = join_elements(elements)
    else:
        size = count * ITEM_SIZE[datatype]
        data = draw(st.binary(min_size=size, max_size=size))
    return Tensor(draw(st.text(max_size=8)), datatype, shape, data)


def infer(id_: int, tensors: tuple[Tensor, ...]) -> bytes:
    """An INFER frame as bytes."""
    return b"".join(tensor_frame(Kind.INFER, id_, InferHead(heads_of(tensors)), tensors))


@given(st.lists(st.lists(any_tensor(), max_size=3).map(tuple), max_size=4))
def test_what_is_written_is_read(messages: list[tuple[Tensor, ...]]) -> None:
    """Names, datatypes, shapes and every byte of the data."""
    frames = feed_all([b"".join(infer(id_, tensors) for id_, tensors in enumerate(messages))])
    assert [each.id for each in frames] == list(range(len(messages)))
    for each, tensors in zip(frames, messages, strict=True):
        read = read_tensors(read_head(each.head, InferHead).inputs, each.body)
        assert [(t.name, t.datatype, t.shape, bytes(t.data)) for t in read] == [
            (t.name, t.datatype, t.shape, bytes(t.data)) for t in tensors
        ]


STREAM = (
    frame(Kind.PING, 1)
    + infer(2, (Tensor("x", "FP32", (2,), b"12345678"), Tensor("s", "BYTES", (1,), b"\1\0\0\0a")))
    + frame(Kind.ERROR, 0xFFFFFFFF, ErrorHead("invalid_request", "why"))
    + infer(3, (Tensor("empty", "INT64", (0,), b""),))
    + frame(Kind.DRAIN, 0)
)


def test_every_split_point_gives_the_same_frames() -> None:
    """A socket may cut the stream anywhere."""
    whole = facts(feed_all([STREAM]))
    assert [kind for kind, *_ in whole] == [
        Kind.PING, Kind.INFER, Kind.ERROR, Kind.INFER, Kind.DRAIN,
    ]  # fmt: skip
    for at in range(1, len(STREAM)):
        assert facts(feed_all([STREAM[:at], STREAM[at:]])) == whole


def test_byte_by_byte_gives_the_same_frames() -> None:
    """However slowly they come."""
    assert facts(feed_all(bytes([byte]) for byte in STREAM)) == facts(feed_all([STREAM]))


@pytest.mark.parametrize("size", [STAGE_SIZE - 200, STAGE_SIZE, STAGE_SIZE + 8, 3 * STAGE_SIZE + 5])
@pytest.mark.parametrize("chunk", [1000, 65536, STAGE_SIZE, 10**9])
def test_large_frames_pass_between_small_ones(size: int, chunk: int) -> None:
    """A frame above the stage gets a buffer of its own; its neighbours are not disturbed."""
    data = bytes(range(256)) * (size // 256) + b"\1" * (size % 256)
    large = infer(7, (Tensor("x", "UINT8", (size,), data),))
    stream = STREAM + large + STREAM + large + large
    frames = feed_all(stream[at : at + chunk] for at in range(0, len(stream), chunk))
    small = facts(feed_all([STREAM]))
    ids = [each.id for each in frames]
    assert ids == [*[id_ for _, id_, *_ in small], 7] * 2 + [7]
    for each in frames:
        if each.id == 7:
            (tensor,) = read_tensors(read_head(each.head, InferHead).inputs, each.body)
            assert bytes(tensor.data) == data


def test_bodies_stay_valid_while_the_stage_is_used_again() -> None:
    """A tensor is a slice of what arrived, and later bytes must not change it."""
    reader = FrameReader()
    first = feed(reader, infer(1, (Tensor("x", "UINT8", (8,), b"AAAAAAAA"),)))
    feed(reader, infer(2, (Tensor("x", "UINT8", (8,), b"BBBBBBBB"),)) * 100)
    assert bytes(first[0].body) == b"AAAAAAAA"


@given(st.lists(st.integers(1, 60), min_size=1))
def test_any_cutting_gives_the_same_frames(cuts: list[int]) -> None:
    """Several cuts, of any lengths."""
    parts, at = [], 0
    for cut in cuts:
        parts.append(STREAM[at : at + cut])
        at += cut
    parts.append(STREAM[at:])
    assert facts(feed_all(part for part in parts if part)) == facts(feed_all([STREAM]))


# Garbage.


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_on(data: bytes) -> None:
    """FrameError, or more bytes are needed; never another error."""
    try_stream(data)


@given(st.binary(max_size=200), st.integers(1, 8), st.integers(0, 300), st.integers(0, 300))
def test_garbage_behind_a_good_prefix_is_refused_or_waited_on(
    data: bytes, kind: int, head: int, body: int
) -> None:
    """Heads that are not heads and bodies that are not tensors."""
    try_stream(PREFIX.pack(0x1F, kind, 0, 1, head, body) + data)


@given(st.integers(0, len(STREAM) - 1), st.binary(min_size=1, max_size=4))
def test_a_damaged_stream_is_refused_or_waited_on(at: int, damage: bytes) -> None:
    """Some bytes in the middle are others."""
    try_stream(STREAM[:at] + damage + STREAM[at + len(damage) :])


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_was_found_once_stays_mended(path: Path) -> None:
    """Each file of the corpus once broke a reader, or is a shape worth keeping."""
    try_stream(path.read_bytes())


def test_the_corpus_is_there() -> None:
    """An empty directory would test nothing."""
    assert len(CORPUS) >= 10


def try_stream(data: bytes) -> None:
    """Read *data* as a gateway and as a worker would; anything but FrameError is a failure."""
    try:
        frames = feed_all([data])
    except FrameError:
        return
    for each in frames:
        for kind in HEADS:
            try:
                head = read_head(each.head, kind)
            except FrameError:
                continue
            try:
                if isinstance(head, InferHead):
                    read_tensors(head.inputs, each.body)
                elif isinstance(head, ResultHead):
                    read_tensors(head.outputs, each.body)
            except FrameError:
                continue


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ((0x1E, 1, 0, 0, 0, 0), "magic 30"),
        ((0x1F, 0, 0, 0, 0, 0), "kind 0"),
        ((0x1F, 9, 0, 0, 0, 0), "kind 9"),
        ((0x1F, 1, 1, 0, 0, 0), "reserved 1"),
        ((0x1F, 1, 0, 0, MAX_HEAD + 1, 0), "over the limit"),
        ((0x1F, 1, 0, 0, 0, MAX_BODY + 1), "over the limit"),
        ((0x1F, 1, 0, 0, 0, 2**64 - 1), "over the limit"),
    ],
)
def test_a_bad_prefix_is_refused_at_once(prefix: tuple[int, ...], said: str) -> None:
    """Before anything that it announces is waited for."""
    with pytest.raises(FrameError, match=said):
        feed_all([PREFIX.pack(*prefix)])


def test_a_limit_can_be_lower() -> None:
    """Whoever knows how large a body may be says so."""
    with pytest.raises(FrameError, match="over the limit"):
        feed(FrameReader(max_body=7), infer(1, (Tensor("x", "UINT8", (8,), b"12345678"),)))


def test_an_announced_size_over_the_limit_takes_no_memory() -> None:
    """A damaged length must not make us reserve what it says."""
    tracemalloc.start()
    with pytest.raises(FrameError):
        feed_all([PREFIX.pack(0x1F, Kind.INFER, 0, 1, 0, 2**40)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * STAGE_SIZE


# Heads and tensors.


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc0",
        b"\x92\xa1\xff\xa1a",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 100_000,
        msgspec.msgpack.encode(["only one"]),
        msgspec.msgpack.encode(["a", 1]),
        msgspec.msgpack.encode(["a", "b"]) + b"\0",
    ],
    ids=["empty", "nil", "not UTF-8", "huge array", "deep", "short", "type", "trailing"],
)
def test_what_is_not_a_head_is_refused(raw: bytes) -> None:
    """With the name of the head that was expected."""
    with pytest.raises(FrameError, match="ErrorHead: "):
        read_head(raw, ErrorHead)


def test_heads_survive_the_way_through_bytes() -> None:
    """Every kind of head, with all that it says."""
    model = ModelInfo(
        "m", "3", "p", "ab", (TensorSpec("x", "FP32", (-1, 2)),), (), batched=True,
        labels={"y": ("no", "yes")}, parallelism=4,
    )  # fmt: skip
    heads: list[Any] = [
        Hello("life", 7, model),
        InferHead(encode_heads([TensorHead("x", "FP32", (1,), 4)]), ["y"], 5),
        ResultHead(encode_heads([]), 1, 2, 3, 4),
        ErrorHead("invalid_request", "why"),
        PongHead(1, 2),
    ]
    for head in heads:
        (received,) = feed_all([frame(Kind.HELLO, 1, head)])
        assert read_head(received.head, type(head)) == head


def read(datatype: str, shape: tuple[int, ...], size: int, body: bytes) -> tuple[Tensor, ...]:
    """One tensor out of *body*."""
    return read_tensors(encode_heads([TensorHead("x", datatype, shape, size)]), memoryview(body))


@pytest.mark.parametrize(
    ("datatype", "shape", "size", "body", "said"),
    [
        ("FP32", (2,), 8, b"1234", "take 8 bytes; the body has 4"),
        ("FP32", (1,), -4, b"", "-4 bytes in 1 dimensions"),
        ("FP32", (2,), 4, b"12345678", r"takes 8 bytes, not 4"),
        ("FP32", (-1, -1), 4, b"12345678", "none below 0"),
        ("BYTES", (-1,), 0, b"", "none below 0"),
        ("FP33", (1,), 4, b"12345678", "unknown datatype 'FP33'"),
        ("FP32", (1,), 4, b"1234", "take 8 bytes; the body has 4"),
        ("FP32", (1,), 4, b"1" * 16, "take 8 bytes; the body has 16"),
        ("BYTES", (2,), 8, b"\4\0\0\0abcd", "1 elements for the shape"),
        ("BYTES", (1,), 8, b"\5\0\0\0abcd", "declares 5 bytes"),
        ("INT8", (2**62,) * MAX_RANK, 8, b"12345678", "takes"),
        ("INT8", (1,) * (MAX_RANK + 1), 1, b"12345678", "65 dimensions"),
    ],
)
def test_tensors_that_contradict_themselves_are_refused(
    datatype: str, shape: tuple[int, ...], size: int, body: bytes, said: str
) -> None:
    """Size, shape, datatype, elements and the body must agree."""
    with pytest.raises(FrameError, match=said):
        read(datatype, shape, size, body)


def test_endless_dimensions_are_refused_quickly() -> None:
    """A megabyte of dimensions must not be multiplied: the product alone would take minutes."""
    with pytest.raises(FrameError, match="100000 dimensions"):
        read("INT8", (2**63,) * 100_000, 0, b"")


def test_tensors_are_slices_of_the_body() -> None:
    """Nothing is copied, and padding belongs to nobody."""
    body = memoryview(b"123\0\0\0\0\0abcdefgh")
    heads = [TensorHead("a", "INT8", (3,), 3), TensorHead("b", "INT8", (8,), 8)]
    first, second = read_tensors(encode_heads(heads), body)
    assert (bytes(first.data), bytes(second.data)) == (b"123", b"abcdefgh")
    assert first.data.obj is body.obj  # type: ignore[union-attr]


@given(st.lists(any_tensor(), max_size=4).map(tuple))
def test_every_buffer_begins_at_a_multiple_of_eight(tensors: tuple[Tensor, ...]) -> None:
    """So that numpy can look at it where it is."""
    (received,) = feed_all([infer(1, tensors)])
    assert len(received.body) % 8 == 0
    offset = 0
    for tensor in tensors:
        data = bytes(tensor.data)
        assert bytes(received.body[offset : offset + len(data)]) == data
        offset += len(data) + -len(data) % 8
    assert offset == len(received.body)


def test_the_prefix_is_as_the_format_says() -> None:
    """Twenty bytes, little-endian: a change here breaks workers of another version."""
    raw = frame(Kind.CANCEL, 0x01020304)
    assert raw == struct.pack("<BBHIIQ", 0x1F, 5, 0, 0x01020304, 0, 0)
    assert len(raw) == PREFIX_SIZE == 20


def test_shows_its_state() -> None:
    """How far it is with what."""
    reader = FrameReader()
    feed(reader, STREAM[:10])
    assert repr(reader) == "<FrameReader staged=10 large=0/0>"
    (received,) = feed_all([frame(Kind.PING, 9)])
    assert repr(received) == "<Frame PING id=9 head=0 body=0>"
