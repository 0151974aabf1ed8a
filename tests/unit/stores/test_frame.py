# SPDX-License-Identifier: Apache-2.0
"""FrameCodec: every answer comes back as it was, and nothing else comes back at all."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gateway.stores.frame import HEAD, MAGIC, SCHEMA, FrameCodec, Reason, Refused
from gateway.stores.seal import AesGcm, Digest, Seal
from gateway.wire.message import InferResponse
from gateway.wire.tensor import ITEM_SIZE, Tensor, join_elements

KEY = b"infergate:model:0:0123456789abcdef"
SEALS: list[Seal] = [Digest(), Digest(b"a secret"), AesGcm([b"k" * 32, b"l" * 32])]
NAMES = st.text(min_size=1, max_size=12)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """A tensor of any datatype and of up to three dimensions, empty ones among them."""
    datatype = draw(st.sampled_from(sorted(ITEM_SIZE)))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    count = int(np.prod(shape, dtype=int))
    if datatype == "BYTES":
        elements = draw(st.lists(st.binary(max_size=9), min_size=count, max_size=count))
        return Tensor(draw(NAMES), datatype, shape, join_elements(list(elements)))
    size = count * ITEM_SIZE[datatype]
    return Tensor(draw(NAMES), datatype, shape, draw(st.binary(min_size=size, max_size=size)))


@st.composite
def responses(draw: st.DrawFn) -> InferResponse:
    """An answer with up to three outputs and whatever parameters JSON knows."""
    values = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(width=64)
    return InferResponse(
        tuple(draw(st.lists(tensors(), max_size=3))),
        draw(st.text(max_size=9)),
        draw(st.none() | st.dictionaries(NAMES, values, min_size=1, max_size=3)),
    )


def told(response: InferResponse) -> list[object]:
    """All that a frame keeps of a response; NaN is what it is, too."""
    outputs = [(o.name, o.datatype, o.shape, bytes(o.data)) for o in response.outputs]
    return [outputs, response.version, repr(response.parameters)]


def why(codec: FrameCodec, frame: bytes, key: bytes = KEY) -> Reason | None:
    """The reason for which *frame* is refused, None where it is not."""
    try:
        codec.decode(key, frame)
    except Refused as refused:
        return refused.reason
    return None


def sample(codec: FrameCodec, payload: bytes = b"0123456789") -> bytes:
    """The frame of a small answer."""
    response = InferResponse((Tensor("y", "UINT8", (len(payload),), payload),), "1")
    return codec.encode(KEY, response, created=1_700_000_000, ttl=60, cost=0.01)


@pytest.mark.parametrize("compress_above", [None, 0])
@pytest.mark.parametrize("seal", SEALS, ids=repr)
@given(response=responses())
def test_an_answer_comes_back(
    seal: Seal, compress_above: int | None, response: InferResponse
) -> None:
    """Names, datatypes, shapes, bytes, version, parameters and times, packed or not."""
    codec = FrameCodec(seal, compress_above=compress_above)
    frame = codec.encode(KEY, response, created=1_700_000_000.5, ttl=12.25, cost=0.001234)

    opened = codec.decode(KEY, frame)

    assert told(opened.response) == told(response)
    assert (opened.created, opened.ttl, opened.cost) == (1_700_000_000.5, 12.25, 0.001234)


@pytest.mark.parametrize("seal", SEALS, ids=repr)
def test_any_flipped_bit_is_refused(seal: Seal) -> None:
    """Wherever it is: in the head, the description, the outputs or the seal."""
    codec = FrameCodec(seal)
    frame = sample(codec)
    assert why(codec, frame) is None
    for bit in range(8 * len(frame)):
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << bit % 8
        assert why(codec, bytes(changed)) is not None, f"bit {bit} may be flipped"


@pytest.mark.parametrize("compress_above", [None, 0])
@pytest.mark.parametrize("seal", SEALS, ids=repr)
def test_what_was_cut_or_lengthened_is_refused(seal: Seal, compress_above: int | None) -> None:
    """By any number of bytes, at the end or the beginning."""
    codec = FrameCodec(seal, compress_above=compress_above)
    frame = sample(codec, b"0" * 200)
    assert why(codec, frame) is None
    for length in range(len(frame)):
        assert why(codec, frame[:length]) is not None
        assert why(codec, frame[length + 1 :]) is not None
    for more in (b"\0", b"\xff", frame):
        assert why(codec, frame + more) is not None
        assert why(codec, more + frame) is not None


@given(noise=st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    """With a reason, and with a right beginning, too."""
    codec = FrameCodec(Digest())
    assert why(codec, noise) in {"foreign", "schema", "key", "corrupt", "too_large"}
    assert why(codec, MAGIC + bytes([SCHEMA, 0]) + noise) is not None


@pytest.mark.parametrize("seal", SEALS, ids=repr)
def test_a_value_of_another_key_is_refused(seal: Seal) -> None:
    """It would answer another question."""
    codec = FrameCodec(seal)

    assert why(codec, sample(codec), KEY + b"0") == "corrupt"


def test_each_fault_has_its_reason() -> None:
    """An operator sees whether somebody else writes there, or an older version, or a stranger."""
    plain, signed, locked = (FrameCodec(seal) for seal in SEALS)
    frame = sample(plain)

    assert why(plain, b"") == "foreign"
    assert why(plain, b"{}" * 40) == "foreign"
    assert why(plain, frame[:4] + bytes([SCHEMA + 1]) + frame[5:]) == "schema"
    assert why(plain, frame[:5] + b"\x01" + frame[6:]) == "key"
    assert why(plain, frame[:-1] + b"!") == "corrupt"
    assert why(FrameCodec(Digest(), max_bytes=4), frame) == "too_large"
    for reader in (signed, locked, FrameCodec(Digest(b"another secret"))):
        assert why(reader, frame) == "key"
    assert why(FrameCodec(AesGcm([b"m" * 32])), sample(locked)) == "key"
    assert why(FrameCodec(Digest(b"another secret")), sample(signed)) == "key"


def test_an_answer_above_the_limit_is_not_encoded() -> None:
    """What could not be read again is not written."""
    codec = FrameCodec(Digest(), max_bytes=100)
    with pytest.raises(Refused, match="too_large"):
        sample(codec, b"0" * 100)


def test_a_packed_value_that_claims_another_size_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is unpacked beyond what the head announces, which is below the limit."""
    codec = FrameCodec(Digest(), compress_above=0)
    bomb = FrameCodec(Digest(), compress_above=0, max_bytes=1 << 30)
    frame = sample(bomb, b"0" * 1_000_000)
    assert len(frame) < 1000
    head = list(HEAD.unpack_from(frame))
    head[-1] = 100
    body = frame[HEAD.size : -16]
    small = HEAD.pack(*head)
    # It would have been unpacked before its size was seen otherwise.
    monkeypatch.setattr(zstandard, "ZstdDecompressor", None)

    assert why(codec, small + b"".join(Digest().close(KEY, small, [body]))) == "corrupt"


