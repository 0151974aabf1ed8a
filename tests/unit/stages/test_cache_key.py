# SPDX-License-Identifier: Apache-2.0
"""CacheKey: which questions are the same one, and which are not."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stages.cache_key import CacheKey
from gateway.wire.message import InferRequest, RequestedOutput
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.oip import decode_request
from gateway.wire.signature import Signature
from gateway.wire.tensor import NUMPY, Tensor

SECRET = b"s" * 32
DIGEST = b"d" * 32


def key(asked: InferRequest, *, digest: bytes = DIGEST) -> bytes:
    """The key of *asked* to a model named ``m``."""
    return CacheKey("m", secret=SECRET)(asked, digest)


def ask(*inputs: Tensor, **fields: Any) -> InferRequest:
    """A request."""
    return InferRequest("m", inputs, **fields)


def tensor(name: str = "x", shape: tuple[int, ...] = (1, 4), datatype: str = "FP32") -> Tensor:
    """Sixteen bytes that always count up, whatever the shape."""
    return Tensor(name, datatype, shape, bytes(range(16)))


def test_a_key_has_128_bits() -> None:
    """With fewer, equal keys for different questions come within reach."""
    assert len(key(ask(tensor()))) == 16


@pytest.mark.parametrize(
    "other",
    [
        tensor(shape=(4, 1)),
        tensor(shape=(4,)),
        tensor(shape=(1, 4), datatype="INT32"),
        tensor(name="y"),
        Tensor("x", "FP32", (1, 4), bytes(16)),
    ],
)
def test_shape_datatype_name_and_values_matter(other: Tensor) -> None:
    """The same bytes under another shape or type are another question."""
    assert key(ask(tensor())) != key(ask(other))


def test_bytes_split_differently_between_inputs_are_different() -> None:
    """Parts put together must not be taken for others put together."""
    first = ask(Tensor("a", "BYTES", (1,), b"ab"), Tensor("b", "BYTES", (1,), b"c"))
    second = ask(Tensor("a", "BYTES", (1,), b"a"), Tensor("b", "BYTES", (1,), b"bc"))

    assert key(first) != key(second)


def test_an_input_that_looks_like_two_is_not() -> None:
    """Not even with bytes made to look like the head of another input."""
    keys = CacheKey("m", secret=SECRET)
    two = ask(tensor("a"), tensor("b"))
    forged = bytes(tensor().data) + keys._head("b", "FP32", (1, 4), 16) + bytes(tensor().data)

    assert keys(two, DIGEST) != keys(ask(Tensor("a", "UINT8", (len(forged),), forged)), DIGEST)


def test_the_order_of_inputs_does_not_matter() -> None:
    """They go by name."""
    assert key(ask(tensor("a"), tensor("b"))) == key(ask(tensor("b"), tensor("a")))


def test_id_deadline_and_form_do_not_matter() -> None:
    """They change no answer."""
    plain = ask(tensor())

    assert key(plain) == key(ask(tensor(), id="7", deadline=5.0, priority=3, form="binary"))


def test_a_buffer_of_any_kind_counts_by_its_bytes() -> None:
    """A slice of a frame and a copy of it are one tensor."""
    frame = bytes(8) + bytes(range(16)) + bytes(8)
    sliced = Tensor("x", "FP32", (1, 4), memoryview(frame)[8:24])
    mutable = Tensor("x", "FP32", (1, 4), bytearray(range(16)))

    assert key(ask(sliced)) == key(ask(tensor())) == key(ask(mutable))


def test_model_digest_name_scope_and_secret_matter() -> None:
    """An answer of another file, version, recipe, model or caller is never found."""
    asked = ask(tensor())
    keys = {
        key(asked),
        key(asked, digest=b"e" * 32),
        key(asked, digest=b""),
        CacheKey("n", secret=SECRET)(asked, DIGEST),
        CacheKey("m", secret=SECRET)(asked, DIGEST, b"tenant"),
        CacheKey("m", secret=b"t" * 32)(asked, DIGEST),
    }

    assert len(keys) == 6


def test_a_digest_that_comes_back_finds_its_keys_again() -> None:
    """A rollback is warm."""
    keys, asked = CacheKey("m", secret=SECRET), ask(tensor())
    before = keys(asked, DIGEST)
    keys(asked, b"e" * 32)

    assert keys(asked, DIGEST) == before


def test_requested_outputs_matter_but_not_their_order_or_encoding() -> None:
    """One output is another question than all; how it is spelled is the codec's affair."""
    one, two = RequestedOutput("a"), RequestedOutput("b")
    asked = ask(tensor(), outputs=(one, two))

    assert key(asked) == key(ask(tensor(), outputs=(RequestedOutput("b", binary=True), one)))
    assert len({
        key(asked),
        key(ask(tensor())),
        key(ask(tensor(), outputs=(one,))),
        key(ask(tensor(), outputs=(RequestedOutput("a", classification=2), two))),
    }) == 4  # fmt: skip


