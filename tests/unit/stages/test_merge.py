# SPDX-License-Identifier: Apache-2.0
"""Merge and split: each the other's inverse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadAnswer
from gateway.stages.merge import compatibility, merge, placed, split
from gateway.wire.message import InferRequest, InferResponse, RequestedOutput
from gateway.wire.tensor import NUMPY, Tensor
from tests.support.upstream import request

FIXED = sorted(set(NUMPY) - {"BYTES"})


@st.composite
def tensors(draw: st.DrawFn, name: str, datatype: str, trailing: tuple[int, ...]) -> Any:
    """A function from a number of rows to a tensor of random content."""
    seed = draw(st.integers(0, 2**32 - 1))

    def make(rows: int) -> Tensor:
        rng = np.random.default_rng([seed, rows])
        shape = (rows, *trailing)
        count = int(np.prod(shape))
        if datatype == "BYTES":
            elements = np.empty(count, object)
            elements[:] = [rng.bytes(int(size)) for size in rng.integers(0, 6, count)]
            return Tensor.of(name, elements.reshape(shape))
        raw = rng.bytes(count * NUMPY[datatype].itemsize)
        return Tensor(name, datatype, shape, raw)

    return make


@st.composite
def alike(draw: st.DrawFn) -> list[InferRequest]:
    """Requests that may share a batch."""
    makers = [
        draw(
            tensors(
                name,
                draw(st.sampled_from([*FIXED, "BYTES"])),
                tuple(draw(st.lists(st.integers(0, 3), max_size=2))),
            )
        )
        for name in draw(st.sampled_from(["a", "ab", "abc"]))
    ]
    sizes = draw(st.lists(st.integers(0, 4), min_size=1, max_size=5))
    requests = []
    for rows in sizes:
        inputs = [make(rows) for make in makers]
        requests.append(InferRequest("m", tuple(draw(st.permutations(inputs)))))
    return requests


def facts(tensor: Tensor) -> tuple[str, str, tuple[int, ...], bytes]:
    """What a tensor is, to compare."""
    return tensor.name, tensor.datatype, tensor.shape, bytes(tensor.data)


@given(alike())
def test_splitting_what_was_merged_gives_back_each_part(requests: list[InferRequest]) -> None:
    """For every datatype, number of inputs, input order and row count, empty ones included."""
    assert len({compatibility(each) for each in requests}) == 1
    merged = merge(requests)
    assert merged.members == len(requests)
    assert merged.rows == sum(each.rows for each in requests)
    parts = split(InferResponse(merged.inputs), [each.rows for each in requests])
    for each, part in zip(requests, parts, strict=True):
        assert sorted(map(facts, part.outputs)) == sorted(map(facts, each.inputs))


def test_merged_rows_stand_in_order() -> None:
    """The first request's rows come first."""
    merged = merge([request(1), request(2, 3)])
    assert merged.inputs[0].array().tolist() == [[1, 1], [2, 2], [3, 3]]


def test_a_merged_request_has_the_latest_deadline() -> None:
    """Nobody's answer is given up because of a neighbour's hurry."""
    assert merge([request(deadline=1), request(deadline=3), request(deadline=2)]).deadline == 3


def test_a_merged_request_keeps_outputs_and_parameters() -> None:
    """They are equal among members, and reach the model."""
    asked = [request(outputs=(RequestedOutput("y"),), parameters={"top": 1}) for _ in range(2)]
    merged = merge(asked)
    assert [output.name for output in merged.outputs] == ["y"]
    assert merged.parameters == {"top": 1}


def test_only_what_belongs_to_one_place_is_merged() -> None:
    """Where requests have places, that is a part of what they must have in common."""
    one, same, other = request(1), request(2), request(3)
    one.trace.affinity = same.trace.affinity = b"here"
    other.trace.affinity = b"there"
    assert placed(one) == placed(same) != placed(other)
    assert compatibility(one) == compatibility(other)
    assert merge([one, same]).trace.affinity == b"here"
    assert placed(request(4, parameters={"sequence_id": 1})) is None


