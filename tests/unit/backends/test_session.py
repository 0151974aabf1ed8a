# SPDX-License-Identifier: Apache-2.0
"""A model in onnxruntime: what it takes, what it gives, what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.errors import StartError
from backends.session import OPTIMIZATION, Session, SessionOptions
from gateway.errors import InvalidRequest, UpstreamError
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import ITEM_SIZE, Tensor
from tests.support import models


def _session(path: Path, model: onnx.ModelProto, options: SessionOptions | None = None) -> Session:
    directory = models.save(model, path)
    return Session(directory / "1" / "model.onnx", options or SessionOptions())


def _floats(name: str, rows: int) -> Tensor:
    return Tensor.of(name, np.arange(2 * rows, dtype=np.float32).reshape(rows, 2))


@pytest.mark.parametrize("datatype", ITEM_SIZE)
def test_every_datatype_is_described(tmp_path: Path, datatype: str) -> None:
    """Named dimensions are free, numbers stay."""
    session = _session(tmp_path, models.identity(datatype))
    assert session.inputs == (TensorSpec("x", datatype, (-1, 2)),)
    assert session.outputs == (TensorSpec("y", datatype, (-1, 2)),)


def test_all_outputs_come_in_the_order_of_the_model(tmp_path: Path) -> None:
    """No selection means all."""
    session = _session(tmp_path, models.two_outputs())
    x = Tensor.of("x", np.array([[0, 3, 1]], np.float32))
    given = session.run(session.feed((x,)), session.select([]))
    assert [tensor.name for tensor in given] == ["class", "scores"]
    assert given[0].array().tolist() == [1]


def test_selected_outputs_come_in_the_order_wanted(tmp_path: Path) -> None:
    """Only what was asked for is computed and sent."""
    session = _session(tmp_path, models.two_outputs())
    assert [spec.name for spec in session.select(["scores", "class"])] == ["scores", "class"]
    assert [spec.name for spec in session.select(["scores"])] == ["scores"]


def test_bf16_goes_beside_other_datatypes(tmp_path: Path) -> None:
    """A model with a BF16 output gives all its outputs in another way, none of them changed."""
    session = _session(tmp_path, models.mixed())
    inputs = (
        Tensor("bf16", "BF16", (2,), b"\x80\x3f\x00\x40"),
        Tensor.of("fp32", np.array([1, 2], np.float32)),
    )
    same_bf16, same_fp32, text = session.run(session.feed(inputs), session.outputs)
    assert bytes(same_bf16.data) == inputs[0].data
    assert same_fp32.array().tolist() == [1, 2]
    assert text.array().tolist() == [b"1", b"2"]


def test_text_and_bf16_go_in_together(tmp_path: Path) -> None:
    """A BF16 input alone does not keep text out."""
    session = _session(tmp_path, models.text_and_bf16(bf16_out=False))
    inputs = (
        Tensor.of("text", np.array(["a"], dtype=object)),
        Tensor("bf16", "BF16", (1,), b"\x00\x40"),
    )
    text, number = session.run(session.feed(inputs), session.outputs)
    assert (text.array().tolist(), number.array().tolist()) == ([b"a"], [2.0])


def test_text_in_and_bf16_out_is_refused(tmp_path: Path) -> None:
    """What onnxruntime cannot do from Python is said at the start, not at the first request."""
    with pytest.raises(StartError, match=r"BYTES input 'text' and BF16 output 'number'"):
        _session(tmp_path, models.text_and_bf16(bf16_out=True))


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ((), r"inputs \['a', 'b'\] are missing"),
        ((_floats("a", 1),), r"inputs \['b'\] are missing"),
        ((_floats("a", 1), _floats("c", 1)), r"input 'c': the model has none of that name"),
        ((_floats("a", 1), _floats("a", 1)), r"input 'a' is given twice"),
        ((Tensor("a", "FP64", (1, 2), bytes(16)),), r"input 'a': datatype FP32 expected, not FP64"),
        ((Tensor("a", "FP32", (1, 3), bytes(12)),), r"shape \[-1, 2\] expected .*, not \[1, 3\]"),
        ((Tensor("a", "FP32", (2,), bytes(8)),), r"shape \[-1, 2\] expected .*, not \[2\]"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    tmp_path: Path, tensors: tuple[Tensor, ...], says: str
) -> None:
    """The message names the input, what is expected and what came."""
    with pytest.raises(InvalidRequest, match=says):
        _session(tmp_path, models.add()).feed(tensors)


def test_an_unknown_output_is_refused(tmp_path: Path) -> None:
    """The message lists the outputs that there are."""
    with pytest.raises(InvalidRequest, match=r"'z': the model has none .* \['sum'\]"):
        _session(tmp_path, models.add()).select(["z"])


def test_inputs_of_different_rows_blame_somebody(tmp_path: Path) -> None:
    """What only onnxruntime finds is an error in one line, not a crash."""
    session = _session(tmp_path, models.add())
    feed = session.feed((_floats("a", 2), _floats("b", 3)))
    with pytest.raises((InvalidRequest, UpstreamError)) as caught:
        session.run(feed, session.outputs)
    assert "\n" not in str(caught.value)
    assert "[ONNXRuntimeError]" not in str(caught.value)


def test_the_session_works_on_after_a_failed_run(tmp_path: Path) -> None:
    """An index beyond the table fails alone."""
    session = _session(tmp_path, models.gather())
    bad = session.feed((Tensor.of("index", np.array([9], np.int64)),))
    with pytest.raises((InvalidRequest, UpstreamError), match="9"):
        session.run(bad, session.outputs)
    good = session.feed((Tensor.of("index", np.array([3], np.int64)),))
    assert session.run(good, session.outputs)[0].array().tolist() == [3]


@pytest.mark.parametrize("optimization", OPTIMIZATION)
def test_options_do_not_change_the_answer(tmp_path: Path, optimization: str) -> None:
    """Threads, rewriting and memory are a matter of speed alone."""
    options = SessionOptions(
        threads=2, inter_threads=2, optimization=optimization, arena=False, spinning=True
    )
    session = _session(tmp_path, models.add(), options)
    (given,) = session.run(session.feed((_floats("a", 2), _floats("b", 2))), session.outputs)
    assert given.array().tolist() == [[0, 2], [4, 6]]


def test_an_unknown_provider_is_refused(tmp_path: Path) -> None:
    """Left to itself, onnxruntime would quietly take another."""
    options = SessionOptions(providers=("NoSuchProvider",))
    with pytest.raises(StartError, match="--providers NoSuchProvider: not in this onnxruntime"):
        _session(tmp_path, models.add(), options)


def test_a_file_that_is_no_model_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The reason is in the error, and nowhere else."""
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a model")
    with pytest.raises(StartError, match=r"bad.onnx: not a model that onnxruntime can load"):
        Session(bad, SessionOptions())
    assert capfd.readouterr() == ("", "")


def test_an_output_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    """A sequence cannot be sent; the message says what to do about the usual cause."""
    with pytest.raises(StartError, match=r"output 'y' is a seq\(tensor\(float\)\).*zipmap=False"):
        _session(tmp_path, models.sequence())
