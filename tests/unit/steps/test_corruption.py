# SPDX-License-Identifier: Apache-2.0
"""Corruptions: what each does to pictures, and that it is the same each time."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from gateway.steps.corruption import (
    CORRUPTIONS,
    SEVERITIES,
    MissingLibrary,
    blur,
    brightness,
    jpeg,
    noise,
)

PICTURES = np.random.default_rng(9).random((3, 40, 48, 3))
WITHOUT_PILLOW = [name for name in CORRUPTIONS if name != "jpeg"]


@pytest.mark.parametrize("name", WITHOUT_PILLOW)
def test_a_corruption_is_pure_and_grows_with_its_severity(name: str) -> None:
    """In the range of pictures, the input left as it was."""
    before = PICTURES.copy()
    worse = [CORRUPTIONS[name](PICTURES, severity, 1) for severity in SEVERITIES]
    again = CORRUPTIONS[name](PICTURES, 3, 1)
    off = [float(np.abs(each - PICTURES).mean()) for each in worse]

    np.testing.assert_array_equal(PICTURES, before)
    np.testing.assert_array_equal(again, worse[2])
    assert off == sorted(off)
    assert off[0] > 0
    assert all(each.shape == PICTURES.shape for each in worse)
    assert all(-1e-12 <= each.min() <= each.max() <= 1 + 1e-12 for each in worse)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_is_that_of_scipy(severity: int) -> None:
    """Of each channel by itself."""
    sigma = (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1] * 40 / 32
    expected = gaussian_filter(PICTURES, (0, sigma, sigma, 0), mode="nearest")

    np.testing.assert_allclose(blur(PICTURES, severity, 0), expected, atol=1e-12)


def test_noise_has_its_deviation_and_follows_the_seed() -> None:
    """On grey, where little is cut off."""
    grey = np.full((4, 64, 64, 1), 0.5)

    assert (noise(grey, 1, 0) - grey).std() == pytest.approx(0.08, abs=0.002)
    assert not np.array_equal(noise(grey, 1, 0), noise(grey, 1, 1))


def test_brightness_leaves_white_white() -> None:
    """And adds the same to all else."""
    made = brightness(np.array([0.0, 0.5, 1.0]).reshape(1, 1, 3, 1), 2, 0)
    np.testing.assert_allclose(made.reshape(-1), [0.2, 0.7, 1.0])


def test_jpeg_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Pillow is not installed."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingLibrary, match=r"infergate\[image\]"):
        jpeg(PICTURES, 1, 0)


def test_jpeg_loses_more_at_a_lower_quality() -> None:
    """In colour and in grey."""
    pytest.importorskip("PIL")
    for pictures in (PICTURES, PICTURES[..., :1]):
        off = [float(np.abs(jpeg(pictures, s, 0) - pictures).mean()) for s in SEVERITIES]
        assert 0 < off[0] < off[-1]
    with pytest.raises(ValueError, match="have 2"):
        jpeg(PICTURES[..., :2], 1, 0)
