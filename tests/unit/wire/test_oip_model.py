# SPDX-License-Identifier: Apache-2.0
"""What servers tell of themselves and of their models."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.edge import metadata
from gateway.errors import BadAnswer
from gateway.wire.model import TensorSpec
from gateway.wire.oip_model import Described, describe_model, describe_server
from tests.support.upstream import MODEL

TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}


def described(config: dict[str, Any] | None = None, **changes: Any) -> Described:
    """The model whose metadata differ from the plainest in *changes*."""
    told = {"name": "far", "platform": "p", "inputs": [TENSOR], "outputs": [TENSOR]} | changes
    return describe_model(
        json.dumps(told).encode(),
        None if config is None else json.dumps(config).encode(),
        name="near",
        remote_name="far",
        version=changes.get("asked", ""),
    )


def test_a_gateway_understands_another() -> None:
    """The digest of the model's file passes through."""
    page = json.dumps(metadata.v2_model("m", MODEL)).encode()
    config = json.dumps(metadata.v2_config("m", MODEL, max_body=80)).encode()
    told = describe_model(page, config, name="n", remote_name="m")
    assert told.info.digest == MODEL.digest
    assert told.info.inputs == MODEL.inputs
    assert told.info.batched
    assert told.max_batch == 10
    server = describe_server(json.dumps(metadata.server()).encode())
    assert server.name == "infergate"
    assert "binary_tensor_data" in server.extensions


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b'{"extensions":7}', b"\xff"])
def test_a_server_may_tell_nothing(body: bytes) -> None:
    """It then has the protocol and no extension."""
    assert describe_server(body) == ("", "", frozenset())


@pytest.mark.parametrize(
    ("versions", "version"),
    [(["1", "10", "9"], "10"), (None, "1"), ([], "1"), (["blue", "3"], "3"), ([7], "7")],
)
def test_the_version_is_the_newest_that_there_is(versions: Any, version: str) -> None:
    """Where there are none it is the first."""
    assert described(versions=versions).info.version == version


def test_shapes_may_be_text() -> None:
    """As protobuf writes its 64-bit integers."""
    tensor = TENSOR | {"shape": ["-1", "2"]}
    assert described(inputs=[tensor]).info.inputs == (TensorSpec("x", "FP32", (-1, 2)),)


@pytest.mark.parametrize(
    ("config", "shape", "batched", "most"),
    [
        (None, [-1, 2], True, 0),
        (None, [1, 2], False, 0),
        ({"max_batch_size": 8}, [-1, 2], True, 8),
        ({"max_batch_size": 0}, [-1, 2], False, 0),
        ({"max_batch_size": 8}, [4], False, 0),
        ({}, [-1, 2], True, 0),
    ],
)
def test_rows_may_be_merged_where_all_agree(
    config: dict[str, Any] | None, shape: list[int], most: int, *, batched: bool
) -> None:
    """The first dimensions, and the configuration where there is one."""
    told = described(config, inputs=[TENSOR | {"shape": shape}])
    assert (told.info.batched, told.max_batch) == (batched, most)


@pytest.mark.parametrize(
    ("groups", "parallelism"),
    [
        (None, 4),
        ([{"count": 2}], 2),
        ([{"count": 2, "gpus": [0, 1]}, {}], 5),
        ([{"count": 999}], 64),
    ],
)
def test_instances_are_counted(groups: Any, parallelism: int) -> None:
    """Four where nothing is said, and never more than a mistake would make of them."""
    assert described({"instance_group": groups}).info.parallelism == parallelism


def test_the_digest_changes_with_what_is_told_alone() -> None:
    """And shows that it is none of a file."""
    first, again = described().info.digest, described().info.digest
    assert first == again
    assert first.startswith("~")
    assert described(versions=["2"]).info.digest != first
    assert described(inputs=[TENSOR | {"shape": [-1, 3]}]).info.digest != first


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": "other"}, "asked for model 'far', it describes 'other'"),
        ({"inputs": []}, "lists no inputs"),
        ({"outputs": None}, "lists no outputs"),
        ({"inputs": [TENSOR, TENSOR]}, "'x' is listed 2 times"),
        ({"outputs": [TENSOR | {"datatype": "STRING"}]}, "'x' is STRING; expected one of BOOL"),
        ({"outputs": [TENSOR | {"shape": [-2]}]}, "impossible shape"),
        ({"outputs": [TENSOR | {"shape": [1] * 65}]}, "impossible shape"),
        ({"inputs": 7}, "not v2"),
    ],
    ids=str,
)
def test_what_cannot_be_served_is_said(changes: dict[str, Any], match: str) -> None:
    """By what is wrong with it."""
    with pytest.raises(BadAnswer, match=match):
        described(**changes)
