# SPDX-License-Identifier: Apache-2.0
"""Sampling: pictures under an affine map, with straight lines between pixels (bilinear).

Pixels lie at whole coordinates, and the map turns around the centre of the picture. Each pixel of
the result says which four of the source it is made of, once for a size: a picture is then four
look-ups and a weighted sum, over all rows and channels at once. Where every pixel of the result is
one of the source, as in flips, there is one look-up and nothing is rounded.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from gateway.wire.tensor import Array

# Coordinates are told apart to a thousandth of a millionth of a pixel: the cosine of 90 degrees is
# not quite 0 in FP64.
_DECIMALS: Final = 9


class Affine(NamedTuple):
    """``source = matrix @ (result - centre) + centre + shift``, coordinates as (y, x) in pixels."""

    matrix: tuple[tuple[float, float], tuple[float, float]]
    shift: tuple[float, float] = (0.0, 0.0)


class Sampling(NamedTuple):
    """Of each pixel of the result, in row-major order of *height* times *width*.

    *indices* [k, pixels] are pixels of the source, *weights* [k, pixels] their shares, and
    *outside* [pixels] the share that lies beyond the edge; k is 1 where nothing is interpolated.
    """

    indices: Array
    weights: Array
    outside: Array

    @property
    def exact(self) -> bool:
        """Whether every pixel of the result is one of the source, or beyond its edge."""
        return len(self.indices) == 1


def sampling(height: int, width: int, affine: Affine, *, clamp: bool) -> Sampling:
    """How a picture of *height* times *width* pixels is sampled under *affine*.

    *clamp*: beyond the edge the nearest pixel is repeated, and *outside* is 0.
    """
    size = np.array([height, width])
    centre = (size - 1) / 2
    grid = np.indices((height, width)).reshape(2, -1).T - centre
    places = grid @ np.array(affine.matrix).T + centre + np.array(affine.shift)
    places = np.round(places, _DECIMALS)
    if clamp:
        places = np.clip(places, 0, size - 1)
    low = np.floor(places).astype(np.int64)
    share = places - low
    corners = [(0, 0)] if not share.any() else [(0, 0), (0, 1), (1, 0), (1, 1)]
    indices, weights = [], []
    outside = np.zeros(height * width)
    for corner in corners:
        tap = low + corner
        weight = np.prod(np.where(corner, share, 1 - share), axis=1)
        inside = ((tap >= 0) & (tap < size)).all(axis=1)
        outside += np.where(inside, 0, weight)
        weights.append(np.where(inside, weight, 0))
        tap = np.clip(tap, 0, size - 1)
        indices.append(tap[:, 0] * width + tap[:, 1])
    return Sampling(np.array(indices), np.array(weights), outside)


def resample(pixels: Array, how: Sampling, *, fill: float) -> Array:
    """*pixels* [a, source pixels, b] as *how* says, [a, result pixels, b]; *fill* is outside.

    Of the type of *pixels*; whole numbers are rounded.
    """
    taps = how.indices
    if how.exact:
        moved = pixels[:, taps[0], :]
        if how.outside.any():
            moved[:, how.outside > 0, :] = fill
        return moved
    computed = np.float32 if pixels.dtype in {np.dtype("<f2"), np.dtype("<f4")} else np.float64
    mixed = (how.outside * fill).astype(computed)[None, :, None]
    for tap, weight in zip(taps, how.weights, strict=True):
        mixed = mixed + pixels[:, tap, :] * weight.astype(computed)[None, :, None]
    return like(mixed, pixels.dtype)


def like(values: Array, dtype: np.dtype[Any]) -> Array:
    """*values* as *dtype*: whole numbers are rounded, and cut off at their limits."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    whole: Array = np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    return whole
