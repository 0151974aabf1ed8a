# SPDX-License-Identifier: Apache-2.0
"""Templates give requests that a server reads as what was meant, in every protocol."""

import json
from typing import Any

import numpy as np
import pytest

from gateway.lab import LabError
from gateway.lab.load.encode import Encoder, split_head
from gateway.lab.load.messages import message
from gateway.lab.load.run import PROTOCOLS, Plan, Protocol
from gateway.lab.load.supply import Supply, Template
from gateway.lab.load.variation import MARK_WIDTH, choices, marked, values
from gateway.wire.tensor import Tensor

FLOATS = Tensor.of("x", np.asarray([[0.0, 1.5, -2.0], [3.0, 1e-20, 4.0]], dtype=np.float32))
WHOLE = Tensor.of("ids", np.asarray([[5, 7], [9, 5]], dtype=np.int64))
TEXT = Tensor.of("text", np.asarray([["é"], ["b"]]))
ALL = (FLOATS, WHOLE, TEXT)


def plan(protocol: Protocol, **fields: Any) -> Plan:
    """A plan for model m v."""
    return Plan(url="http://host:80/base", model="m/v", protocol=protocol, rate=1.0, **fields)


def template(
    protocol: Protocol, *tensors: Tensor, vary: bool = True, bare: bool = False, rows: int = 2
) -> Template:
    """The template of *tensors*."""
    encoder = Encoder(plan(protocol), vary=vary, bounds={"ids": (5, 9)})
    return encoder.template(tensors, rows=rows, bare=bare)


