# SPDX-License-Identifier: Apache-2.0
"""Inputs from files and from nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gateway.lab import LabError
from gateway.lab.load.run import Plan
from gateway.lab.load.source import templates
from gateway.lab.load.supply import Template
from gateway.wire.model import TensorSpec

PIXELS = TensorSpec("image", "FP32", (-1, 3, 4, 5))
ROW = TensorSpec("x", "FP32", (-1, 3))


def made(data: object, *specs: TensorSpec, **fields: Any) -> list[Template]:
    """The templates of *data* for a model that takes *specs*."""
    plan = Plan(**{"url": "http://h:1", "model": "m", "rate": 1.0, **fields})
    return templates(plan, None if data is None else str(data), specs)


def inputs(template: Template) -> dict[str, Any]:
    """Its v2 JSON inputs by name."""
    return {each["name"]: each for each in json.loads(template.body)["inputs"]}


def test_arrays_go_row_by_row(tmp_path: Path) -> None:
    """In whole requests; labels and other arrays are not sent."""
    np.savez(
        tmp_path / "d.npz", x=np.arange(15, dtype=np.float32).reshape(5, 3), labels=np.arange(5)
    )

    found = made(tmp_path / "d.npz", ROW, batch=2)

    assert [inputs(each)["x"]["data"] for each in found] == [
        [0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]
    ]  # fmt: skip
    assert [each.count for each in found] == [2, 2]
    assert list(inputs(found[0])) == ["x"]


def test_few_rows_fill_a_request_again(tmp_path: Path) -> None:
    """A batch larger than the data is still a batch of that size."""
    np.savez(tmp_path / "d.npz", inputs=np.ones((2, 3), dtype=np.float32))

    (found,) = made(tmp_path / "d.npz", ROW, batch=5)

    assert inputs(found)["x"]["shape"] == [5, 3]


def test_a_table_is_columns(tmp_path: Path) -> None:
    """All of one input but the label, or each its own input."""
    (tmp_path / "t.csv").write_text("a,b,label,c\n1,2,9,3\n4,5,9,\n")

    (first, second) = made(tmp_path / "t.csv", ROW, protocol="v2-binary")
    assert np.frombuffer(first.body[-12:], "<f4").tolist() == [1, 2, 3]
    assert np.isnan(np.frombuffer(second.body[-4:], "<f4")[0])

    named = made(
        tmp_path / "t.csv", TensorSpec("a", "INT64", (-1, 1)), TensorSpec("b", "BYTES", (-1,))
    )
    assert inputs(named[1])["a"]["data"] == [4]
    assert inputs(named[1])["a"]["shape"] == [1, 1]
    assert inputs(named[1])["b"]["data"] == ["5"]


def test_pictures_are_pixels_or_files(tmp_path: Path) -> None:
    """As the model takes them: in its size and order, or as they are."""
    Image.new("RGB", (10, 8), (255, 0, 0)).save(tmp_path / "a.png")
    Image.new("L", (5, 4), 51).save(tmp_path / "b.png")
    (tmp_path / "notes.txt").write_text("no picture")

    red, grey = made(tmp_path, PIXELS)
    assert inputs(red)["image"]["data"] == [1.0] * 20 + [0.0] * 40
    assert inputs(grey)["image"]["data"][0] == pytest.approx(0.2)

    last = TensorSpec("image", "UINT8", (-1, 4, 5, 3))
    assert inputs(made(tmp_path / "a.png", last)[0])["image"]["data"][:3] == [255, 0, 0]

    files = made(tmp_path, TensorSpec("file", "BYTES", (-1,)), protocol="v2-binary")
    assert files[0].body.endswith((tmp_path / "a.png").read_bytes())


@pytest.mark.parametrize(("name", "lines"), [("b.json", False), ("b.ndjson", True)])
def test_bodies_are_sent_as_they_are(tmp_path: Path, name: str, lines: bool) -> None:  # noqa: FBT001 - a parameter
    """One a line, or a list; nothing need be known of the model."""
    bodies = [{"inputs": [], "id": "1"}, {"inputs": []}]
    text = "\n".join(map(json.dumps, bodies)) if lines else json.dumps(bodies)
    (tmp_path / name).write_text(text)

    found = made(tmp_path / name)

    assert [json.loads(each.body) for each in found] == bodies
    assert b"POST /v2/models/m/infer" in found[0].head


def test_made_up_inputs_fit_the_model() -> None:
    """Every datatype, open dimensions, and the shape that was asked for; the seed decides."""
    specs = [
        TensorSpec(name.lower(), name, (-1, 2))
        for name in ("FP64", "FP32", "FP16", "BF16", "INT8", "UINT64", "BOOL", "BYTES")
    ]
    found = made(None, *specs, TensorSpec("open", "INT64", (-1, -1)), batch=3,
                 shapes=(("open", (7,)),), repeat=0.0)  # fmt: skip

    first = inputs(found[0])
    assert all(first[spec.name]["shape"] == [3, 2] for spec in specs)
    assert first["open"]["shape"] == [3, 7]
    assert max(first["open"]["data"]) < 10
    assert all(isinstance(one, str) for one in first["bytes"]["data"])
    again = made(None, *specs, TensorSpec("open", "INT64", (-1, -1)), batch=3,
                 shapes=(("open", (7,)),), repeat=0.0)  # fmt: skip
    assert again == found


def test_a_model_without_rows_gets_what_it_takes() -> None:
    """A fixed first dimension is no number of rows."""
    found = made(None, TensorSpec("x", "FP32", (4, -1)))

    assert inputs(found[0])["x"]["shape"] == [4, 16]


@pytest.mark.parametrize(
    ("name", "content", "fields", "says"),
    [
        ("d.txt", "", {}, "expected .npz, .csv"),
        ("none.npz", None, {}, "no such file"),
        ("t.csv", "", {}, "expected a header and rows"),
        ("t.csv", "a,b\n1\n", {}, ":2: 1 columns; the header has 2"),
        ("t.csv", "a,b,c\n1,x,2\n", {}, "column 'b': could not convert"),
        ("b.json", "{", {}, "not JSON"),
        ("b.json", "[{}]", {}, "body 1: expected an object with 'inputs'"),
        ("b.json", "[]", {}, "no body in it"),
        ("b.json", '{"inputs": []}', {"repeat": 0.5}, "leave out --repeat"),
        ("b.json", '{"inputs": []}', {"protocol": "grpc"}, "--protocol v2-json or v1"),
        ("p.png", "no picture", {}, "the model takes [-1, 3], which is no picture"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    tmp_path: Path, name: str, content: str | None, fields: dict[str, Any], says: str
) -> None:
    """By its name, with what would be right."""
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(LabError) as refused:
        made(path, ROW, **fields)
    assert str(refused.value).startswith(str(path))
    assert says in str(refused.value)


def test_a_shape_of_no_input_is_refused() -> None:
    """By the names that there are."""
    with pytest.raises(LabError, match="--shape: no input 'y'; the model has: x"):
        made(None, ROW, shapes=(("y", (1,)),))