@pytest.mark.parametrize(
    "described",
    [
        ("1", None, [("y", "FP32", (2,), 4)]),  # not the size of two numbers
        ("1", None, [("y", "FP33", (1,), 4)]),  # no datatype
        ("1", None, [("y", "UINT8", (-4,), 4)]),
        ("1", None, [("y", "UINT8", (4,), 4), ("z", "UINT8", (4,), 4)]),  # more than there is
        ("1", None, [("y", "BYTES", (1,), 4)]),  # an element that reaches past the end
        ("1", None, [("y", "UINT8", "shape", 4)]),
        ("1",),
        7,
    ],
)
def test_a_description_that_does_not_fit_is_refused(described: object) -> None:
    """However well it is sealed: shape and datatype are checked before anybody uses them."""
    seal = Digest()
    text = msgspec.msgpack.encode(described)
    body = [text, b"\xff\xff\xff\xff"]
    head = HEAD.pack(MAGIC, SCHEMA, 0, 0, 0, seal.key_id, 0, 1, 0, len(text), len(text) + 4)

    assert why(FrameCodec(seal), head + b"".join(seal.close(KEY, head, body))) == "corrupt"


def test_outputs_are_views_of_the_frame() -> None:
    """Nothing is copied to read a value."""
    codec = FrameCodec(Digest())
    opened = codec.decode(KEY, sample(codec))

    data = opened.response.outputs[0].data
    assert isinstance(data, memoryview)
    assert data.readonly


def test_descriptions_that_are_remembered_are_bounded() -> None:
    """Whoever varies them must not fill the memory, and parameters are nobody else's."""
    codec = FrameCodec(Digest())
    for number in range(3000):
        response = InferResponse((), str(number), {"n": number} if number % 2 else None)
        frame = codec.encode(KEY, response, created=0, ttl=1)
        assert told(codec.decode(KEY, frame).response) == told(response)
    assert 0 < len(codec._known) <= 1024


@pytest.mark.parametrize("value", [2**70, object(), "\ud800"])
def test_parameters_that_cannot_be_encoded_are_refused(value: object) -> None:
    """A server elsewhere may say what it likes; it must not end whoever writes."""
    with pytest.raises(Refused, match="foreign"):
        FrameCodec(Digest()).encode(KEY, InferResponse((), "1", {"p": value}), created=0, ttl=1)