@pytest.mark.parametrize("value", [1, 1.0, True, "1", 2])
def test_parameters_matter_with_their_types(value: object) -> None:
    """1, 1.0, true and "1" may mean four things to a model."""
    others = [1, 1.0, True, "1", 2]
    keys = [key(ask(tensor(), parameters={"p": other})) for other in others]

    assert len(set(keys)) == 5
    assert key(ask(tensor(), parameters={"p": value})) in keys
    assert key(ask(tensor(), parameters={"q": value})) not in keys


def test_the_order_of_parameters_does_not_matter() -> None:
    """JSON objects have none."""
    first = ask(tensor(), parameters={"a": 1, "b": 2})
    second = ask(tensor(), parameters={"b": 2, "a": 1})

    assert key(first) == key(second) != key(ask(tensor(), parameters={"a": 2, "b": 1}))


def test_minus_zero_is_not_zero() -> None:
    """1/x tells them apart, so a model may."""
    plus, minus = np.array([[0.0]], np.float32), np.array([[-0.0]], np.float32)

    assert key(ask(Tensor.of("x", plus))) != key(ask(Tensor.of("x", minus)))


def test_spellings_of_one_tensor_have_one_key() -> None:
    """Flat JSON, nested JSON, other number spellings and binary."""
    info = ModelInfo(
        "m", "1", "onnxruntime", "0" * 64, (TensorSpec("x", "FP32", (-1, 2)),),
        (TensorSpec("y", "FP32", (-1, 2)),), batched=True,
    )  # fmt: skip
    signature = Signature(info)
    flat = b'{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]}]}'
    bodies: list[tuple[bytes, int | None]] = [
        (flat, None),
        (flat.replace(b"[1,2,3,4]", b"[[1,2],[3,4]]"), None),
        (flat.replace(b"[1,2,3,4]", b" [1.0, 2e0, 30E-1, 4.00]"), None),
        (b'{"id":"7",' + flat[1:], None),
    ]
    head = msgspec.json.encode({
        "inputs": [{
            "name": "x", "shape": [2, 2], "datatype": "FP32",
            "parameters": {"binary_data_size": 16},
        }],
        "parameters": {"binary_data_output": True},
    })  # fmt: skip
    bodies.append((head + np.array([1, 2, 3, 4], "<f4").tobytes(), len(head)))

    keys = {
        key(decode_request(body, signature, header_length=length, model="m"))
        for body, length in bodies
    }

    assert len(keys) == 1


def test_a_short_secret_is_refused() -> None:
    """A key that can be guessed protects nobody."""
    with pytest.raises(ValueError, match="16 to 64 bytes is needed, not 3"):
        CacheKey("m", secret=b"abc")


def test_memory_of_heads_is_bounded() -> None:
    """A client that never sends a shape twice costs no memory."""
    keys = CacheKey("m", secret=SECRET)
    for rows in range(5000):
        keys(ask(Tensor("x", "UINT8", (rows,), b"")), DIGEST)

    assert len(keys._heads) <= 4096


_names = st.text(max_size=3)
_tensors = st.builds(
    lambda name, datatype, shape, fill: Tensor(
        name,
        datatype,
        tuple(shape),
        bytes([fill]) * (NUMPY[datatype].itemsize * int(np.prod(shape))),
    ),
    _names,
    st.sampled_from(["UINT8", "INT8", "FP32", "INT32"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 1),
)
_requests = st.builds(
    lambda tensors, outputs, parameters: InferRequest(
        "m", tuple(tensors), outputs=tuple(outputs), parameters=parameters
    ),
    st.lists(_tensors, max_size=3, unique_by=lambda t: t.name),
    st.lists(
        st.builds(
            lambda name, n: RequestedOutput(name, classification=n), _names, st.integers(0, 2)
        ),
        max_size=2,
        unique_by=lambda output: output.name,
    ),
    st.none()
    | st.dictionaries(_names, st.integers(0, 2) | st.booleans() | st.text(max_size=2), max_size=2),
)


def canon(asked: InferRequest) -> object:
    """What the key stands for, written down at length."""
    parameters = asked.parameters
    return (
        sorted((t.name, t.datatype, t.shape, bytes(t.data)) for t in asked.inputs),
        sorted((output.name, output.classification) for output in asked.outputs),
        sorted((k, type(v).__name__, v) for k, v in (parameters or {}).items()),
    )


@given(_requests, _requests)
def test_keys_are_equal_exactly_where_questions_are(
    first: InferRequest, second: InferRequest
) -> None:
    """Two requests share a key if, and only if, all that decides the answer is the same."""
    same = canon(first) == canon(second)

    assert (key(first) == key(second)) == same


@given(_requests)
def test_a_key_does_not_depend_on_what_was_asked_before(asked: InferRequest) -> None:
    """One maker of keys and a fresh one agree, and the request is left as it was."""
    before = canon(asked)
    keys = CacheKey("m", secret=SECRET)
    keys(ask(tensor()), DIGEST)

    assert keys(asked, DIGEST) == keys(asked, DIGEST) == key(asked)
    assert canon(asked) == before