def read(protocol: Protocol, wire: bytes) -> dict[str, list[Any]]:
    """The inputs that *wire* holds, flat, by name."""
    if protocol == "grpc":
        request = message("ModelInferRequest").FromString(wire)
        raw = list(request.raw_input_contents)
        described = [(one.name, one.datatype, tuple(one.shape)) for one in request.inputs]
        assert request.model_name == "m/v"
    else:
        head, _, body = wire.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        assert int(lines["Content-Length"]) == len(body)
        if protocol == "v1":
            rows = json.loads(body)["instances"]
            return {name: list(np.ravel([row[name] for row in rows])) for name in rows[0]}
        length = int(lines.get("Inference-Header-Content-Length", len(body)))
        document = json.loads(body[:length])
        if protocol == "v2-json":
            return {one["name"]: one["data"] for one in document["inputs"]}
        raw, at = [], length
        for one in document["inputs"]:
            raw.append(body[at : at + one["parameters"]["binary_data_size"]])
            at += len(raw[-1])
        assert at == len(body)
        described = [(one["name"], one["datatype"], one["shape"]) for one in document["inputs"]]
    return {
        name: [
            one.decode() if isinstance(one, bytes) else one
            for one in Tensor(name, datatype, tuple(shape), data).array().ravel().tolist()
        ]
        for (name, datatype, shape), data in zip(described, raw, strict=True)
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_data_as_it_is_says_the_same_in_every_protocol(protocol: Protocol) -> None:
    """No blank, no change, texts included."""
    made = template(protocol, *ALL, vary=False)

    assert made.rows == ()
    assert made.count == 2
    found = read(protocol, made.head + made.body)
    assert found["ids"] == [5, 7, 9, 5]
    assert found["text"] == ["é", "b"]
    assert found["x"] == FLOATS.array().ravel().tolist()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_variants_are_valid_and_all_different(protocol: Protocol) -> None:
    """Numbers stay near, whole numbers in bounds, texts begin as they did; each row is new."""
    supply = Supply([template(protocol, *ALL)], repeat=0.0, salt=12_345)
    rows = set()
    for _ in range(500):
        found = read(protocol, supply.fill(supply.next()[0]))
        np.testing.assert_allclose(found["x"], FLOATS.array().ravel(), rtol=0.011, atol=1e-4)
        assert all(5 <= one <= 9 for one in found["ids"])
        assert [one[0] for one in found["text"]] == ["é", "b"]
        for row in range(2):
            numbers = np.asarray(found["x"][row * 3 : row * 3 + 3], dtype=np.float32).tobytes()
            rows.add((numbers, *found["ids"][row * 2 : row * 2 + 2], found["text"][row]))

    assert len(rows) == 1000
    assert supply.inputs > 1e9


def test_numbers_alone_are_different_as_the_model_sees_them() -> None:
    """Two FP32 numbers that differ in JSON but not in the model are one question."""
    supply = Supply([template("v2-json", FLOATS)], repeat=0.0)

    seen = {
        np.asarray(read("v2-json", supply.fill(supply.next()[0]))["x"], dtype=np.float32).tobytes()
        for _ in range(3_000)
    }

    assert len(seen) == 3_000


def test_a_bare_model_has_no_dimension_of_rows() -> None:
    """One row a request: its v1 spelling is one instance."""
    row = Tensor.of("x", np.asarray([1.5, 2.0], dtype=np.float32))

    made = template("v1", row, vary=False, bare=True, rows=1)

    assert json.loads(made.body) == {"instances": [[1.5, 2.0]]}


@pytest.mark.parametrize(
    ("protocol", "path"),
    [("v2-json", "/base/v2/models/m%2Fv/infer"), ("v1", "/base/v1/models/m%2Fv:predict")],
)
def test_the_head_names_model_and_host(protocol: Protocol, path: str) -> None:
    """Headers of the plan are on every request."""
    made = Encoder(plan(protocol, headers=(("X-Key", "s"),)), vary=False, bounds={}).template(
        [FLOATS], rows=2, bare=False
    )

    assert split_head(made.head) == (path, {"Content-Type": "application/json", "X-Key": "s"})
    assert b"\r\nHost: host:80\r\n" in made.head


def test_a_picture_in_json_is_refused() -> None:
    """Bytes that are no text have no place in JSON; the message says what takes them."""
    picture = Tensor("image", "BYTES", (1,), b"\x04\x00\x00\x00\xff\xd8\xff\xe0")
    with pytest.raises(LabError, match=r"'image' holds bytes that are no text.*v2-binary"):
        template("v2-json", picture, rows=1)


def test_a_jpeg_takes_its_mark_as_a_comment() -> None:
    """A decoder passes over it."""
    made = marked(b"\xff\xd8\xff\xe0rest", 7)

    assert made == b"\xff\xd8\xff\xfe\x00\x0e@0000000007@\xff\xe0rest"
    assert len(made) == 8 + 4 + MARK_WIDTH


@pytest.mark.parametrize(
    ("datatype", "value", "fewest"),
    [("FP64", 2.0, 1000), ("FP32", 0.0, 1000), ("FP32", 1e30, 1000), ("FP16", 1.0, 5),
     ("FP16", 65504.0, 1), ("BF16", 1.0, 2), ("BOOL", 1, 2), ("UINT8", 255, 256),
     ("INT64", 3, 256)],
)  # fmt: skip
def test_values_are_different_on_the_wire(datatype: str, value: float, fewest: int) -> None:
    """The value itself first, and never two that the type cannot tell apart."""
    low, high = {"BOOL": (0, 1), "UINT8": (0, 255)}.get(datatype, (-1000, 1000))

    table = values(datatype, value, low, high)

    assert len(table) >= fewest
    assert len({one.tobytes() for one in table}) == len(table)
    if datatype not in {"BF16", "BOOL"}:
        assert table[0] == np.asarray(value, dtype=table.dtype)


def test_numbers_that_are_none_are_left_alone() -> None:
    """A missing value stays missing."""
    row = Tensor.of("x", np.asarray([[np.nan, np.inf, 1.0]], dtype=np.float32))

    ((only,),) = choices(row, 1, (0, 0))

    assert only[0] == 2