@pytest.mark.parametrize(
    "inputs",
    [
        (),
        (Tensor("x", "FP32", (), b"\0" * 4),),
        (Tensor("x", "FP32", (1,), b"\0" * 4), Tensor("z", "FP32", (), b"\0" * 4)),
        (Tensor("x", "FP32", (1,), b"\0" * 4), Tensor("z", "FP32", (2,), b"\0" * 8)),
    ],
    ids=["none", "scalar", "one scalar of two", "rows that differ"],
)
def test_inputs_without_common_rows_are_never_merged(inputs: tuple[Tensor, ...]) -> None:
    """Rows are what is merged along; without them a request goes alone."""
    assert compatibility(InferRequest("m", inputs)) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (request(parameters={"a": 1}), request(parameters={"a": True})),
        (request(parameters={"a": 1}), request(parameters={"a": 1.0})),
        (request(parameters={"a": 1}), request(parameters={"b": 1})),
        (request(parameters={"a": 1}), request()),
        (request(outputs=(RequestedOutput("y"),)), request()),
    ],
    ids=["bool and int", "float and int", "names", "one without", "outputs"],
)
def test_values_that_differ_in_type_or_name_are_not_alike(
    one: InferRequest, other: InferRequest
) -> None:
    """1, 1.0 and true are equal to Python and not to a model."""
    assert compatibility(one) != compatibility(other)


def test_the_order_of_names_makes_no_difference() -> None:
    """Neither of outputs nor of parameters."""
    y, z = RequestedOutput("y"), RequestedOutput("z")
    one = request(outputs=(y, z), parameters={"a": 1, "b": "x"})
    other = request(outputs=(z, y), parameters={"b": "x", "a": 1})
    assert compatibility(one) == compatibility(other)


def test_a_sequence_is_never_merged() -> None:
    """Its requests have a state and an order of their own."""
    assert compatibility(request(parameters={"sequence_id": 7})) is None


FLOATS = np.arange(6, dtype=np.float32).tobytes()


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (Tensor("y", "FP32", (), b"\0" * 4), r"shape \[\] for a batch of 3 rows"),
        (Tensor("y", "FP32", (2, 3), FLOATS), r"shape \[2, 3\]"),
        (Tensor("y", "FP32", (3, 2), FLOATS[:-1]), "has 23 bytes"),
        (Tensor("y", "FP32", (3,), FLOATS), "has 24 bytes"),
        (Tensor("y", "BYTES", (3,), b"\1\0\0\0a" * 2), "2 elements"),
        (Tensor("y", "BYTES", (3, 2), b"\1\0\0\0a" * 3), "3 elements"),
        (Tensor("y", "BYTES", (3,), b"\1\0\0"), "3 bytes left"),
    ],
    ids=["scalar", "rows", "short", "long", "too few", "per row", "cut off"],
)
def test_refuses_to_split_what_does_not_line_up(output: Tensor, said: str) -> None:
    """Nobody may get another's rows; the error names the output and what is wrong."""
    good = Tensor("good", "FP32", (3, 2), FLOATS)
    with pytest.raises(BadAnswer, match=said):
        split(InferResponse((good, output)), [1, 2])


def test_refuses_to_split_an_answer_without_outputs() -> None:
    """There would be nothing for anybody."""
    with pytest.raises(BadAnswer, match="no outputs"):
        split(InferResponse(()), [1, 2])


def test_parts_share_the_buffer_and_keep_the_version() -> None:
    """Splitting copies nothing."""
    whole = Tensor("y", "FP32", (3, 2), memoryview(FLOATS))
    parts = split(InferResponse((whole,), version="7"), [1, 2])
    assert [part.version for part in parts] == ["7", "7"]
    assert [part.outputs[0].data.obj for part in parts] == [FLOATS, FLOATS]  # type: ignore[union-attr]
