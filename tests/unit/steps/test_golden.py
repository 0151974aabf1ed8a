# SPDX-License-Identifier: Apache-2.0
"""Golden vectors: what a file holds steps to, and what is said where they give something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.errors import ConfigError
from gateway.steps import bind_inputs
from gateway.steps.golden import Golden, differences, read_golden, write_golden
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Array, Tensor
from tests.support.steps import gives, input_step, model, output_step, takes

if TYPE_CHECKING:
    from pathlib import Path

INFO = takes("FP32", -1, 3)
SENT = np.array([[0, 1, 2], [4, 8, 16]], np.float32)
HALVED: dict[str, Array] = {"input.x": SENT, "tensor.x": SENT / 2}
HALF = [input_step("scale", factor=0.5)]


def faults(arrays: dict[str, Array], steps: Any = HALF, **tolerances: float) -> list[str]:
    """What is wrong with *steps* by *arrays*."""
    return Golden("g.npz", arrays).faults(INFO, steps, [], **tolerances)


def test_steps_that_give_what_they_must_have_no_faults() -> None:
    """To the last bit here."""
    assert faults(HALVED, rtol=0, atol=0) == []


def test_a_mismatch_is_told_with_tensor_row_values_and_tolerance() -> None:
    """The first of them, and how many there are."""
    (fault,) = faults(HALVED, [input_step("scale", factor=0.25)])
    assert fault == (
        "g.npz: tensor 'x', row 0, element [1]: expected 0.5, got 0.25, "
        "tolerance 1e-06 + 1e-06 x expected (5 of 6 values differ)"
    )


@pytest.mark.parametrize(
    ("tolerances", "good"),
    [({"rtol": 0.011, "atol": 0}, True), ({"rtol": 0.009, "atol": 0}, False),
     ({"rtol": 0, "atol": 0.081}, True), ({"rtol": 0, "atol": 0.079}, False)],
)  # fmt: skip
def test_numbers_may_differ_by_the_tolerance(tolerances: dict[str, float], *, good: bool) -> None:
    """A part of what is expected, and so much in addition."""
    assert (faults(HALVED, [input_step("scale", factor=0.505)], **tolerances) == []) == good


def test_answers_are_held_to_it_as_well() -> None:
    """With given outputs of a model, and texts compared as such."""
    info = gives("FP32", -1, 2, labels=("no", "yes"))
    steps = [output_step("argmax"), output_step("labels")]
    arrays = {
        "output.y": np.array([[0.2, 0.8], [0.6, 0.4]], np.float32),
        "answer.y": np.array(["yes", "yes"]),
    }

    assert Golden("g", arrays).faults(info, [], steps) == [
        "g: answer 'y', row 1: expected b'yes', got b'no' (1 of 2 values differ)"
    ]
    arrays["answer.y"] = np.array(["yes", "no"])
    assert Golden("g", arrays).faults(info, [], steps) == []


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({}, "no arrays input.NAME and tensor.NAME, or output.NAME and"),
        ({"input.x": SENT[:, :2], "tensor.x": SENT}, "has shape [2, 2], but input is FP32[-1, 3]"),
        ({"input.x": SENT}, "no array 'tensor.x'; expected FP32[-1, 3]"),
        ({"input.y": SENT, "tensor.x": SENT}, "no array 'input.x'"),
        ({"input.x": SENT.astype(np.float64), "tensor.x": SENT}, "is float64, but input is FP32"),
        ({"input.x": SENT[:1], "tensor.x": SENT}, "expected FP32[2, 3], got FP32[1, 3]"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_the_model_is_a_fault(arrays: dict[str, Array], says: str) -> None:
    """It proves nothing."""
    (fault,) = faults(arrays)
    assert fault.startswith("g.npz: ")
    assert says in fault


def test_inputs_that_a_step_refuses_are_a_fault() -> None:
    """With what it says."""
    info = takes("INT8", -1, 3)
    arrays = {"input.x": np.array([[1, 2, 300]]), "tensor.x": np.array([[1, 2, 3]], np.int8)}
    steps = [input_step("cast", **{"from": "INT64", "to": "INT8"})]

    (fault,) = Golden("g", arrays).faults(info, steps, [])
    assert "a value cannot be cast from INT64 to INT8" in fault


def test_no_number_equals_no_number() -> None:
    """A step may make one of one."""
    nan = Tensor.of("x", np.array([np.nan, 1.0]))
    assert differences(nan, nan, rtol=0, atol=0) == []
    other = Tensor.of("x", np.array([1.0, 1.0]))
    assert len(differences(nan, other, rtol=1, atol=1)) == 1


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Strings with trailing zeros included, which numpy's own strings would lose."""
    info = model(
        inputs=(TensorSpec("x", "FP32", (-1, 3)), TensorSpec("b", "BYTES", (-1,))),
    )
    steps = [input_step("scale", input="x", factor=0.5)]
    sent = (Tensor.of("x", SENT), Tensor.of("b", np.array([b"\xff\0\0", b""], object)))
    file = str(tmp_path / "g.npz")

    write_golden(file, sent, bind_inputs(info, steps))
    golden = read_golden(file)

    assert golden.faults(info, steps, []) == []
    assert len(golden.faults(info, [], [])) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "No such file"), (b"", "cannot be read"), (b"PK\x03\x04nonsense", "cannot be read")],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    """With what is wrong."""
    file = tmp_path / "g.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        read_golden(str(file))
    assert str(file) in caught.value.faults[0]
