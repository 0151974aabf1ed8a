# SPDX-License-Identifier: Apache-2.0
"""Sampling: beside scipy's affine transformation and numpy's flips and turns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform

from gateway.steps.sampling import Affine, resample, sampling
from gateway.steps.views import Crop, Flip, Rotate, Shift, Warp, Zoom
from gateway.wire.tensor import Array

RNG = np.random.default_rng(5)


def seen(picture: Array, affine: Affine, fill: float | None) -> Array:
    """*picture* [height, width] under *affine*."""
    height, width = picture.shape
    how = sampling(height, width, affine, clamp=fill is None)
    moved = resample(picture.reshape(1, -1, 1), how, fill=fill or 0.0)
    return moved.reshape(height, width)


@settings(max_examples=100, deadline=None)
@given(
    matrix=st.tuples(*[st.floats(-2, 2)] * 4),
    shift=st.tuples(*[st.floats(-5, 5)] * 2),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    fill=st.sampled_from([None, 0.0, -3.5]),
)
def test_any_affine_map_is_that_of_scipy(
    *,
    matrix: tuple[float, float, float, float],
    shift: tuple[float, float],
    height: int,
    width: int,
    fill: float | None,
) -> None:
    """Bilinear, with the edge repeated or a value beyond it."""
    picture = np.arange(height * width, dtype=np.float64).reshape(height, width) % 7
    rows = (matrix[:2], matrix[2:])
    centre = (np.array([height, width]) - 1) / 2
    offset = centre + shift - np.array(rows) @ centre
    mode = "nearest" if fill is None else "grid-constant"
    expected = affine_transform(
        picture, np.array(rows), offset, order=1, mode=mode, cval=fill or 0.0
    )

    # Coordinates are rounded to 1e-9 of a pixel here, over steps of up to 6.
    np.testing.assert_allclose(seen(picture, Affine(rows, shift), fill), expected, atol=1e-7)


PICTURE = RNG.integers(0, 255, (6, 6)).astype(np.uint8)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (Flip(), PICTURE[:, ::-1]),
        (Flip(axis="vertical"), PICTURE[::-1]),
        (Flip(axis="both"), PICTURE[::-1, ::-1]),
        (Rotate(degrees=90), np.rot90(PICTURE)),
        (Rotate(degrees=180), np.rot90(PICTURE, 2)),
        (Rotate(degrees=-90), np.rot90(PICTURE, 3)),
        (Shift(x=1), np.concatenate([PICTURE[:, :1], PICTURE[:, :-1]], 1)),
        (Shift(y=-2), np.concatenate([PICTURE[2:], PICTURE[-1:], PICTURE[-1:]])),
        (Crop(size=1), PICTURE),
        (Zoom(factor=1), PICTURE),
    ],
)
def test_whole_pixels_are_moved_without_rounding(view: Warp, expected: Array) -> None:
    """In their own type, by one look-up."""
    affine = view.affine(6, 6)

    assert sampling(6, 6, affine, clamp=True).exact
    moved = seen(PICTURE, affine, None)
    assert moved.dtype == np.uint8
    np.testing.assert_array_equal(moved, expected)


def test_beyond_the_edge_is_the_fill() -> None:
    """Of whole numbers too."""
    moved = seen(PICTURE, Shift(x=2).affine(6, 6), 9.0)

    np.testing.assert_array_equal(moved[:, :2], 9)
    np.testing.assert_array_equal(moved[:, 2:], PICTURE[:, :-2])


def test_a_crop_shows_its_part() -> None:
    """The corner's own pixels, at twice the size."""
    ramp = np.tile(np.arange(8.0), (8, 1))

    right = seen(ramp, Crop(size=0.5, position="top_right").affine(8, 8), None)
    centre = seen(ramp, Crop(size=0.5).affine(8, 8), None)

    np.testing.assert_allclose(right[0], np.clip(np.arange(8) * 0.5 + 3.75, 0, 7))
    np.testing.assert_allclose(centre[0], np.arange(8) * 0.5 + 1.75)


def test_whole_numbers_are_rounded_where_pixels_are_mixed() -> None:
    """To the nearest, and never beyond their type."""
    moved = seen(PICTURE, Shift(x=0.5).affine(6, 6), None)
    exact = seen(PICTURE.astype(np.float64), Shift(x=0.5).affine(6, 6), None)

    np.testing.assert_array_equal(moved, np.rint(exact).astype(np.uint8))


def test_a_quarter_turn_needs_a_square() -> None:
    """Another shape would come out."""
    with pytest.raises(ValueError, match="needs a square, not 4 x 6 pixels"):
        Rotate(degrees=90).affine(4, 6)
    Rotate(degrees=180).affine(4, 6)
