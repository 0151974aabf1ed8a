# SPDX-License-Identifier: Apache-2.0
"""The outputs that a request lists, and the parameters that it sets."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from gateway.errors import InvalidRequest, Unsupported
from gateway.wire.message import InferRequest, RequestedOutput
from gateway.wire.oip import decode_request
from gateway.wire.oip_parameters import BINARY, Output, is_count, requested_outputs
from gateway.wire.signature import Signature
from tests.support.edge import model
from tests.support.v2 import body

SIGNATURE = Signature(
    model(outputs=[("y", "FP32", (-1, 3)), ("h", "FP16", (-1,)), ("s", "BYTES", (-1,))])
)


def decode(data: bytes, **options: Any) -> InferRequest:
    """The request in *data*."""
    return decode_request(data, Signature(model()), **options)


def requested(*outputs: dict[str, Any]) -> tuple[RequestedOutput, ...]:
    """What *outputs* of a request ask for."""
    return requested_outputs(msgspec.convert(outputs, list[Output]), SIGNATURE)


def test_outputs_keep_their_order_and_their_wishes() -> None:
    """The order is the client's; what is not said stays open."""
    outputs = requested(
        {"name": "s", "parameters": {"binary_data": False}},
        {"name": "h", "parameters": {"binary_data": True}},
        {"name": "y", "parameters": {"classification": 2, "other": 1}},
    )

    assert [(output.name, output.binary, output.classification) for output in outputs] == [
        ("s", False, 0), ("h", True, 0), ("y", None, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ([{"name": "z"}], "output 'z' is not an output of model 'm'; expected 'y', 'h', 's'"),
        ([{"name": "y"}, {"name": "y"}], "output 'y' is requested twice"),
        ([{"name": "h"}], "output 'h': FP16 cannot be carried by JSON"),
        ([{"name": "y", "parameters": {"binary_data": 1}}], "binary_data must be true or false"),
        ([{"name": "y", "parameters": {"classification": 0}}], "must be an integer from 1"),
        ([{"name": "y", "parameters": {"classification": "3"}}], "must be an integer from 1"),
        ([{"name": "s", "parameters": {"classification": 1}}], "classification needs numbers"),
        (
            [{"name": "y", "parameters": {"shared_memory_region": "r", "binary_data": True}}],
            "shared_memory_region excludes binary_data",
        ),
        (
            [{"name": "y", "parameters": {"shared_memory_region": "r", "classification": 1}}],
            "shared_memory_region excludes classification",
        ),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(outputs: list[dict[str, Any]], says: str) -> None:
    """The message names the output."""
    with pytest.raises(InvalidRequest, match=says):
        requested(*outputs)


def test_shared_memory_is_not_offered() -> None:
    """It is a part of the protocol, so this is a 501."""
    with pytest.raises(Unsupported, match="output 'y': shared memory is not offered"):
        requested({"name": "y", "parameters": {"shared_memory_region": "r"}})


@pytest.mark.parametrize("value", [True, False, -1, 2**64, 1.0, "1", None])
def test_only_an_unsigned_64_bit_integer_is_a_count(value: object) -> None:
    """Above all, `true` is not 1."""
    assert not is_count(value)
    assert is_count(0)
    assert is_count(2**64 - 1)


@pytest.mark.parametrize("none", [0, ""])
def test_sequence_zero_is_no_sequence(none: object) -> None:
    """Clients that always send the parameter can still be merged, cached and tried again."""
    parameters = {"sequence_id": none, "sequence_start": True, "temperature": 0.5}

    assert decode(body(parameters=parameters)).parameters == {"temperature": 0.5}


def test_the_transports_own_parameters_do_not_reach_the_model() -> None:
    """Timeout, priority and the form of the answer are obeyed and taken out."""
    parameters = {"timeout": 250_000, "priority": 2, "binary_data_output": True, "sequence_id": 7,
                  "sequence_start": True, "temperature": 0.5}  # fmt: skip

    request = decode(body(parameters=parameters), arrived=100.0)

    assert math.isclose(request.deadline, 100.25)
    assert (request.priority, request.form) == (2, BINARY)
    assert request.parameters == {
        "sequence_id": 7, "sequence_start": True, "temperature": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize(("timeout", "deadline"), [(0, 5.0), (10**7, 5.0), (10**6, 2.0)])
def test_a_timeout_only_ever_shortens_the_deadline(timeout: int, deadline: float) -> None:
    """The earlier of both counts; 0 is none."""
    request = decode(body(parameters={"timeout": timeout}), arrived=1.0, deadline=5.0)

    assert request.deadline == deadline


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"a": None}, "expected bool . int . float . str, got null"),
        ({"a": [1]}, "got array"),
        ({"a": {}}, "got object"),
        ([], "parameters: expected object"),
        ({"triton_enable": 1}, "'triton_enable'.*reserved"),
        ({"timeout": -1}, "'timeout' must be a number of microseconds"),
        ({"timeout": "5"}, "'timeout' must be"),
        ({"timeout": True}, "'timeout' must be"),
        ({"timeout": 1.5}, "'timeout' must be"),
        ({"priority": 2**64}, "'priority' must be"),
        ({"binary_data_output": 1}, "'binary_data_output' must be true or false"),
        ({"sequence_start": "yes"}, "'sequence_start' must be true or false"),
        ({"sequence_id": -1}, "'sequence_id' must be"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(parameters: object, says: str) -> None:
    """Parameters are flat, and those with a meaning have a type."""
    with pytest.raises(InvalidRequest, match=says):
        decode(body(parameters=parameters))


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30])
def test_an_integer_beyond_64_bits_is_refused(number: int) -> None:
    """Neither the cache's key nor any worker could hold it."""
    with pytest.raises(InvalidRequest, match="parameter 'a': the integer takes more than 64 bits"):
        decode(body(parameters={"a": number}))


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63)])
def test_any_integer_of_64_bits_is_taken(number: int) -> None:
    """With or without a sign."""
    assert decode(body(parameters={"a": number})).parameters == {"a": number}
