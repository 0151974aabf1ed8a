# SPDX-License-Identifier: Apache-2.0
"""Select and rename: which outputs are left, and by what names."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from gateway.errors import BadAnswer
from gateway.steps import bind_outputs, client_info
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Tensor
from tests.support.applying import applied, fault, singles
from tests.support.steps import model, output_step

INFO = model(
    outputs=(TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "FP32", (-1, 2))),
    labels={"b": ("no", "yes")},
)
ARRAYS = {"a": np.array([1]), "b": singles([[0.25, 0.75]])}


def test_select_keeps_what_it_names_in_its_order() -> None:
    """And their labels."""
    assert list(applied("select", ARRAYS, outputs=["b", "a"])) == ["b", "a"]
    seen = client_info(INFO, [], [output_step("select", outputs=["a"])])
    assert (seen.outputs, seen.labels) == ((TensorSpec("a", "INT64", (-1,)),), {})


def test_rename_changes_names_alone() -> None:
    """Two may change places."""
    made = applied("rename", ARRAYS, outputs={"a": "b", "b": "a"})

    assert list(made) == ["b", "a"]
    assert made["b"].tolist() == [1]
    seen = client_info(INFO, [], [output_step("rename", outputs={"b": "p"})])
    assert [spec.name for spec in seen.outputs] == ["a", "p"]
    assert seen.labels == {"p": ("no", "yes")}


def test_what_is_not_there_is_named() -> None:
    """With what is."""
    assert fault(INFO, "select", outputs=["a", "c"]) == (
        "model 'm': postprocess[0] select: there is no output 'c' here, only 'a', 'b'"
    )
    assert "there is no output 'c'" in fault(INFO, "rename", outputs={"c": "d"})


def test_two_outputs_never_share_a_name() -> None:
    """A client could not tell them apart."""
    assert "two outputs would be called 'b'" in fault(INFO, "rename", outputs={"a": "b"})
    with pytest.raises(msgspec.ValidationError, match="once"):
        output_step("select", outputs=["a", "a"])


def test_an_answer_without_the_output_is_a_bad_one() -> None:
    """The worker has left it out."""
    kernel = bind_outputs(INFO, [output_step("select", outputs=["b"])])
    with pytest.raises(BadAnswer, match="output 'b' is missing"):
        kernel((Tensor.of("a", ARRAYS["a"]),))
