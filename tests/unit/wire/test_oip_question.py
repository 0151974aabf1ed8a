# SPDX-License-Identifier: Apache-2.0
"""A request as the body that asks another server for it: the server's own decoder reads it back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.wire.message import InferRequest, RequestedOutput
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.oip import decode_request
from gateway.wire.oip_question import encode_question
from gateway.wire.oip_reply import decode_reply
from gateway.wire.signature import signature_of
from gateway.wire.tensor import NUMPY, Tensor

DATATYPES = sorted(NUMPY)


def info(*datatypes: str) -> ModelInfo:
    """A model with an input and an output of each of *datatypes*."""
    specs = tuple(TensorSpec(f"t{i}", datatype, (-1,)) for i, datatype in enumerate(datatypes))
    return ModelInfo("m", "1", "p", "", specs, specs, batched=True)


def tensor(datatype: str, values: list[Any], name: str = "t0") -> Tensor:
    """A tensor of *values*; BF16 takes the upper halves of float32."""
    if datatype == "BYTES":
        return Tensor.of(name, np.array([str(value).encode() for value in values], dtype=object))
    return Tensor.of(name, np.array(values, NUMPY[datatype]), datatype=datatype)


def document(*tensors: Tensor, binary: bool, **options: Any) -> dict[str, Any]:
    """The JSON part of the body for *tensors*."""
    request = InferRequest("m", tensors, **options)
    question = encode_question(request, id_="7", binary=binary, parameters={})
    told: dict[str, Any] = json.loads(bytes(question.parts[0]))
    return told


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_arrives_as_bytes(datatype: str) -> None:
    """The buffers follow the JSON part, untouched and in order."""
    tensors = (tensor(datatype, [0, 1, 1]), tensor("INT64", [1, 2, 3], "t1"))
    request = InferRequest("m", tensors)
    question = encode_question(request, id_="7", binary=True, parameters={"timeout": 5})
    body = b"".join(question.parts)
    assert len(body) == question.size
    read = decode_request(
        body, signature_of(info(datatype, "INT64")), header_length=question.json_length
    )
    assert read.id == "7"
    assert read.form == "binary"
    assert [bytes(each.data) for each in read.inputs] == [bytes(each.data) for each in tensors]
    assert question.parts[1] is tensors[0].data


@pytest.mark.parametrize("datatype", sorted(set(DATATYPES) - {"FP16", "BF16"}))
def test_every_datatype_that_json_has_arrives_as_json(datatype: str) -> None:
    """Flat, and with the same bits."""
    given_ = tensor(datatype, [0, 1, 1])
    question = encode_question(InferRequest("m", (given_,)), id_="7", binary=False, parameters={})
    assert question.json_length is None
    read = decode_request(b"".join(question.parts), signature_of(info(datatype)))
    assert bytes(read.inputs[0].data) == bytes(given_.data)


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_halves_become_numbers_for_a_server_that_takes_json_alone(datatype: str) -> None:
    """None is lost: what comes back as the same number is the same half."""
    bits = np.array([0x3C00, 0x3555, 0x0001, 0xC000], np.uint16)
    given_ = Tensor("t0", datatype, (4,), bits.tobytes())
    (told,) = document(given_, binary=False)["inputs"]
    answer = json.dumps({"outputs": [told]}).encode()
    reply = decode_reply(answer, None, {"t0": TensorSpec("t0", datatype, (-1,))})
    assert bytes(reply.outputs[0].data) == bits.tobytes()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_a_float_keeps_its_bits_on_the_way_there_and_back(values: list[float]) -> None:
    """As text of both sides' making."""
    given_ = tensor("FP32", values)
    (told,) = document(given_, binary=False)["inputs"]
    reply = decode_reply(
        json.dumps({"outputs": [told]}).encode(), None, {"t0": TensorSpec("t0", "FP32", (-1,))}
    )
    assert bytes(reply.outputs[0].data) == bytes(given_.data)


@pytest.mark.parametrize(
    ("given_", "what"),
    [
        (tensor("FP32", [1.0, np.nan]), "NaN or infinity"),
        (tensor("FP64", [np.inf]), "NaN or infinity"),
        (tensor("FP16", [-np.inf]), "NaN or infinity"),
        (Tensor("t0", "BYTES", (1,), b"\x01\0\0\0\xff"), "not UTF-8"),
    ],
    ids=["NaN", "infinity", "half", "bytes"],
)
def test_what_json_cannot_carry_is_refused(given_: Tensor, what: str) -> None:
    """By the name of the input."""
    with pytest.raises(InvalidRequest, match=f"input 't0' holds .*{what}"):
        document(given_, binary=False)


def test_parameters_of_the_request_and_of_the_transport_are_told() -> None:
    """The model's own are not lost."""
    request = InferRequest("m", (tensor("BOOL", [True]),), parameters={"sequence_id": 3})
    question = encode_question(request, id_="é", binary=False, parameters={"timeout": 9})
    told = json.loads(bytes(question.parts[0]))
    assert told["parameters"] == {"sequence_id": 3, "timeout": 9}
    assert told["id"] == "é"


def test_each_listed_output_asks_for_bytes_itself() -> None:
    """Servers take the flag for all outputs to be about those that are not listed."""
    wanted = (RequestedOutput("b"), RequestedOutput("a", classification=3), RequestedOutput("b"))
    told = document(tensor("BOOL", [True]), binary=True, outputs=wanted)
    flag = {"binary_data": True}
    assert told["outputs"] == [{"name": "b", "parameters": flag}, {"name": "a", "parameters": flag}]
    assert "parameters" not in told
    told = document(tensor("BOOL", [True]), binary=True)
    assert told["parameters"] == {"binary_data_output": True}
