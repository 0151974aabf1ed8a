# SPDX-License-Identifier: Apache-2.0
"""Scale, normalize, clip and cast: values, datatypes, and what they refuse."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError, InvalidRequest
from gateway.steps import PREPROCESS, bind_inputs, client_info
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import NUMPY, Array, Tensor
from tests.support.steps import input_step, model, takes


def applied(name: str, array: Array, *, datatype: str = "", **fields: Any) -> Tensor:
    """What step *name* makes of *array* for a model that takes *datatype*, by default the same."""
    sent = Tensor.of("x", array)
    info = takes(datatype or sent.datatype, -1, *array.shape[1:])
    (result,) = bind_inputs(info, [input_step(name, **fields)])((sent,))
    return result


def fault(name: str, info: Any = None, **fields: Any) -> str:
    """What is said of a step that does not fit *info*."""
    with pytest.raises(ConfigError) as caught:
        client_info(info or takes("FP32", -1, 6), [input_step(name, **fields)])
    (message,) = caught.value.faults
    return message


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_scale_multiplies_and_adds_in_the_datatype_of_the_input(datatype: str) -> None:
    """A float32 stays one: models refuse the double that numpy would like to make of it."""
    result = applied("scale", np.array([[0, 8, 16]], NUMPY[datatype]), factor=0.0625, offset=-0.5)

    assert result.datatype == datatype
    assert result.array().tolist() == [[-0.5, 0.0, 0.5]]


def test_scale_of_a_large_tensor_gives_a_flat_byte_buffer() -> None:
    """Above the size that is copied, the buffer is a view of bytes, as transports expect."""
    result = applied("scale", np.ones((1, 100_000), np.float32), factor=2)

    assert len(result.data) == result.nbytes == 400_000
    assert float(result.array().sum()) == 200_000.0


def test_scale_of_a_scalar_keeps_its_shape() -> None:
    """A tensor without dimensions is one value."""
    step = input_step("scale", factor=3)
    info = model(inputs=(TensorSpec("x", "FP32", ()),), batched=False)

    (result,) = bind_inputs(info, [step])((Tensor.of("x", np.array(2, np.float32)),))

    assert (result.shape, result.array().tolist()) == ((), 6.0)


@pytest.mark.parametrize("datatype", ["INT64", "UINT8", "BOOL", "BYTES", "BF16"])
def test_scale_refuses_what_is_not_a_float(datatype: str) -> None:
    """The message says what came, what is needed, and what would help."""
    message = fault("scale", takes(datatype, -1, 6), factor=2)

    assert message.startswith("model 'm': preprocess[0] scale: input 'x' is " + datatype)
    assert "FP16, FP32, FP64" in message
    assert "cast" in message


def test_a_factor_beyond_the_datatype_is_a_fault() -> None:
    """A float16 has no 1e6: every value would become infinite."""
    with pytest.raises(ConfigError, match=r"factor 1000000\.0 is out of range for float16"):
        bind_inputs(takes("FP16", -1, 2), [input_step("scale", factor=1e6)])


def test_normalize_is_the_difference_over_the_deviation() -> None:
    """Division, not multiplication with a rounded reciprocal: the published recipes divide."""
    values = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)

    result = applied("normalize", values, mean=0.1307, std=0.3081)

    expected = (values - np.float32(0.1307)) / np.float32(0.3081)
    assert result.array().tobytes() == expected.tobytes()


def test_normalize_by_channel_follows_the_axis() -> None:
    """The second dimension of NCHW images holds the channels."""
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    image = np.random.default_rng(1).uniform(size=(2, 3, 4, 5)).astype(np.float32)

    result = applied("normalize", image, mean=mean, std=std, axis=1)

    columns = np.array([mean, std], np.float32).reshape(2, 3, 1, 1)
    assert result.datatype == "FP32"
    assert np.array_equal(result.array(), (image - columns[0]) / columns[1])


def test_normalize_by_channel_makes_a_free_dimension_known() -> None:
    """Clients are told how many channels there must be."""
    seen = client_info(
        takes("FP32", -1, -1, 8), [input_step("normalize", mean=[0, 1, 2], std=1, axis=1)]
    )

    assert seen.inputs[0].shape == (-1, 3, 8)


def test_normalize_refuses_another_number_of_channels() -> None:
    """A model that has known dimensions is checked before the first request."""
    message = fault("normalize", mean=[1, 2, 3], std=1)

    assert "3 channels are given, but axis -1" not in message
    assert "3 channels are given, but axis 1 of 'x' [-1, 6] has 6" in message


def test_normalize_refuses_the_batch_as_channels() -> None:
    """Rows of a batch belong to different clients."""
    assert "axis 0 of 'x' is the batch" in fault("normalize", mean=[1, 2], std=1, axis=0)
    assert "no axis 2" in fault("normalize", mean=[1, 2], std=1, axis=2)


def test_normalize_refuses_a_tensor_of_another_shape() -> None:
    """A worker that was replaced meanwhile must not turn into a crash of the gateway."""
    kernel = bind_inputs(takes("FP32", -1, 3), [input_step("normalize", mean=[1, 2, 3], std=1)])

    with pytest.raises(InvalidRequest, match=r"shape \[1, 4\] given, \[-1, 3\] expected"):
        kernel((Tensor.of("x", np.ones((1, 4), np.float32)),))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mean": 0, "std": 0}, "std must not be 0"),
        ({"mean": [1, 2], "std": [1, 0]}, "std must not be 0"),
        ({"mean": [1, 2], "std": [1, 2, 3]}, "equally many"),
        ({"mean": [], "std": 1}, "equally many"),
        ({"mean": float("nan"), "std": 1}, "mean must be a finite number"),
        ({"mean": 1}, "std"),
    ],
)
def test_normalize_is_checked_when_it_is_read(fields: dict[str, Any], said: str) -> None:
    """A configuration that cannot work is a fault of the file."""
    with pytest.raises(msgspec.ValidationError, match=said):
        input_step("normalize", **fields)


def test_normalize_refuses_a_deviation_that_vanishes_in_the_datatype() -> None:
    """1e-9 is 0 as a float16, and a division by it is no number."""
    with pytest.raises(ConfigError, match="std 1e-09 is 0 in float16"):
        bind_inputs(takes("FP16", -1, 2), [input_step("normalize", mean=0, std=1e-9)])


def test_clip_holds_values_between_its_bounds() -> None:
    """Infinities are values; NaN is none and stays."""
    values = np.array([[-np.inf, -2, 0.5, 2, np.inf, np.nan]], np.float32)

    result = applied("clip", values, min=-1, max=1)

    assert result.array()[0, :5].tolist() == [-1, -1, 0.5, 1, 1]
    assert np.isnan(result.array()[0, 5])


def test_clip_has_one_bound_where_one_is_given() -> None:
    """The other side stays open."""
    values = np.array([[1, 200]], np.uint8)

    assert applied("clip", values, max=100).array().tolist() == [[1, 100]]
    assert applied("clip", values, min=100).array().tolist() == [[100, 200]]


@pytest.mark.parametrize("bound", [0.5, -1, 256])
def test_clip_of_integers_takes_bounds_of_their_range(bound: float) -> None:
    """A bound that no value can have is a mistake."""
    with pytest.raises(ConfigError, match=r"max .* is not a whole number of uint8's range"):
        bind_inputs(takes("UINT8", -1, 2), [input_step("clip", max=bound)])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "'min', 'max' or both"),
        ({"min": 2, "max": 1}, "min 2.0 is above max 1.0"),
        ({"max": float("inf")}, "max must be a finite number"),
    ],
)
def test_clip_is_checked_when_it_is_read(fields: dict[str, Any], said: str) -> None:
    """A configuration that cannot work is a fault of the file."""
    with pytest.raises(msgspec.ValidationError, match=said):
        input_step("clip", **fields)


@pytest.mark.parametrize(
    ("source", "target", "values", "expected"),
    [
        ("UINT8", "FP32", [0, 255], [0.0, 255.0]),
        ("FP64", "FP32", [0.1, float("inf")], [float(np.float32(0.1)), float("inf")]),
        ("FP32", "INT8", [-128.0, 127.9], [-128, 127]),
        ("FP32", "BOOL", [0.0, -0.5], [False, True]),
        ("INT64", "UINT8", [0, 255], [0, 255]),
        ("FP16", "INT64", [-65504.0, 1.5], [-65504, 1]),
        ("BOOL", "INT32", [True, False], [1, 0]),
        ("UINT64", "INT64", [0, 2**63 - 1], [0, 2**63 - 1]),
    ],
)
def test_cast_keeps_what_the_new_type_can_hold(
    source: str, target: str, values: list[Any], expected: list[Any]
) -> None:
    """Fractions are cut off towards zero."""
    array = np.array([values], NUMPY[source])

    result = applied("cast", array, datatype=target, **{"from": source, "to": target})

    assert result.datatype == target
    assert result.array().tolist() == [expected]


@pytest.mark.parametrize(
    ("source", "target", "value"),
    [
        ("FP32", "INT8", 128.0),
        ("FP32", "UINT8", -1.0),
        ("FP32", "INT64", 2.0**63),
        ("FP32", "INT64", float("nan")),
        ("FP64", "INT32", float("inf")),
        ("FP64", "FP32", 1e300),
        ("INT32", "FP16", 70_000),
        ("FP16", "INT64", float("inf")),
        ("INT64", "UINT8", 256),
        ("INT8", "UINT64", -1),
        ("UINT64", "INT64", 2**63),
    ],
)
def test_cast_refuses_what_the_new_type_cannot_hold(source: str, target: str, value: float) -> None:
    """A number that wraps around or overflows would be an answer to another question."""
    array = np.array([[0, value]], NUMPY[source])

    with pytest.raises(InvalidRequest, match=f"input 'x'.*cast from {source} to {target}"):
        applied("cast", array, datatype=target, **{"from": source, "to": target})


@given(st.lists(st.floats(width=32), max_size=20), st.sampled_from(["INT8", "UINT16", "INT64"]))
def test_cast_to_integers_is_exact_or_refused(values: list[float], target: str) -> None:
    """Any float is either cut to the integer that Python cuts it to, or refused."""
    array = np.array([values], np.float32)
    try:
        result = applied("cast", array, datatype=target, **{"from": "FP32", "to": target})
    except InvalidRequest:
        limits = np.iinfo(NUMPY[target])
        assert not all(limits.min <= value < limits.max + 1 for value in values)
    else:
        assert result.array()[0].tolist() == [int(value) for value in values]


def test_cast_must_end_in_what_comes_next() -> None:
    """The message names both types."""
    message = fault("cast", **{"from": "UINT8", "to": "FP64"})

    assert "it gives FP64, but input 'x' is FP32 behind it" in message


def test_a_tensor_of_another_datatype_is_refused() -> None:
    """What clients are told is what a step takes."""
    kernel = bind_inputs(takes("FP32", -1, 2), [input_step("scale", factor=2)])

    with pytest.raises(InvalidRequest, match="datatype FP64 given, FP32 expected"):
        kernel((Tensor.of("x", np.ones((1, 2))),))


def test_unknown_fields_are_refused() -> None:
    """A misspelt field must not be a default."""
    with pytest.raises(msgspec.ValidationError, match="unknown field `factr`"):
        msgspec.convert({"factor": 1, "factr": 2}, PREPROCESS["scale"])


@pytest.mark.parametrize("row", range(5))
def test_cast_names_the_row_that_cannot_be_cast(row: int) -> None:
    """The first of them, as the client counts."""
    values = np.zeros((5, 2), np.int64)
    values[row:, 1] = 300
    step = input_step("cast", **{"from": "INT64", "to": "INT8"})
    kernel = bind_inputs(takes("INT8", -1, 2), [step])

    with pytest.raises(InvalidRequest, match=f"input 'x', row {row}: a value cannot be cast"):
        kernel((Tensor.of("x", values),))
