# SPDX-License-Identifier: Apache-2.0
"""Ensemble: views of rows in every layout, and the models that they fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.errors import BadAnswer, ConfigError, InvalidRequest
from gateway.steps import digest
from gateway.steps.augment import BoundEnsemble, Ensemble
from gateway.steps.views import Crop, Flip, Identity, Noise, Rotate, Shift
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Array, Tensor
from tests.support.steps import model

VIEWS = (Identity(), Flip(), Shift(y=1), Rotate(degrees=10), Noise(std=0.5), Noise(std=0.5))
RNG = np.random.default_rng(8)
PLANES = RNG.normal(0, 1, (3, 2, 4, 5)).astype(np.float32)


def info(*shape: int, outputs: tuple[TensorSpec, ...] | None = None) -> ModelInfo:
    """A model of one picture input and scores."""
    scores = outputs or (TensorSpec("y", "FP32", (-1, 3)),)
    return model(inputs=(TensorSpec("x", "FP32", shape),), outputs=scores)


def bound(of: ModelInfo, **options: Any) -> BoundEnsemble:
    """An ensemble of all views, made ready."""
    return Ensemble(**{"views": VIEWS, **options}).bind(of)


def expanded(ensemble: BoundEnsemble, array: Array, **options: Any) -> Array:
    """All views of the rows in *array*, [views, rows, ...]."""
    kernel = ensemble.expand(range(len(VIEWS)), **options)
    (made,) = kernel((Tensor.of("x", array),))
    return made.array().reshape(len(VIEWS), *array.shape)


def test_every_layout_has_the_same_views() -> None:
    """Channels before, channels behind, or a flat vector of either."""
    options: dict[str, Any] = {"views": VIEWS[:4], "fill": 0.25}
    first = expanded_of(PLANES, info(-1, 2, 4, 5), **options)
    behind = expanded_of(PLANES.transpose(0, 2, 3, 1), info(-1, 4, 5, 2), layout="NHWC", **options)
    flat = expanded_of(PLANES.reshape(3, 40), info(-1, 40), shape=(2, 4, 5), **options)
    alone = expanded_of(PLANES[:, 0], info(-1, 4, 5), **options)

    np.testing.assert_array_equal(first, behind.transpose(0, 1, 4, 2, 3))
    np.testing.assert_array_equal(first, flat.reshape(first.shape))
    np.testing.assert_array_equal(first[:, :, 0], alone)
    np.testing.assert_array_equal(first[0], PLANES)
    np.testing.assert_array_equal(first[1], PLANES[..., ::-1])
    np.testing.assert_array_equal(first[2][..., 1:, :], PLANES[..., :-1, :])
    np.testing.assert_array_equal(first[2][..., 0, :], 0.25)


def expanded_of(array: Array, of: ModelInfo, **options: Any) -> Array:
    """The views of *array* for a model, [views, rows, ...]."""
    count = len(options["views"])
    kernel = bound(of, **options).expand(range(count))
    (made,) = kernel((Tensor.of("x", np.ascontiguousarray(array)),))
    return made.array().reshape(count, *array.shape)


def test_rows_have_the_same_views_whoever_is_beside_them() -> None:
    """Bit for bit, noise included; and the input is not changed."""
    before = PLANES.copy()
    ensemble = bound(info(-1, 2, 4, 5))
    together = expanded(ensemble, PLANES)
    singly = np.concatenate([expanded(ensemble, PLANES[at : at + 1]) for at in range(3)], axis=1)

    np.testing.assert_array_equal(together, singly)
    np.testing.assert_array_equal(PLANES, before)


def test_noise_differs_between_views_and_is_normal() -> None:
    """Two views with the same options are two."""
    rows = np.zeros((2, 2, 40, 50), np.float32)
    rows[1] = 1
    views = expanded(bound(info(-1, 2, 40, 50)), rows)
    noise = views[4:] - rows

    assert not np.array_equal(noise[0], noise[1])
    assert not np.array_equal(noise[0][0], noise[0][1])
    assert abs(noise.mean()) < 0.02
    assert noise.std() == pytest.approx(0.5, abs=0.02)


def test_noise_by_the_request_goes_by_its_id_and_row() -> None:
    """Equal rows differ then, and the same request has the same noise."""
    ensemble = bound(info(-1, 2, 4, 5), views=(*VIEWS[:5], Noise(std=1, seed="request")))
    rows = np.zeros((2, 2, 4, 5), np.float32)
    one, same = (expanded(ensemble, rows, request="a")[5] for _ in range(2))
    other = expanded(ensemble, rows, request="b")[5]
    part = ensemble.expand((5,), request="a", rows=[1])((Tensor.of("x", rows[1:]),))[0].array()

    np.testing.assert_array_equal(one, same)
    np.testing.assert_array_equal(one[1:], part)
    assert not np.array_equal(one[0], one[1])
    assert not np.array_equal(one, other)
    # Without an id the row decides.
    anonymous = expanded(ensemble, rows)[5]
    np.testing.assert_array_equal(anonymous[0], anonymous[1])


def test_other_inputs_are_repeated() -> None:
    """Each view comes with what belongs to its row."""
    of = model(
        inputs=(TensorSpec("x", "FP32", (-1, 4, 5)), TensorSpec("name", "BYTES", (-1,))),
        outputs=(TensorSpec("y", "FP32", (-1, 3)),),
    )
    sent = (Tensor.of("name", np.array(["a", "b", "c"])), Tensor.of("x", PLANES[:, 0].copy()))

    made = bound(of, input="x").expand((0, 1))(sent)

    assert made[0].array().tolist() == [b"a", b"b", b"c"] * 2
    assert made[1].shape == (6, 4, 5)


def test_an_answer_that_is_no_measure_goes_with_the_class() -> None:
    """The label is that of a view which names the merged class, never one of another class."""
    of = info(
        -1, 4, 5,
        outputs=(
            TensorSpec("label", "INT64", (-1,)), TensorSpec("p", "FP32", (-1, 2)),
            TensorSpec("area", "FP32", (-1,)), TensorSpec("name", "BYTES", (-1, 1)),
        ),
    )  # fmt: skip
    p = [[[0.9, 0.1]], [[0.2, 0.8]], [[0.2, 0.8]]]
    answers = (
        Tensor.of("label", np.array([7, 9, 9])),
        Tensor.of("p", np.array(p, np.float32).reshape(3, 2)),
        Tensor.of("area", np.array([1, 2, 6], np.float32)),
        Tensor.of("name", np.array([["seven"], ["nine"], ["nine"]])),
    )

    label, merged, area, name = bound(of, output="p").merged(answers, 3)

    assert label.array().tolist() == [9]
    np.testing.assert_allclose(merged.array(), [[1.3 / 3, 1.7 / 3]], atol=1e-7)
    assert area.array().tolist() == [3]
    assert name.array().tolist() == [[b"nine"]]


def test_an_answer_of_other_rows_is_a_bad_one() -> None:
    """It lines up with no view."""
    with pytest.raises(BadAnswer, match="for 2 views"):
        bound(info(-1, 4, 5)).merged((Tensor.of("y", np.zeros((3, 3), np.float32)),), 2)


def test_a_probability_that_is_no_number_is_unsure() -> None:
    """And so is one below the limit."""
    answers = (Tensor.of("y", np.array([[1, 0, 0], [0.4, 0.3, 0.3], [np.nan] * 3], np.float32)),)

    assert bound(info(-1, 4, 5)).unsure(answers, 0.5).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("of", "options", "says"),
    [
        (model(batched=False), {}, "no batch dimension"),
        (info(-1, 64), {}, "a flat vector needs 'shape', such as [8, 8]"),
        (info(-1, 64), {"shape": (8, 9)}, "'shape' is [8, 9], 72 values, but a row"),
        (info(-1, 3, 4, 5), {"shape": (4, 5)}, "it is for flat vectors"),
        (info(-1, 4, 5), {"input": "z"}, "there is no input 'z'; the model has 'x'"),
        (info(-1, 4, 5), {"output": "z"}, "there is no output 'z' of floats"),
        (info(-1, 4, 5), {"views": [Rotate(degrees=90)]}, "views[0] rotate: a quarter turn needs"),
        (
            info(-1, 4, 5, outputs=(TensorSpec("y", "INT64", (-1,)),)),
            {},
            "say which 'output' is meant, of floats of at least 2 dimensions: there are 'y'",
        ),
        (
            model(inputs=(TensorSpec("x", "BYTES", (-1,)),)),
            {},
            "input 'x' is BYTES; views are made of numbers",
        ),
    ],
)
def test_a_model_that_it_does_not_fit_is_refused(
    of: ModelInfo, options: dict[str, Any], says: str
) -> None:
    """With what was found and what is needed."""
    with pytest.raises(ConfigError) as caught:
        bound(of, **options)
    assert caught.value.faults[0].startswith("model 'm': augment: ")
    assert says in caught.value.faults[0]


@pytest.mark.parametrize(
    ("of", "array", "options", "says"),
    [
        (info(-1, -1, -1), PLANES[:, 0], {"views": [Rotate(degrees=90)]}, "needs a square"),
        (info(-1, -1), PLANES.reshape(3, 40), {"shape": (8, 8)}, "40 values is no picture of"),
        (info(-1, 4, 5), PLANES.astype(np.float64)[:, 0], {}, "FP64[3, 4, 5] given, FP32"),
    ],
)
def test_a_picture_that_no_view_fits_is_the_clients_fault(
    of: ModelInfo, array: Array, options: dict[str, Any], says: str
) -> None:
    """The model has left its size open."""
    ensemble = bound(of, **options)
    kernel = ensemble.expand((0,) if "views" in options else (1,))
    with pytest.raises(InvalidRequest) as caught:
        kernel((Tensor.of("x", np.ascontiguousarray(array)),))
    assert "input 'x'" in str(caught.value)
    assert says in str(caught.value)


def test_a_vector_that_is_no_picture_can_have_noise() -> None:
    """No size is needed for that."""
    ensemble = bound(info(-1, 30), views=[Identity(), Noise(std=1)])
    (made,) = ensemble.expand((0, 1))((Tensor.of("x", np.zeros((2, 30), np.float32)),))

    assert made.array()[:2].any() == 0
    assert made.array()[2:].all()


def test_the_digest_follows_every_option() -> None:
    """Another ensemble never meets old answers."""
    options: list[dict[str, Any]] = [
        {}, {"merge": "vote"}, {"given": "logits"}, {"fill": 0.0}, {"layout": "NHWC"},
        {"shape": (4, 5)}, {"views": VIEWS[:2]}, {"views": [Crop(size=0.5)]}, {"output": "y"},
        {"views": [Crop(size=0.6)]}, {"input": "x"},
    ]  # fmt: skip
    digests = {digest([], [], Ensemble(**{"views": VIEWS, **each})) for each in options}

    assert len(digests | {digest()}) == len(options) + 1
